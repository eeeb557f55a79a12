"""The only place that knows bytes: message <-> body.

A body is `YT`, a format version (one byte), the header's length (32 bit, big-endian), the header (msgpack, typed,
validated on decode), then the payload: a frame's JPEG as it was encoded, nothing for all other messages.
No pickle: what arrives can be refused, never executed.

What is kept of a frame to track it again is `YD`, a format version, then boxes and motion (msgpack): the rest of the
message is in the store already. 22 bytes a box, not deflated: that saved a tenth of crowded frames, nothing of others.
"""

from __future__ import annotations

import struct
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from yolotrack.errors import WireError
from yolotrack.model import (
    Barrier,
    Frame,
    FrameDetections,
    FrameLost,
    FrameTracks,
    Message,
    Mode,
    ModelPinned,
    Outcome,
    Run,
    RunEnded,
    RunStarted,
    RunStatus,
)

if TYPE_CHECKING:
    import supervision as sv

VERSION = 1
MAX_BOXES = 10_000
MAX_NAME = 200
_PREFIX = struct.Struct(">2sBI")
_MAGIC = b"YT"
_KEPT_MAGIC, _KEPT_VERSION = b"YD", 1

_Stream: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
_RunId: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]
_Text: TypeAlias = Annotated[str, Meta(max_length=2000)]
_ClassName: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME)]
_Motion: TypeAlias = Annotated[list[float], Meta(min_length=6, max_length=6)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class _Place(_Header, frozen=True):
    """Which frame."""

    run_id: _RunId
    stream: _Stream
    index: _Count
    media_time: float
    captured_at: Annotated[datetime, Meta(tz=True)]


class _Boxes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Detections: little-endian arrays, so that floats arrive bit for bit."""

    xyxy: bytes
    confidence: bytes
    class_id: bytes
    class_name: Annotated[list[_ClassName], Meta(max_length=MAX_BOXES)]
    tracker_id: bytes | None = None


class _Frame(_Place, frozen=True, tag="frame"):
    motion: _Motion | None = None


class _Detections(_Place, frozen=True, tag="detections"):
    boxes: _Boxes
    model: _Text
    model_digest: _Text
    motion: _Motion | None = None


class _Lost(_Place, frozen=True, tag="lost"):
    outcome: Outcome
    reason: _Text


class _Tracks(_Place, frozen=True, tag="tracks"):
    outcome: Outcome
    boxes: _Boxes
    reason: _Text = ""


class _Started(_Header, frozen=True, tag="run-started"):
    run_id: _RunId
    stream: _Stream
    source: _Text
    started_at: Annotated[datetime, Meta(tz=True)]
    mode: Mode
    width: Annotated[int, Meta(ge=1, le=65535)]
    height: Annotated[int, Meta(ge=1, le=65535)]
    rate: tuple[Annotated[int, Meta(ge=1)], Annotated[int, Meta(ge=1)]] | None


class _Ended(_Header, frozen=True, tag="run-ended"):
    run_id: _RunId
    stream: _Stream
    frame_count: _Count
    status: RunStatus


class _Pinned(_Header, frozen=True, tag="model-pinned"):
    run_id: _RunId
    stream: _Stream
    model: _Text
    digest: _Text


class _Barrier(_Header, frozen=True, tag="barrier"):
    token: _RunId


class _Kept(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """`_Boxes`, each class named once."""

    xyxy: bytes
    confidence: bytes
    kind: bytes
    """Of each box the place of its class, 16 bits."""
    classes: Annotated[list[tuple[int, _ClassName]], Meta(max_length=MAX_BOXES)]
    motion: _Motion | None = None


_encoder = msgspec.msgpack.Encoder()
_kept_decoder = msgspec.msgpack.Decoder(_Kept)
_decoder = msgspec.msgpack.Decoder(_Frame | _Detections | _Lost | _Tracks | _Started | _Ended | _Pinned | _Barrier)


def encode(message: Message) -> bytes:
    """The body of a message. A frame's picture must be a JPEG already; it is appended byte for byte."""
    header, payload = _header(message)
    packed = _encoder.encode(header)
    return b"".join((_PREFIX.pack(_MAGIC, VERSION, len(packed)), packed, payload))


def decode(body: bytes) -> Message:
    """The message of a body; `WireError` says what is wrong with it."""
    if len(body) < _PREFIX.size:
        raise WireError(f"not a message: {len(body)} bytes")
    magic, version, length = _PREFIX.unpack_from(body)
    if magic != _MAGIC:
        raise WireError("not a message: it does not begin with YT")
    if version != VERSION:
        raise WireError(
            f"message format {version}, and this yolotrack reads {VERSION}: use the same release everywhere"
        )
    end = _PREFIX.size + length
    if end > len(body):
        raise WireError("the message is cut off in its header")
    try:
        header = _decoder.decode(memoryview(body)[_PREFIX.size : end])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise WireError(f"bad header: {error}") from error
    return _message(header, body[end:])


def encode_kept(found: FrameDetections) -> bytes:
    """What the store keeps of a frame's detections: boxes, classes and motion; not what has no confidence."""
    packed = _pack(_scored(found.detections))
    kinds = list(zip(np.frombuffer(packed.class_id, "<i4").tolist(), packed.class_name, strict=True))
    places = {kind: place for place, kind in enumerate(dict.fromkeys(kinds))}
    kind = np.array([places[kind] for kind in kinds], "<u2").tobytes()
    kept = _Kept(packed.xyxy, packed.confidence, kind, list(places), _list(found.motion))
    return _KEPT_MAGIC + bytes((_KEPT_VERSION,)) + _encoder.encode(kept)


def decode_kept(body: bytes) -> tuple[sv.Detections, tuple[float, ...] | None]:
    """Detections and motion as `encode_kept` was given them; `WireError` says what is wrong with the body."""
    if len(body) < 3 or body[:2] != _KEPT_MAGIC:
        raise WireError("no kept detections: they do not begin with YD")
    if body[2] != _KEPT_VERSION:
        raise WireError(f"kept detections of format {body[2]}, and this yolotrack reads {_KEPT_VERSION}")
    try:
        kept = _kept_decoder.decode(memoryview(body)[3:])
        kind = np.frombuffer(kept.kind, "<u2")
        class_id, names = zip(*(kept.classes[place] for place in kind), strict=True) if len(kind) else ((), ())
        packed = _Boxes(kept.xyxy, kept.confidence, np.array(class_id, "<i4").tobytes(), list(names))
    except (msgspec.MsgspecError, ValueError, LookupError, OverflowError, RecursionError) as error:
        raise WireError(f"kept detections are damaged: {error}") from error
    return _unpack(packed), _tuple(kept.motion)


def _header(message: Message) -> tuple[_Header, bytes]:
    if isinstance(message, RunStarted):
        return _started(message.run), b""
    if isinstance(message, RunEnded):
        return _Ended(message.run_id, message.stream, message.frame_count, message.status), b""
    if isinstance(message, ModelPinned):
        return _Pinned(message.run_id, message.stream, message.model, message.digest), b""
    if isinstance(message, Barrier):
        return _Barrier(message.token), b""
    place = (message.run_id, message.stream, message.index, message.media_time, message.captured_at)
    if isinstance(message, Frame):
        if not isinstance(message.picture, bytes):
            raise WireError("only a JPEG can travel; encode the picture first")
        return _Frame(*place, _list(message.motion)), message.picture
    if isinstance(message, FrameDetections):
        boxes = _pack(message.detections)
        return _Detections(*place, boxes, message.model, message.model_digest, _list(message.motion)), b""
    if isinstance(message, FrameLost):
        return _Lost(*place, message.outcome, message.reason[:2000]), b""
    return _Tracks(*place, message.outcome, _pack(message.tracks), message.reason[:2000]), b""


def _started(run: Run) -> _Started:
    rate = (run.rate.numerator, run.rate.denominator) if run.rate else None
    return _Started(run.run_id, run.stream, run.source[:2000], run.started_at, run.mode, run.width, run.height, rate)


def _message(header: _Header, payload: bytes) -> Message:
    if isinstance(header, _Frame):
        return Frame(*_where(header), payload, _tuple(header.motion))
    if payload:
        raise WireError(f"{len(payload)} bytes behind a header that has none")
    if isinstance(header, _Detections):
        boxes = _unpack(header.boxes)
        return FrameDetections(*_where(header), boxes, header.model, header.model_digest, _tuple(header.motion))
    if isinstance(header, _Lost):
        if header.outcome is Outcome.TRACKED:
            raise WireError("bad header: a lost frame that was tracked")
        return FrameLost(*_where(header), header.outcome, header.reason)
    if isinstance(header, _Tracks):
        return FrameTracks(*_where(header), header.outcome, _unpack(header.boxes), header.reason)
    if isinstance(header, _Ended):
        if header.status is RunStatus.RUNNING:
            raise WireError("bad header: an end of a run that goes on")
        return RunEnded(header.run_id, header.stream, header.frame_count, header.status)
    if isinstance(header, _Pinned):
        return ModelPinned(header.run_id, header.stream, header.model, header.digest)
    if isinstance(header, _Barrier):
        return Barrier(header.token)
    assert isinstance(header, _Started)  # noqa: S101  # the decoder knows no other
    rate = Fraction(*header.rate) if header.rate else None
    return RunStarted(
        Run(
            header.run_id,
            header.stream,
            header.source,
            header.started_at,
            header.mode,
            header.width,
            header.height,
            rate,
        )
    )


def _where(header: _Place) -> tuple[str, str, int, float, datetime]:
    if not np.isfinite(header.media_time):
        raise WireError("bad header: the media time is no number")
    return header.run_id, header.stream, header.index, header.media_time, header.captured_at


def _list(motion: tuple[float, ...] | None) -> list[float] | None:
    return None if motion is None else list(motion)


def _tuple(motion: list[float] | None) -> tuple[float, ...] | None:
    if motion is not None and not np.isfinite(motion).all():
        raise WireError("bad header: the motion holds something that is no number")
    return None if motion is None else tuple(motion)


def _pack(detections: sv.Detections) -> _Boxes:
    count = len(detections)
    confidence = detections.confidence if detections.confidence is not None else np.ones(count)
    class_id = detections.class_id if detections.class_id is not None else np.zeros(count)
    tracker_id = detections.tracker_id
    return _Boxes(
        np.asarray(detections.xyxy, "<f4").tobytes(),
        np.asarray(confidence, "<f4").tobytes(),
        np.asarray(class_id, "<i4").tobytes(),
        [str(name)[:MAX_NAME] for name in detections.data.get("class_name", [""] * count)],
        None if tracker_id is None else np.asarray(tracker_id, "<i4").tobytes(),
    )


def _unpack(boxes: _Boxes) -> sv.Detections:
    import supervision as sv

    count = len(boxes.class_name)
    xyxy = _array(boxes.xyxy, "<f4", 4 * count).reshape(count, 4)
    confidence = _array(boxes.confidence, "<f4", count)
    if not (np.isfinite(xyxy).all() and np.isfinite(confidence).all()):
        raise WireError("a box holds something that is no number")
    tracker_id = None if boxes.tracker_id is None else _array(boxes.tracker_id, "<i4", count).astype(int)
    names = np.array(boxes.class_name, dtype=str)
    class_id = _array(boxes.class_id, "<i4", count).astype(int)
    return sv.Detections(xyxy, None, confidence, class_id, tracker_id, data={"class_name": names})


def _scored(detections: sv.Detections) -> sv.Detections:
    """Without what no tracker takes: supervision lets a confidence be nan, though not a corner."""
    if detections.confidence is None or (scored := np.isfinite(detections.confidence)).all():
        return detections
    return cast("sv.Detections", detections[scored])


def _array(data: bytes, kind: str, count: int) -> npt.NDArray[Any]:
    if len(data) != 4 * count:
        raise WireError(f"{len(data)} bytes where {4 * count} were announced")
    array: npt.NDArray[Any] = np.frombuffer(data, kind).copy()
    return array
