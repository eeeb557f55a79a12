"""A detector on whatever ultralytics runs: any weights it reads, any device it knows."""

from __future__ import annotations

import platform
import queue
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrack.errors import ModelError
from yolotrack.model import Pixels
from yolotrack.vision.cpu import instruction_set
from yolotrack.vision.found import as_detections, check_picture
from yolotrack.vision.offline import insist_on_ultralytics, stay_offline
from yolotrack.vision.options import DetectOptions, class_ids, settings_digest
from yolotrack.vision.text import reason
from yolotrack.vision.weights import OTHER_WEIGHTS, digest_of

if TYPE_CHECKING:
    import supervision as sv


@dataclass(frozen=True, slots=True)
class _Job:
    image: Pixels
    future: Future[sv.Detections]


class UltralyticsDetector:
    """The `Detector` contract over `YOLO.predict`. One thread takes what waits, up to a batch.

    A batch that is not full is filled up, so that a picture's boxes do not depend on how many came with it.
    """

    def __init__(
        self,
        weights: Path,
        options: DetectOptions | None = None,
        device: str = "cpu",
        half: bool = False,
        batch: int = 1,
    ) -> None:
        """Loads the model onto the device and runs it once. `ModelError` when any of that fails."""
        self._batch = batch
        options = options or DetectOptions()
        self._arguments: dict[str, Any] = {
            "imgsz": options.imgsz,
            "conf": options.conf,
            "iou": options.iou,
            "max_det": options.max_det,
            "device": device,
            "quantize": 16 if half else None,
            "verbose": False,
            "save": False,
        }
        self._model = _load(weights)
        self._using_model = threading.Lock()
        self._try_out(weights)
        self._names: dict[int, str] = dict(self._model.predictor.model.names)
        classes = class_ids(options.classes, self._names)
        self._engine = f"PyTorch {_processor(device)}{' fp16' if half else ''}"
        same_anywhere = {**self._arguments, "device": device.partition(":")[0]}
        self._digest = settings_digest(
            weights=digest_of(weights),
            runtime=_runtime(),
            engine=self._engine,
            classes=classes,
            batch=batch,
            **same_anywhere,
        )
        self._arguments["classes"] = list(classes) or None
        self._room = threading.Semaphore(self.capacity)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="detect", daemon=True)
        self._thread.start()

    @property
    def names(self) -> Mapping[int, str]:
        """The name of every class it knows."""
        return self._names

    @property
    def digest(self) -> str:
        """Over weights, versions, kind of processor, precision, batch, options and, on a CPU, threads."""
        return self._digest

    @property
    def engine(self) -> str:
        """What it computes with, for people: `PyTorch cuda NVIDIA L4 8.9`."""
        return self._engine

    @property
    def capacity(self) -> int:
        """One batch on the device and one that fills meanwhile."""
        return 2 * self._batch

    def prepare(self, width: int, height: int) -> None:
        """Run the model on one grey batch of that size, which settles kernels and memory."""
        self._predict([np.full((height, width, 3), 114, dtype=np.uint8)])

    def submit(self, image: Pixels) -> Future[sv.Detections]:
        """See `Detector.submit`."""
        future: Future[sv.Detections] = Future()
        try:
            check_picture(image)
        except ModelError as error:
            future.set_exception(error)
            return future
        self._room.acquire()
        if self._closed:
            self._room.release()
            raise ModelError("the detector is closed")
        future.add_done_callback(lambda _: self._room.release())
        self._jobs.put(_Job(image, future))
        return future

    def close(self) -> None:
        """Finish what is in flight and give the device back; idempotent."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()
            self._model = None

    def _work(self) -> None:
        while jobs := self._waiting():
            jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            for group in _by_size(jobs):
                self._answer(group)

    def _waiting(self) -> list[_Job]:
        """At least one job and at most a batch; empty at the end."""
        job = self._jobs.get()
        jobs = []
        while job is not None:
            jobs.append(job)
            if len(jobs) == self._batch or self._jobs.empty():
                return jobs
            job = self._jobs.get()
        if jobs:
            self._jobs.put(None)
        return jobs

    def _answer(self, jobs: Sequence[_Job]) -> None:
        try:
            results = self._predict([job.image for job in jobs])
        except Exception as error:  # one batch may fail, the thread goes on
            for job in jobs:
                job.future.set_exception(error)
            return
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)

    def _try_out(self, weights: Path) -> None:
        try:
            self.prepare(64, 64)
        except ModelError as error:
            raise ModelError(f"{weights} cannot be used: {error}; {OTHER_WEIGHTS}") from error

    def _predict(self, images: list[Pixels]) -> list[sv.Detections]:
        filled = images + images[-1:] * (self._batch - len(images))
        try:
            with self._using_model:
                results = self._model.predict(filled, batch=len(filled), **self._arguments)
        except Exception as error:  # torch, its backends and ultralytics raise whatever they like
            raise ModelError(f"detection failed: {reason(error)}") from error
        return [_detections(result) for result in results[: len(images)]]


def _load(weights: Path) -> Any:
    stay_offline()
    insist_on_ultralytics()
    from ultralytics import YOLO

    try:
        if weights.suffix.lower() != ".pt":
            return YOLO(str(weights))
        with tempfile.TemporaryDirectory() as folder:  # ultralytics mistakes some characters in a path for instructions
            return YOLO(shutil.copyfile(weights, Path(folder) / "weights.pt"))
    except Exception as error:  # whatever a damaged or hostile file makes of the loader
        raise ModelError(f"{weights} cannot be loaded: {reason(error)}; {OTHER_WEIGHTS}") from error


def _runtime() -> str:
    import cv2
    import torch

    cudnn: Any = torch.backends.cudnn
    return (
        f"ultralytics {version('ultralytics')}, torch {torch.__version__}, "
        f"cuda {torch.version.cuda}, cudnn {cudnn.version()}, opencv {cv2.__version__}"
    )


def _processor(device: str) -> str:
    """What decides the last bits of a sum on that device."""
    import torch

    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        return f"cuda {torch.cuda.get_device_name(device)} {major}.{minor}"
    if device != "cpu":
        return f"{device} {platform.processor()}"
    kernels = torch.backends.cpu.get_cpu_capability().lower()
    return f"cpu {instruction_set(platform.processor())}, {kernels} kernels, {torch.get_num_threads()} threads"


def _by_size(jobs: Sequence[_Job]) -> list[list[_Job]]:
    groups: dict[tuple[int, ...], list[_Job]] = {}
    for job in jobs:
        groups.setdefault(job.image.shape, []).append(job)
    return list(groups.values())


def _detections(result: Any) -> sv.Detections:
    if result.boxes is None:
        raise ModelError("this model finds no boxes: use a detection model")
    found = result.boxes.data.cpu().numpy()
    found = found[np.isfinite(found).all(axis=1)]
    return as_detections(found[:, :4], found[:, 4], found[:, 5].astype(int), result.names)
