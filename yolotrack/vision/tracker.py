"""The trackers of the `trackers` package (SORT, ByteTrack, OC-SORT, BoT-SORT, C-BIoU) behind our contract."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import supervision as sv
from trackers import (
    BaseIoU,
    BIoU,
    BoTSORTTracker,
    ByteTrackTracker,
    CBIoUTracker,
    CIoU,
    DIoU,
    GIoU,
    IoU,
    OCSORTTracker,
    SORTTracker,
)
from trackers.core.base import BaseTracker
from trackers.core.botsort.tracklet import BoTSORTTracklet
from trackers.core.bytetrack.tracklet import ByteTrackTracklet
from trackers.core.ocsort.tracklet import OCSORTTracklet
from trackers.core.sort.tracklet import SORTTracklet
from trackers.utils.base_tracklet import BaseTracklet

from yolotrack.config import TrackerSettings
from yolotrack.errors import BadSnapshot, TrackerError
from yolotrack.vision.base import Tracker
from yolotrack.vision.parameters import Kinds, parameters
from yolotrack.vision.snapshot import Codec

_KINDS: Mapping[str, tuple[type[BaseTracker], Callable[[npt.NDArray[np.float64]], BaseTracklet]]] = {
    "sort": (SORTTracker, SORTTracklet),
    "bytetrack": (ByteTrackTracker, ByteTrackTracklet),
    "ocsort": (OCSORTTracker, OCSORTTracklet),
    "botsort": (BoTSORTTracker, BoTSORTTracklet),
    "cbiou": (CBIoUTracker, BoTSORTTracklet),
}
_OVERLAPS: Mapping[str, type[BaseIoU]] = {"iou": IoU, "giou": GIoU, "diou": DIoU, "ciou": CIoU, "biou": BIoU}
_FARTHEST, _SMALLEST = 1e6, 0.1  # pixels: a box beyond these is a defect, and upsets a Kalman filter
_MAGIC = b"yolotrack-tracker\n"
_FORMAT = 1


def open_tracker(settings: TrackerSettings, rate: Fraction | None) -> Tracker:
    """A fresh tracker for one run, as configured. `rate`: published frames per second, None where unknown.

    `TrackerError` when a parameter is unknown, of the wrong type, or out of range.
    """
    name = settings.name
    return PackagedTracker(name, parameters(name, getattr(settings, name), rate, _parameter_kinds(name)))


def _parameter_kinds(name: str) -> Kinds:
    """By the signature of its class; an overlap is chosen by name."""
    kinds = typing.get_type_hints(_KINDS[name][0].__init__)
    kinds.pop("return")
    return {**kinds, "iou": tuple(_OVERLAPS)} if "iou" in kinds else kinds


class PackagedTracker:
    """A tracker of the package under our rules: `Tracker`, for one run and one thread."""

    def __init__(self, name: str, parameters: Mapping[str, Any]) -> None:
        self._name = name
        self._parameters = dict(parameters)
        self._inner = _built(name, parameters)
        self._state_names = _state_names(self._inner)
        self._ids: dict[int, int] = {}
        self._issued = 0
        self._time = -math.inf

    @property
    def name(self) -> str:
        """As in the configuration."""
        return self._name

    def update(
        self, detections: sv.Detections, media_time: float, motion: tuple[float, ...] | None = None
    ) -> sv.Detections:
        """As `Tracker` promises: float32 boxes, with confidence, class_id and data["class_name"] always there.

        Boxes that cannot be (not finite, or without area) are ignored. `TrackerError` when time does not
        advance or `motion` is no matrix; nothing has changed then.
        """
        if not self._time < media_time < math.inf:
            raise TrackerError(f"a frame at {media_time} s cannot follow one at {self._time} s: time must increase")
        found = _step(self._inner, _usable(detections), media_time, _matrix(motion))
        self._time = float(media_time)
        return self._numbered(found)

    def snapshot(self) -> bytes:
        """The whole state, about half a kilobyte a track."""
        inner = {name: vars(self._inner)[name] for name in self._state_names}
        state = {"inner": inner, "ids": self._ids, "issued": self._issued, "time": self._time}
        packed = _codec(self._name).encode(state)
        return _MAGIC + msgspec.msgpack.encode(_Envelope(_FORMAT, _library(), self._name, self._digest(), packed))

    def restore(self, state: bytes) -> None:
        """As `Tracker` promises; after `BadSnapshot` this tracker is as it was."""
        packed = self._opened(state)
        trial = PackagedTracker(self._name, self._parameters)
        trial._adopt(packed)
        trial._try_out()
        self._adopt(packed)

    def _numbered(self, found: sv.Detections) -> sv.Detections:
        theirs = np.asarray(found.tracker_id)
        rows = np.flatnonzero(theirs >= 0)
        for confirmed in sorted(set(theirs[rows].tolist()) - self._ids.keys()):
            self._issued += 1
            self._ids[confirmed] = self._issued
        ours = np.array([self._ids[confirmed] for confirmed in theirs[rows].tolist()], dtype=int)
        alive = {track.tracker_id for track in self._inner.tracks}
        self._ids = {known: number for known, number in self._ids.items() if known in alive}
        order = np.argsort(ours)
        tracks = _rows(found, rows[order])
        tracks.tracker_id = ours[order]
        return tracks

    def _opened(self, state: bytes) -> bytes:
        """The packed state, when this tracker is one to go on with it."""
        envelope = _envelope(state)
        if envelope.tracker != self._name:
            raise BadSnapshot(f"tracker snapshot is one of {envelope.tracker}, but {self._name} is configured")
        if envelope.library != _library():
            raise BadSnapshot(
                f"tracker snapshot is of trackers {envelope.library}, but {_library()} is installed: "
                f"finish the run with the version it began with, or start it again"
            )
        if envelope.parameters != self._digest():
            raise BadSnapshot(f"tracker snapshot was made by a {self._name} with other parameters or frame rate")
        return envelope.state

    def _adopt(self, packed: bytes) -> None:
        state = _codec(self._name).decode(packed)
        try:
            inner, ids, issued, time = (state.pop(name) for name in ("inner", "ids", "issued", "time"))
            plain = all(type(number) is int for pair in (*ids.items(), (issued,)) for number in pair)
            if state or inner.keys() != set(self._state_names) or not plain or type(time) is not float:
                raise TypeError
        except (AttributeError, KeyError, TypeError):
            raise BadSnapshot("tracker snapshot is damaged: it is not the state of a tracker") from None
        vars(self._inner).update(inner)
        self._ids, self._issued, self._time = ids, issued, time

    def _try_out(self) -> None:
        """One frame more: what only looks like a state fails here, and not in the middle of a run."""
        box = sv.Detections(
            np.array([[0.0, 0.0, 9.0, 9.0]]),
            confidence=np.ones(1),
            class_id=np.zeros(1, dtype=int),
            data={"class_name": np.array([""])},
        )
        try:
            with np.errstate(all="ignore"):
                self.update(box, max(self._time, 0.0) + 1.0 / self._parameters["frame_rate"])
        except Exception as error:
            raise BadSnapshot(f"tracker snapshot is damaged: {type(error).__name__}: {error}") from None

    def _digest(self) -> str:
        return blake2b(json.dumps(self._parameters, sort_keys=True).encode(), digest_size=16).hexdigest()


class _Envelope(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a snapshot says about itself."""

    format: int
    library: str
    tracker: str
    parameters: str
    state: bytes


def _envelope(state: bytes) -> _Envelope:
    if not state.startswith(_MAGIC):
        raise BadSnapshot("this is no tracker snapshot")
    try:
        envelope = msgspec.msgpack.decode(state[len(_MAGIC) :], type=_Envelope)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadSnapshot(f"tracker snapshot is damaged: {error}") from None
    if envelope.format != _FORMAT:
        raise BadSnapshot(f"tracker snapshot has format {envelope.format}, and this version reads {_FORMAT} only")
    return envelope


@cache
def _library() -> str:
    return version("trackers")


@cache
def _codec(name: str) -> Codec:
    """Knows the classes that a track of this tracker is made of, by looking at one."""
    track = _KINDS[name][1](np.array([0.0, 0.0, 1.0, 1.0]))
    estimator = track.state_estimator
    parts = (track, estimator, estimator.kf, estimator.motion, estimator.motion.process_noise)
    return Codec({type(part): _attributes(part) for part in parts})


def _attributes(part: Any) -> tuple[str, ...]:
    """A field of a dataclass may still be its class's default, and not in `vars` yet."""
    fields = dataclasses.fields(part) if dataclasses.is_dataclass(part) else ()
    return tuple(dict.fromkeys([*vars(part), *(field.name for field in fields)]))


class _GivenMotion:
    """In the place of the package's estimator of camera motion: the frame it is handed is the matrix itself."""

    def estimate(self, frame: npt.NDArray[np.float32], boxes: object) -> npt.NDArray[np.float32]:
        return frame


def _built(name: str, parameters: Mapping[str, Any]) -> BaseTracker:
    arguments = dict(parameters)
    if "iou" in arguments:
        arguments["iou"] = _OVERLAPS[arguments["iou"]]()
    if name == "botsort":
        arguments["enable_cmc"] = False
    try:
        inner = _KINDS[name][0](**arguments)
    except ValueError as error:
        raise TrackerError(f"tracker.{name}: {error}") from None
    if isinstance(inner, BoTSORTTracker) and name == "botsort":
        inner.enable_cmc = True
        inner.cmc = _GivenMotion()  # type: ignore[assignment]
    return inner


def _state_names(inner: BaseTracker) -> tuple[str, ...]:
    """What changes, or is plain: classes and their like come from the configuration."""
    settled = (type, BaseIoU, _GivenMotion)
    return tuple(name for name, value in vars(inner).items() if not isinstance(value, settled))


def _step(
    inner: BaseTracker, detections: sv.Detections, media_time: float, matrix: npt.NDArray[np.float32] | None
) -> sv.Detections:
    frame = matrix if isinstance(getattr(inner, "cmc", None), _GivenMotion) else None
    try:
        return inner.update(detections, frame=frame, timestamp=float(media_time))
    except ValueError as error:
        raise TrackerError(f"{inner.tracker_id} cannot go on at {media_time} s: {error}") from None


def _matrix(motion: tuple[float, ...] | None) -> npt.NDArray[np.float32] | None:
    if motion is None:
        return None
    if len(motion) != 6 or not all(map(math.isfinite, motion)):
        raise TrackerError(f"camera motion must be six finite numbers, not {motion}")
    return np.array(motion, dtype=np.float32).reshape(2, 3)


def _usable(detections: sv.Detections) -> sv.Detections:
    """A copy with nothing but what trackers need, and without the boxes that cannot be."""
    if len(detections) == 0:
        return _rows(detections, np.arange(0))
    if detections.confidence is None or detections.class_id is None or "class_name" not in detections.data:
        raise TrackerError("detections need confidence, class_id and data['class_name']; the detector left one out")
    boxes = detections.xyxy
    near = (np.abs(boxes) <= _FARTHEST).all(axis=1)  # false for nan, too
    solid = (boxes[:, 2:] >= boxes[:, :2] + _SMALLEST).all(axis=1)
    return _rows(detections, np.flatnonzero(near & solid & np.isfinite(detections.confidence)))


def _rows(detections: sv.Detections, rows: npt.NDArray[np.intp]) -> sv.Detections:
    """These rows, in this order, of what every value of ours has; also where there was nothing of it."""
    names = detections.data.get("class_name")
    return sv.Detections(
        xyxy=detections.xyxy[rows].astype(np.float32),
        confidence=_column(detections.confidence, np.float32)[rows],
        class_id=_column(detections.class_id, np.int64)[rows],
        data={"class_name": _column(names, np.str_)[rows]},
    )


def _column(values: Any, kind: type) -> npt.NDArray[Any]:
    return np.asarray([] if values is None else values, dtype=kind)
