"""What the store keeps of a frame's detections, as bytes."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import supervision as sv

from tests.support.detections import boxes, crossing
from tests.support.runs import found, make_run
from yolotrack.errors import WireError
from yolotrack.model import FrameDetections
from yolotrack.wire import decode_kept, encode_kept

MOTION = (1.0, 0.25, -3.5, 0.0, 1.0, 1e-9)


def of(detections: sv.Detections, motion: tuple[float, ...] | None = None) -> FrameDetections:
    return replace(found(make_run(), 0), detections=detections, motion=motion)


def same(one: sv.Detections, other: sv.Detections) -> bool:
    """Bit for bit, and of the kinds that trackers are fed with."""
    pairs = ((one.xyxy, other.xyxy), (one.confidence, other.confidence), (one.class_id, other.class_id))
    equal = all(a.dtype == b.dtype and a.tobytes() == b.tobytes() and a.shape == b.shape for a, b in pairs)
    return equal and one.data["class_name"].tolist() == other.data["class_name"].tolist()


def test_what_is_kept_comes_back_bit_for_bit() -> None:
    sequence = crossing()
    assert min(map(len, sequence)) == 0
    for detections in sequence:
        again, motion = decode_kept(encode_kept(of(detections, MOTION)))
        assert same(again, detections)
        assert motion == MOTION
    assert decode_kept(encode_kept(of(sequence[9])))[1] is None


def test_classes_may_share_a_name_or_a_number() -> None:
    detections = boxes((0, 0, 9, 9), (1, 1, 9, 9), (2, 2, 9, 9), (3, 3, 9, 9))
    detections.class_id = np.array([7, 7, 3, 7])
    detections.data["class_name"] = np.array(["van", "truck", "van", "van"])
    assert same(decode_kept(encode_kept(of(detections)))[0], detections)


def test_a_box_takes_22_bytes_however_long_its_class_is_called() -> None:
    def size(count: int) -> int:
        detections = boxes(*[(n, n, n + 9, n + 9) for n in range(count)])
        detections.data["class_name"] = np.full(count, "a" * 60)
        return len(encode_kept(of(detections)))

    assert size(100) - size(99) == 22


def test_boxes_that_no_tracker_takes_are_left_out() -> None:
    detections = boxes((0, 0, 9, 9), (1, 1, 9, 9), (2, 2, 9, 9))
    detections.confidence[1:] = np.nan, np.inf
    assert same(decode_kept(encode_kept(of(detections)))[0], detections[:1])


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "do not begin with YD"),
        (b"YT\x01\x00\x00\x00\x00", "do not begin with YD"),
        (b"YD\x02\x90", "of format 2, and this yolotrack reads 1"),
        (b"YD\x01", "damaged"),
        (b"YD\x01\x90", "damaged"),
    ],
)
def test_what_is_none_of_ours_is_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        decode_kept(body)


def test_damage_is_refused_and_nothing_else() -> None:
    """Whatever bytes come: detections, or a `WireError`."""
    dice, body = random.Random(5), encode_kept(of(crossing()[10], MOTION))
    refused = 0
    for _ in range(3000):
        damaged = bytearray(body[: dice.randrange(len(body))] if dice.random() < 0.3 else body)
        for _ in range(dice.randrange(4)):
            if damaged:
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            detections, _ = decode_kept(bytes(damaged))
            assert np.isfinite(detections.xyxy).all()
        except WireError:
            refused += 1
    assert refused > 1000
