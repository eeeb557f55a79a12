"""A detector on the CPU through OpenVINO: the hot path.

A picture's way: a worker thread scales it into a request's own input tensor, the graph does the rest of the
pre-processing, the worker waits without the GIL, then suppresses overlapping boxes. There are twice as many workers
and requests as OpenVINO computes at once, so that it never waits for Python. `AsyncInferQueue` would do the same but
for one thing: when a request fails it calls nobody back, and that picture's future would never resolve.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import cv2

from yolotrack.errors import ModelError
from yolotrack.model import Pixels
from yolotrack.vision.cpu import instruction_set
from yolotrack.vision.export import openvino_export, runtime
from yolotrack.vision.found import as_detections, check_picture
from yolotrack.vision.letterbox import PADDING, Letterbox
from yolotrack.vision.nms import Found, find_boxes
from yolotrack.vision.offline import stay_offline
from yolotrack.vision.options import DetectOptions, class_ids, settings_digest
from yolotrack.vision.text import reason
from yolotrack.vision.weights import digest_of

if TYPE_CHECKING:
    import supervision as sv

PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
"""OpenVINO's names of what a CPU computes in, and ours."""
MOST_ENGINES = 4
COMMON_PICTURE = (1280, 720)
"""Decides the capacity where it is asked for before any picture was seen."""


class OpenVINODetector:
    """The `Detector` contract over OpenVINO's CPU plugin. Engines are made per input shape, the last few kept."""

    def __init__(self, weights: Path, options: DetectOptions | None = None, precision: str = "auto") -> None:
        """`precision` is auto, fp32 or bf16. `ModelError` for weights that cannot be used, see `openvino_export`."""
        stay_offline()
        import openvino

        self._options = options = options or DetectOptions()
        content = digest_of(weights)
        self._export = openvino_export(weights, content)
        self._classes = class_ids(options.classes, self._export.names)
        self._core = openvino.Core()
        self._precision = _resolved(self._core, precision)
        self._engine_name = f"OpenVINO {PRECISIONS[self._precision]} {_instruction_set(self._core)}"
        self._digest = settings_digest(
            weights=content,
            graph=self._export.digest,
            runtime=f"{runtime()}, opencv {cv2.__version__}",
            build=_build(self._core),
            engine=self._engine_name,
            capabilities=sorted(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
            imgsz=max(self._letterbox(*COMMON_PICTURE).canvas),
            conf=options.conf,
            iou=options.iou,
            max_det=options.max_det,
            classes=self._classes,
        )
        self._engines: OrderedDict[tuple[int, int], _Engine] = OrderedDict()
        self._making = threading.Lock()
        self._lanes: _Lanes | None = None

    @property
    def names(self) -> Mapping[int, str]:
        """The name of every class it knows."""
        return self._export.names

    @property
    def digest(self) -> str:
        """Over weights, export, resolved precision, instruction set, builds and options.

        Threads and streams are not in it: boxes were bit-equal over every number of them.
        """
        return self._digest

    @property
    def engine(self) -> str:
        """What it computes with, for people: `OpenVINO fp32 avx2`."""
        return self._engine_name

    @property
    def capacity(self) -> int:
        """Twice the requests that OpenVINO computes at once."""
        if self._lanes is None:
            self.prepare(*COMMON_PICTURE)
            assert self._lanes is not None  # noqa: S101
        return self._lanes.count

    def prepare(self, width: int, height: int) -> None:
        """Compile the model for pictures of that size: tenths of a second, unless one of that aspect was seen."""
        self._engine(self._letterbox(width, height).canvas)

    def submit(self, image: Pixels) -> Future[sv.Detections]:
        """See `Detector.submit`. The first picture of a new shape waits here for its engine."""
        try:
            check_picture(image)
            letterbox = self._letterbox(image.shape[1], image.shape[0])
            engine = self._engine(letterbox.canvas)
        except ModelError as error:
            failed: Future[sv.Detections] = Future()
            failed.set_exception(error)
            return failed
        assert self._lanes is not None  # noqa: S101
        return self._lanes.start(self._detect, engine, letterbox, image)

    def close(self) -> None:
        """Finish what is in flight and give the memory back; idempotent. Submit nothing afterwards."""
        if self._lanes is not None:
            self._lanes.close()
        self._engines.clear()

    def _letterbox(self, width: int, height: int) -> Letterbox:
        return Letterbox.fit(width, height, self._options.imgsz, self._export.stride)

    def _engine(self, canvas: tuple[int, int]) -> _Engine:
        with self._making:
            engine = self._engines.pop(canvas, None) or self._compiled(canvas)
            self._engines[canvas] = engine
            if len(self._engines) > MOST_ENGINES:
                self._engines.popitem(last=False)
            return engine

    def _compiled(self, canvas: tuple[int, int]) -> _Engine:
        try:
            model = _model(self._core, self._export.xml, canvas)
            config = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": self._precision}
            compiled = self._core.compile_model(model, "CPU", config)
            if self._lanes is None:
                self._lanes = _Lanes(2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            return _Engine(compiled, self._lanes.count)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot run this model at {canvas[0]}x{canvas[1]}: {reason(error)}") from error

    def _detect(self, engine: _Engine, letterbox: Letterbox, image: Pixels) -> sv.Detections:
        try:
            found = engine.infer(letterbox, image, self._options, self._classes)
        except (RuntimeError, cv2.error) as error:
            raise ModelError(f"detection failed: {reason(error)}") from error
        return as_detections(letterbox.restore(found.xyxy), found.confidence, found.class_id, self.names)


class _Lanes:
    """Worker threads; `start` waits while all have something to do."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="detect")

    def start(self, work: Any, *arguments: Any) -> Future[sv.Detections]:
        self._free.acquire()
        try:
            future: Future[sv.Detections] = self._pool.submit(work, *arguments)
        except RuntimeError as error:
            self._free.release()
            raise ModelError("the detector is closed") from error
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        self._pool.shutdown()


class _Engine:
    """A model compiled for one shape, and its idle requests."""

    def __init__(self, compiled: Any, requests: int) -> None:
        self._idle: SimpleQueue[_Request] = SimpleQueue()
        for _ in range(requests):
            self._idle.put(_Request(compiled.create_infer_request()))

    def infer(self, letterbox: Letterbox, image: Pixels, options: DetectOptions, classes: tuple[int, ...]) -> Found:
        request = self._idle.get()
        try:
            raw = request.run(letterbox, image)
            return find_boxes(raw, options.conf, options.iou, options.max_det, classes)
        finally:
            self._idle.put(request)


class _Request:
    """An inference request with its own tensors."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._canvas: Pixels = request.get_input_tensor().data[0]
        self._placed: Letterbox | None = None

    def run(self, letterbox: Letterbox, image: Pixels) -> Any:
        """The raw output for that picture, valid until the next call."""
        if letterbox != self._placed:  # the border of another size may be in the way
            self._canvas[:] = PADDING
            self._placed = letterbox
        letterbox.place(image, self._canvas)
        self._request.start_async()
        self._request.wait()
        return self._request.get_output_tensor(0).data[0]


def _resolved(core: Any, precision: str) -> str:
    """OpenVINO's name of the precision; `auto` is what it picks on this CPU."""
    native = core.get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
    if precision == "auto":
        return str(native)
    wanted = {ours: theirs for theirs, ours in PRECISIONS.items()}.get(precision)
    if wanted is None:
        raise ModelError(f"unknown precision {precision!r}; choose auto, fp32 or bf16")
    if wanted != "f32" and wanted.upper() not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ModelError(f"this CPU does not compute in {precision}; choose precision auto or fp32")
    return wanted


def _instruction_set(core: Any) -> str:
    """Asks OpenVINO something first, so that it has read its environment."""
    return instruction_set(str(core.get_property("CPU", "FULL_DEVICE_NAME")))


def _build(core: Any) -> str:
    """Of the plugin that computes."""
    return str(core.get_versions("CPU")["CPU"].build_number)


def _model(core: Any, xml: Path, canvas: tuple[int, int]) -> Any:
    """The model at one shape, with an input of one uint8 BGR picture of height x width x 3."""
    import openvino
    from openvino.preprocess import ColorFormat, PrePostProcessor

    model = core.read_model(xml)
    model.reshape([1, 3, canvas[1], canvas[0]])
    steps = PrePostProcessor(model)
    picture = steps.input()
    picture.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    picture.tensor().set_color_format(ColorFormat.BGR)
    picture.model().set_layout(openvino.Layout("NCHW"))
    picture.preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB).scale(255.0)
    return steps.build()
