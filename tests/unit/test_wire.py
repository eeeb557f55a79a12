"""Bytes and messages: bit for bit there and back; whatever else comes is refused with `WireError`, and nothing else."""

from __future__ import annotations

import ast
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import supervision as sv

from yolotrack import wire
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

RUN = "01920000-0000-7000-8000-00000000abcd"
WHEN = datetime(2026, 3, 29, 1, 59, 59, 999999, tzinfo=timezone.utc)
PLACE = (RUN, "cam.1_a-B", 7, 1 / 3, WHEN)
MOTION = (1.0000000000000002, -0.1, 1e-300, 5e-324, 0.3, -1e300)
JPEG = bytes(range(256)) * 5 + b"YT\x01\xff\xd9"


def boxes(count: int, *, tracked: bool = False) -> sv.Detections:
    dice = np.random.default_rng(count)
    return sv.Detections(
        xyxy=dice.uniform(-1e5, 1e5, (count, 4)).astype(np.float32),
        confidence=dice.random(count).astype(np.float32),
        class_id=dice.integers(0, 80, count),
        tracker_id=dice.integers(1, 2**31, count) if tracked else None,
        data={"class_name": np.array(["Fußgänger", "自行车", "", "🚗 car"] * count, dtype=str)[:count]},
    )


def run_of(**changes: Any) -> Run:
    values = Run(RUN, "cam", "rtsp://u:***@host/ü?x=1", WHEN, Mode.LIVE, 1920, 1080, Fraction(30000, 1001))
    return replace(values, **changes)


MESSAGES: dict[str, Message] = {
    "frame": Frame(*PLACE, JPEG),
    "frame, motion": Frame(*PLACE, JPEG, MOTION),
    "frame, empty": Frame(*PLACE, b""),
    "run started": RunStarted(run_of()),
    "run started, no rate": RunStarted(run_of(rate=None, mode=Mode.ARCHIVE)),
    "detections": FrameDetections(*PLACE, boxes(5), "yolov8n.pt", "d1g357", MOTION),
    "detections, none": FrameDetections(*PLACE, boxes(0), "", ""),
    "detections, many": FrameDetections(*PLACE, boxes(wire.MAX_BOXES), "m", "d"),
    "failed": FrameLost(*PLACE, Outcome.FAILED, "kein JPEG: ä\n\0"),
    "dropped": FrameLost(*PLACE, Outcome.DROPPED, ""),
    "run ended": RunEnded(RUN, "cam", 0, RunStatus.INTERRUPTED),
    "run complete": RunEnded(RUN, "c" * 64, 2**53 - 1, RunStatus.COMPLETE),
    "tracks": FrameTracks(*PLACE, Outcome.TRACKED, boxes(3, tracked=True)),
    "tracks, none": FrameTracks(*PLACE, Outcome.TRACKED, boxes(0, tracked=True)),
    "tracks, failed": FrameTracks(*PLACE, Outcome.FAILED, sv.Detections.empty(), "too dark"),
    "pinned": ModelPinned(RUN, "cam", "weights/ü.pt", "0" * 64),
    "barrier": Barrier(RUN),
}


def values(message: Any) -> dict[str, Any]:
    """What a message holds, arrays as their bytes, so that only what is the same is equal."""
    held = {name: getattr(message, name) for name in message.__slots__}
    return {name: _bits(value) if isinstance(value, sv.Detections) else value for name, value in held.items()}


def _bits(found: sv.Detections) -> tuple[Any, ...]:
    names = found.data.get("class_name", np.array([], dtype=str)).tolist()
    ids = None if found.tracker_id is None else found.tracker_id.tolist()
    arrays = (found.xyxy, found.confidence, found.class_id)
    return (*((a.tobytes(), a.shape) if a.dtype == np.float32 else a.tolist() for a in arrays), ids, names)


def body(header: Any, payload: bytes = b"", *, version: int = wire.VERSION, magic: bytes = b"YT") -> bytes:
    packed = header if isinstance(header, bytes) else msgspec.msgpack.encode(header)
    return struct.pack(">2sBI", magic, version, len(packed)) + packed + payload


def header_of(message: Message) -> dict[str, Any]:
    encoded = wire.encode(message)
    (length,) = struct.unpack_from(">I", encoded, 3)
    return dict(msgspec.msgpack.decode(encoded[7 : 7 + length]))


# There and back


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_comes_back_bit_for_bit(name: str) -> None:
    message = MESSAGES[name]
    back = wire.decode(wire.encode(message))
    assert type(back) is type(message)
    assert values(back) == values(message)


@pytest.mark.parametrize("name", MESSAGES)
def test_encoding_what_was_decoded_gives_the_same_bytes(name: str) -> None:
    encoded = wire.encode(MESSAGES[name])
    assert wire.encode(wire.decode(encoded)) == encoded


def test_a_jpeg_travels_byte_for_byte_at_the_end() -> None:
    assert wire.encode(MESSAGES["frame"]).endswith(JPEG)


def test_boxes_come_back_in_the_types_of_the_model() -> None:
    found = wire.decode(wire.encode(MESSAGES["tracks"])).tracks  # type: ignore[union-attr]
    assert (found.xyxy.dtype, found.confidence.dtype) == (np.float32, np.float32)
    assert found.class_id.dtype.kind == found.tracker_id.dtype.kind == "i"
    assert found.data["class_name"].dtype.kind == "U"
    found.xyxy += 1  # owned and writable


def test_detections_without_names_or_confidence_travel_too() -> None:
    bare = sv.Detections(np.array([[1, 2, 3, 4]], np.float32))
    back = wire.decode(wire.encode(FrameDetections(*PLACE, bare, "m", "d"))).detections  # type: ignore[union-attr]
    assert back.xyxy.tolist() == [[1, 2, 3, 4]]
    assert back.data["class_name"].tolist() == [""]


def test_a_time_in_another_zone_is_the_same_moment_in_utc() -> None:
    there = WHEN.astimezone(timezone(timedelta(hours=5, minutes=45)))
    back = wire.decode(wire.encode(replace(MESSAGES["dropped"], captured_at=there)))  # type: ignore[type-var]
    assert back.captured_at == WHEN  # type: ignore[union-attr]
    assert back.captured_at.utcoffset() == timedelta(0)  # type: ignore[union-attr]


def test_what_is_too_long_to_be_useful_is_cut() -> None:
    lost = wire.decode(wire.encode(FrameLost(*PLACE, Outcome.FAILED, "x" * 5000)))
    assert lost.reason == "x" * 2000  # type: ignore[union-attr]
    started = wire.decode(wire.encode(RunStarted(run_of(source="y" * 5000))))
    assert started.run.source == "y" * 2000  # type: ignore[union-attr]
    named = replace(boxes(1), data={"class_name": np.array(["z" * 5000])})
    found = wire.decode(wire.encode(FrameDetections(*PLACE, named, "m", "d")))
    assert found.detections.data["class_name"].tolist() == ["z" * wire.MAX_NAME]  # type: ignore[union-attr]


def test_pixels_do_not_travel() -> None:
    with pytest.raises(WireError, match="JPEG"):
        wire.encode(Frame(*PLACE, np.zeros((2, 2, 3), np.uint8)))


def test_nothing_here_knows_pickle() -> None:
    tree = ast.parse(Path(wire.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}


# What is refused

GOOD = wire.encode(MESSAGES["detections"])
BYTES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a message: 0 bytes"),
    "short": (b"YT\x01\0\0\0", "not a message: 6 bytes"),
    "other magic": (b"TY" + GOOD[2:], "does not begin with YT"),
    "a JPEG": (b"\xff\xd8\xff\xe0" + bytes(100), "does not begin with YT"),
    "a pickle": (b"\x80\x04\x95" + bytes(20), "does not begin with YT"),
    "version 0": (body(header_of(MESSAGES["barrier"]), version=0), "message format 0, and this yolotrack reads 1"),
    "version 2": (body(header_of(MESSAGES["barrier"]), version=2), "use the same release"),
    "cut in the header": (GOOD[:40], "cut off"),
    "no header": (GOOD[:7], "cut off"),
    "huge length": (b"YT\x01\xff\xff\xff\xff" + GOOD[7:], "cut off"),
    "length too small": (b"YT\x01\0\0\0\x05" + GOOD[7:], "bad header"),
    "empty header": (body(b""), "bad header"),
    "bytes behind": (GOOD + b"\0", "1 bytes behind"),
    "bytes behind, within the header": (body(GOOD[7:] + b"\xc0"), "bad header"),
    "no map": (body([1, 2]), "bad header"),
    "deep": (body(b"\x91" * 200_000), "bad header"),
    "deep, before the type": (body(b"\x82\xa1a" + b"\x91" * 200_000), "bad header"),
    "huge array": (body(b"\x81\xa4type\xdd\xff\xff\xff\xff"), "bad header"),
    "huge map": (body(b"\xdf\xff\xff\xff\xff\xa4type"), "bad header"),
    "huge text": (body(b"\x81\xa4type\xdb\xff\xff\xff\xff"), "bad header"),
    "no text": (body(b"\x82\xa4type\xa7barrier\xa5token\xa4\xff\xfe\xfd\xfc"), "bad header"),
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_message_are_refused(name: str) -> None:
    data, said = BYTES[name]
    with pytest.raises(WireError, match=said):
        wire.decode(data)


NAN, INFINITE = float("nan"), float("inf")
HEADERS: list[tuple[str, dict[str, Any]]] = [
    ("frame", {"type": "picture"}),
    ("frame", {"type": 1}),
    ("frame", {"type": None}),
    ("frame", {"surprise": 1}),
    ("frame", {"run_id": "run"}),
    ("frame", {"run_id": RUN.upper()}),
    ("frame", {"run_id": RUN + "\n"}),
    ("frame", {"run_id": 7}),
    *(("frame", {"stream": name}) for name in ("", ".a", "a/b", "a b", "a\n", "#", "a.*", "ü", "a" * 65, b"a", None)),
    ("frame", {"index": -1}),
    ("frame", {"index": 2**53}),
    ("frame", {"index": 1.5}),
    ("frame", {"index": "1"}),
    ("frame", {"index": True}),
    ("frame", {"media_time": NAN}),
    ("frame", {"media_time": INFINITE}),
    ("frame", {"media_time": "1"}),
    ("frame", {"captured_at": WHEN.replace(tzinfo=None).isoformat()}),
    ("frame", {"captured_at": "yesterday"}),
    ("frame", {"captured_at": 1.5}),
    ("frame", {"motion": [1.0] * 5}),
    ("frame", {"motion": [1.0] * 7}),
    ("frame", {"motion": [1.0] * 5 + [NAN]}),
    ("detections", {"motion": [1.0] * 5 + [INFINITE]}),
    ("detections", {"model": "m" * 2001}),
    ("detections", {"boxes": None}),
    ("detections", {"boxes": []}),
    ("failed", {"outcome": "lost"}),
    ("failed", {"outcome": "tracked"}),
    ("failed", {"reason": None}),
    ("tracks", {"outcome": "complete"}),
    ("run ended", {"status": "running"}),
    ("run ended", {"status": "tracked"}),
    ("run ended", {"frame_count": -1}),
    ("run started", {"mode": "slow"}),
    ("run started", {"width": 0}),
    ("run started", {"height": 65536}),
    ("run started", {"rate": [25, 0]}),
    ("run started", {"rate": [0, 1]}),
    ("run started", {"rate": [25]}),
    ("run started", {"rate": 25}),
    ("run started", {"started_at": None}),
    ("pinned", {"digest": 1}),
    ("barrier", {"token": ""}),
]


@pytest.mark.parametrize(("name", "changes"), HEADERS, ids=[f"{name} {changes}"[:60] for name, changes in HEADERS])
def test_a_header_with_one_wrong_value_is_refused(name: str, changes: dict[str, Any]) -> None:
    header = header_of(MESSAGES[name])
    wire.decode(body(header))
    with pytest.raises(WireError, match="bad header"):
        wire.decode(body(header | changes))


@pytest.mark.parametrize("name", MESSAGES)
def test_a_header_that_lacks_something_is_refused(name: str) -> None:
    header = header_of(MESSAGES[name])
    for field in set(header) - {"motion", "reason"}:
        with pytest.raises(WireError):
            wire.decode(body({key: value for key, value in header.items() if key != field}))


def floats(*numbers: float) -> bytes:
    return np.array(numbers, "<f4").tobytes()


BOXES: dict[str, dict[str, Any]] = {
    "NaN": {"xyxy": floats(1, 2, NAN, 4)},
    "infinite": {"xyxy": floats(1, 2, INFINITE, 4)},
    "minus infinite": {"xyxy": floats(-INFINITE, 2, 3, 4)},
    "NaN confidence": {"confidence": floats(NAN)},
    "too few coordinates": {"xyxy": floats(1, 2, 3)},
    "too many coordinates": {"xyxy": floats(1, 2, 3, 4, 5)},
    "odd bytes": {"xyxy": floats(1, 2, 3, 4) + b"\0"},
    "no confidence": {"confidence": b""},
    "two classes": {"class_id": bytes(8)},
    "no id": {"tracker_id": b""},
    "two names": {"class_name": ["a", "b"]},
    "no name": {"class_name": []},
    "a long name": {"class_name": ["a" * (wire.MAX_NAME + 1)]},
    "names that are none": {"class_name": [1]},
    "too many": {
        "xyxy": bytes(16 * (wire.MAX_BOXES + 1)),
        "confidence": bytes(4 * (wire.MAX_BOXES + 1)),
        "class_id": bytes(4 * (wire.MAX_BOXES + 1)),
        "class_name": [""] * (wire.MAX_BOXES + 1),
    },
    "something else": {"mask": b""},
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes_that_do_not_hold_together_are_refused(name: str) -> None:
    header = header_of(FrameTracks(*PLACE, Outcome.TRACKED, boxes(1, tracked=True)))
    wire.decode(body(header))
    with pytest.raises(WireError):
        wire.decode(body(header | {"boxes": header["boxes"] | BOXES[name]}))


# Anything at all


def _flip(data: bytearray, dice: random.Random) -> None:
    data[dice.randrange(len(data))] = dice.randrange(256)


def _cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def _remove(data: bytearray, dice: random.Random) -> None:
    begin = dice.randrange(len(data))
    del data[begin : begin + dice.randrange(1, 9)]


def _insert(data: bytearray, dice: random.Random) -> None:
    begin = dice.randrange(len(data))
    data[begin:begin] = dice.randbytes(dice.randrange(1, 9))


def _double(data: bytearray, dice: random.Random) -> None:
    begin = dice.randrange(len(data))
    data[begin:begin] = data[begin : begin + dice.randrange(1, 40)]


MUTATIONS: list[Callable[[bytearray, random.Random], None]] = [_flip, _flip, _flip, _cut, _remove, _insert, _double]


def accepted(data: bytes) -> bool:
    """Whether it is a message, which can then be sent on; raises what is not `WireError`."""
    try:
        message = wire.decode(data)
    except WireError:
        return False
    assert values(wire.decode(wire.encode(message))) == values(message)
    return True


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "detections, many"])
def test_a_damaged_message_is_refused_or_another_message(name: str) -> None:
    dice = random.Random(name)
    good = wire.encode(MESSAGES[name])
    refused = 0
    for _ in range(600):
        data = bytearray(good)
        for _ in range(dice.choice((1, 1, 2, 5))):
            if data:
                dice.choice(MUTATIONS)(data, dice)
        refused += not accepted(bytes(data))
    assert refused > 100


def test_noise_is_refused() -> None:
    dice = random.Random(11)
    for _ in range(3000):
        noise = dice.randbytes(dice.randrange(80))
        assert not accepted(noise)
        assert not accepted(body(noise))
