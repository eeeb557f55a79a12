"""The codec behind tracker snapshots, and what snapshots from outside can do: nothing."""

from __future__ import annotations

import math
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.support.detections import TRACKERS, boxes, crossing, fresh, track
from yolotrack.errors import BadSnapshot, TrackerError
from yolotrack.vision import tracker as adapter
from yolotrack.vision.snapshot import Codec

REFERENCE, ARRAY, LIST, DICT, OBJECT = range(5)


class Point:
    """A class that the codec knows. It must never be asked to do anything."""

    def __init__(self, x: object, y: object) -> None:
        self.x, self.y = x, y

    def __setattr__(self, name: str, value: object) -> None:
        if getattr(self, "sealed", False):
            raise AssertionError("ran code of the class")
        object.__setattr__(self, name, value)


CODEC = Codec({Point: ("x", "y")})


def round_trip(value: Any) -> Any:
    return CODEC.decode(CODEC.encode(value))


@pytest.mark.parametrize(
    "value", [None, True, False, 0, -1, 2**63, 0.1, -0.0, math.inf, "", "é\0", [], {}, [[1], {2: "x"}]]
)
def test_plain_values_come_back(value: object) -> None:
    back = round_trip(value)
    assert back == value and type(back) is type(value) and str(back) == str(value)


def test_numbers_and_truth_values_stay_apart() -> None:
    assert [type(item) for item in round_trip([1, 1.0, True])] == [int, float, bool]
    assert math.isnan(round_trip(math.nan))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([math.nan, -0.0, math.inf], np.float32),
        np.array(3, np.int64),
        np.zeros((0, 4)),
        np.array([True, False]),
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2],
    ],
)
def test_arrays_come_back_bit_for_bit_and_writable(array: np.ndarray) -> None:
    back = round_trip(array)
    assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()
    assert back.flags.fnc == array.flags.fnc and back.flags.writeable and back.flags.owndata


def test_a_shared_object_stays_one() -> None:
    array, point = np.zeros(3), Point(1, 2)
    point.y = shared = [array, point]
    back = round_trip({"first": shared, "second": [array, point, shared]})
    assert back["second"][0] is back["first"][0]
    assert back["second"][1] is back["first"][1]
    assert back["second"][2] is back["first"] is back["second"][1].y
    assert round_trip([np.zeros(2), np.zeros(2)])[0] is not round_trip([np.zeros(2), np.zeros(2)])[1]
    equal = round_trip([[], []])
    assert equal[0] is not equal[1]


def test_an_attribute_that_is_only_its_classs_default_is_kept() -> None:
    class Late(Point):
        x = 7

    late = object.__new__(Late)
    late.y = 8
    assert vars(Codec({Late: ("x", "y")}).decode(Codec({Late: ("x", "y")}).encode(late))) == {"x": 7, "y": 8}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({1, 2}, "builtins.set"),
        ((1, 2), "builtins.tuple"),
        (os.system, "builtins.builtin_function"),
        (Path("x"), "pathlib"),
        (Codec, "builtins.type"),
        (np.float64(1.0), "numpy.float64"),
        (np.array(["x"]), "an array of <U1"),
        (np.array([print]), "an array of object"),
    ],
)
def test_what_it_does_not_know_is_refused_when_written(value: object, says: str) -> None:
    with pytest.raises(TrackerError, match=f"cannot hold {says}"):
        CODEC.encode({"deep": [value]})


def test_an_attribute_that_it_does_not_know_is_refused_when_written() -> None:
    point = Point(1, 2)
    point.z = 3  # type: ignore[attr-defined]
    with pytest.raises(TrackerError, match="this Point: it has attributes of its own"):
        CODEC.encode(point)


def packed(node: object) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(node))


def nested(depth: int) -> bytes:
    return zlib.compress(bytes([0x92, LIST]) * depth + b"\xc0")


HOSTILE = {
    "nothing": b"",
    "noise": bytes(range(256)),
    "a pickle": pickle.dumps({"tracks": []}),
    "a packed pickle": zlib.compress(pickle.dumps(Path("x"))),
    "no end": packed([LIST, 1])[:-1],
    "more after the end": packed([LIST, 1]) + b"x",
    "two values": zlib.compress(msgspec.msgpack.encode(1) * 2),
    "a bomb": zlib.compress(bytes(65 << 20)),
    "a list longer than memory": zlib.compress(b"\xdd\xff\xff\xff\xff"),
    "bytes longer than memory": zlib.compress(b"\xc6\xff\xff\xff\xff"),
    "deep": nested(40),
    "deeper than the stack": nested(100_000),
    "bare bytes": packed(b"x"),
    "a bare map": packed({"x": 1}),
    "an extension": packed(msgspec.msgpack.Ext(5, b"x")),
    "a timestamp": zlib.compress(b"\xd6\xff\x00\x00\x00\x00"),
    "no tag": packed([]),
    "an unknown tag": packed([99]),
    "a tag of another type": packed(["x", 1]),
    "a class": packed([OBJECT, "Codec", 1, 2]),
    "os.system": packed([OBJECT, "os.system", "touch owned", 2]),
    "builtins.eval": packed([OBJECT, "builtins.eval", "1", 2]),
    "a class as a list": packed([OBJECT, [1], 1, 2]),
    "too few attributes": packed([OBJECT, "Point", 1]),
    "too many attributes": packed([OBJECT, "Point", 1, 2, 3]),
    "names of attributes": packed([OBJECT, "Point", [DICT, "__class__", 1]]),
    "objects": packed([ARRAY, "|O", [1], False, bytes(8)]),
    "text": packed([ARRAY, "<U1", [1], False, bytes(4)]),
    "a structure": packed([ARRAY, "f8,f8", [1], False, bytes(16)]),
    "too little data": packed([ARRAY, "<f8", [3], False, bytes(16)]),
    "too much data": packed([ARRAY, "<f8", [1], False, bytes(16)]),
    "a huge shape": packed([ARRAY, "<f8", [2**62, 2**62], False, bytes(8)]),
    "a negative shape": packed([ARRAY, "<f8", [-1], False, bytes(16)]),
    "a shape of halves": packed([ARRAY, "<f8", [1.0], False, bytes(8)]),
    "too many dimensions": packed([ARRAY, "<f8", [1] * 100, False, bytes(8)]),
    "an array of text": packed([ARRAY, "<f8", [1], False, "xxxxxxxx"]),
    "a short array": packed([ARRAY, "<f8"]),
    "a reference to nowhere": packed([REFERENCE, 5]),
    "a reference to itself, unborn": packed([REFERENCE, 0]),
    "a reference by name": packed([REFERENCE, "x"]),
    "a key without a value": packed([DICT, "x"]),
    "a list as a key": packed([DICT, [LIST], 1]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_anything_else_is_a_bad_snapshot(kind: str) -> None:
    with pytest.raises(BadSnapshot) as caught:
        CODEC.decode(HOSTILE[kind])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_decoding_runs_nothing_of_a_class() -> None:
    Point.sealed = True  # type: ignore[attr-defined]
    try:
        back = CODEC.decode(packed([OBJECT, "Point", 1, 2]))
    finally:
        del Point.sealed  # type: ignore[attr-defined]
    assert type(back) is Point and (back.x, back.y) == (1, 2)


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_pickle_stays_closed(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    evil = pickle.dumps(Evil(canary))
    for state in (evil, zlib.compress(evil), wrapped(zlib.compress(evil))):
        with pytest.raises(BadSnapshot):
            fresh("bytetrack").restore(state)
    assert not canary.exists()
    pickle.loads(evil)  # noqa: S301 - that the canary can sing
    assert canary.exists()


def wrapped(state: bytes, name: str = "bytetrack", **changed: object) -> bytes:
    """A snapshot that is well-formed but for `state`, and for what of its envelope is changed."""
    valid = adapter._envelope(fresh(name).snapshot())
    return adapter._MAGIC + msgspec.msgpack.encode(msgspec.structs.replace(valid, state=state, **changed))


def nodes(state: bytes) -> Any:
    """What is inside a snapshot."""
    return msgspec.msgpack.decode(zlib.decompress(adapter._envelope(state).state))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"format": 2}, "has format 2, and this version reads 1 only"),
        ({"library": "0.1"}, "is of trackers 0.1, but .* is installed: finish the run with the version"),
        ({"tracker": "sort"}, "is one of sort, but bytetrack is configured"),
        ({"parameters": "0" * 32}, "other parameters or frame rate"),
    ],
)
def test_a_snapshot_that_was_made_otherwise_is_refused(changed: dict[str, object], says: str) -> None:
    state = adapter._envelope(fresh("bytetrack").snapshot()).state
    fresh("bytetrack").restore(wrapped(state))
    with pytest.raises(BadSnapshot, match=says):
        fresh("bytetrack").restore(wrapped(state, **changed))


def test_other_parameters_are_refused() -> None:
    state = fresh("sort").snapshot()
    for other in (fresh("sort", rate=None), fresh("sort", minimum_consecutive_frames=2), fresh("sort", iou="giou")):
        with pytest.raises(BadSnapshot, match="other parameters"):
            other.restore(state)


def state_of(**changed: object) -> bytes:
    """The state of a tracker with a few tracks, some of it changed: a node each."""
    tracker = fresh("bytetrack")
    track(tracker, crossing(20))
    tag, *parts = nodes(tracker.snapshot())
    assert tag == DICT
    table = dict(zip(parts[::2], parts[1::2], strict=True)) | changed
    return wrapped(packed([DICT, *(part for item in table.items() for part in item)]))


def test_what_only_looks_like_a_state_is_refused_at_once() -> None:
    fresh("bytetrack").restore(state_of())
    tracker = fresh("bytetrack")
    for changed in (
        {"inner": None},
        {"inner": [DICT]},
        {"ids": [LIST]},
        {"ids": [DICT, "x", 1]},
        {"issued": "many"},
        {"time": None},
        {"time": math.nan},
        {"surplus": 1},
    ):
        with pytest.raises(BadSnapshot):
            tracker.restore(state_of(**changed))
    inner = nodes(tracker.snapshot())[2]
    tracks = inner.index("tracks") + 1
    for broken in (7, [LIST, 1], [LIST, [DICT]], [LIST, [OBJECT, "KalmanFilter", *range(18)]]):
        inner[tracks] = broken
        with pytest.raises(BadSnapshot):
            tracker.restore(state_of(inner=inner))
    assert tracker.snapshot() == fresh("bytetrack").snapshot()


@pytest.mark.parametrize("name", TRACKERS)
def test_mutated_snapshots_restore_or_are_refused(name: str) -> None:
    """Seeded mutations of the whole, and of what is inside with the checksum made right again."""
    rng = np.random.default_rng(2)
    tracker = fresh(name)
    track(tracker, crossing(24))
    whole = tracker.snapshot()
    inside = zlib.decompress(adapter._envelope(whole).state)
    restored = 0
    for round_ in range(160):
        state = mutated(whole, rng) if round_ % 4 == 0 else wrapped(zlib.compress(mutated(inside, rng), 1), name)
        victim = fresh(name)
        before = victim.snapshot()
        try:
            victim.restore(state)
            restored += 1
        except BadSnapshot:
            assert victim.snapshot() == before
            victim.update(boxes(), 0.0)
    assert 0 < restored < 160, "both happen"


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    mutable = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, len(mutable)))
        kind = int(rng.integers(0, 5))
        if kind == 0:
            del mutable[place : place + int(rng.integers(1, 20))]
        elif kind == 1:
            mutable[place:place] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 2:
            mutable[place] = int(rng.choice([0x00, 0x7F, 0x80, 0x90, 0xC0, 0xC6, 0xD9, 0xDC, 0xDD, 0xFF]))
        else:
            mutable[place] ^= 1 << int(rng.integers(0, 8))
    return bytes(mutable)
