"""What every tracker promises: see `yolotrack.vision.base.Tracker`, and the rules in its adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from tests.support.detections import NAMES, TRACKERS, boxes, campus, crossing, detections, fresh, track
from yolotrack.errors import BadSnapshot, TrackerError
from yolotrack.vision.base import Tracker

pytestmark = pytest.mark.parametrize("name", TRACKERS)

CAR, OTHER = (100.0, 100.0, 160.0, 140.0), (400.0, 300.0, 470.0, 350.0)


def steady(name: str) -> Tracker:
    """A tracker past its first frames, in which some confirm sooner; it knows the car `OTHER`, as 1."""
    tracker = fresh(name)
    for seen in track(tracker, [boxes()] + [boxes(OTHER)] * 6):
        assert set(seen.tracker_id.tolist()) <= {1}
    return tracker


def assert_equal(left: sv.Detections, right: sv.Detections) -> None:
    for field in ("xyxy", "confidence", "class_id", "tracker_id"):
        ours, theirs = getattr(left, field), getattr(right, field)
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, field
        assert ours.tobytes() == theirs.tobytes(), field
    assert left.data["class_name"].tolist() == right.data["class_name"].tolist()


def uneven(sequence: Sequence[sv.Detections]) -> list[tuple[sv.Detections, float, tuple[float, ...]]]:
    """The arguments of `update`, with uneven times and a shaking camera."""
    rng = np.random.default_rng(11)
    times = np.cumsum(rng.choice([0.04, 0.041, 0.08, 0.2], len(sequence), p=[0.5, 0.3, 0.15, 0.05])).tolist()
    shifts = rng.normal(0, 1, (len(sequence), 2)).tolist()
    return [
        (seen, time, (1.0, 0.0, x, 0.0, 1.0, y)) for seen, time, (x, y) in zip(sequence, times, shifts, strict=True)
    ]


def test_its_name_is_the_configured_one(name: str) -> None:
    assert fresh(name).name == name


def test_ids_are_dense_from_one_in_order_of_confirmation_and_minus_one_never_leaves(name: str) -> None:
    issued = 0
    for seen in track(fresh(name), crossing()):
        ids = seen.tracker_id.tolist()
        assert ids == sorted(set(ids)), "ordered by id, none twice"
        new = [track_id for track_id in ids if track_id > issued]
        assert new == list(range(issued + 1, issued + 1 + len(new)))
        issued += len(new)
    assert issued >= 16


def test_an_id_stays_with_its_object(name: str) -> None:
    drive = [boxes(CAR, np.add(OTHER, (4 * frame, 0, 4 * frame, 0))) for frame in range(20)]
    seen = track(fresh(name), drive)
    assert [found.tracker_id.tolist() for found in seen[5:]] == [[1, 2]] * 15
    assert [found.xyxy[1].tolist() for found in seen[5:]] == [found.xyxy[1].tolist() for found in drive[5:]]


def test_two_trackers_share_nothing(name: str) -> None:
    sequence = crossing()
    alone = track(fresh(name), sequence)
    one, two = fresh(name), fresh(name)
    pairs = [(one.update(seen, frame / 25), two.update(seen, frame / 25)) for frame, seen in enumerate(sequence)]
    for expected, (first, second) in zip(alone, pairs, strict=True):
        assert_equal(first, expected)
        assert_equal(second, expected)


def test_a_row_is_one_of_the_detections_whole(name: str) -> None:
    for seen, found in zip(crossing(), track(fresh(name), crossing()), strict=True):
        given = {
            (box.tobytes(), score, kind, str(NAMES[kind]))
            for box, score, kind in zip(seen.xyxy, seen.confidence, seen.class_id, strict=True)
        }
        rows = zip(found.xyxy, found.confidence, found.class_id, found.data["class_name"], strict=True)
        assert {(box.tobytes(), score, kind, str(text)) for box, score, kind, text in rows} <= given


def test_what_comes_back_has_the_same_shape_when_empty(name: str) -> None:
    tracker = fresh(name)
    nothing, detected = sv.Detections.empty(), boxes(CAR)
    detected.data["mask_score"] = np.array([0.5])
    for frame, seen in enumerate([nothing, detected, detected, detected, detected, nothing, boxes()]):
        found = tracker.update(seen, frame / 25)
        assert found.xyxy.dtype == np.float32 and found.xyxy.shape == (len(found), 4)
        assert found.confidence.dtype == np.float32 and len(found.confidence) == len(found)
        assert found.class_id.dtype == np.int64 and found.tracker_id.dtype == np.int64
        assert list(found.data) == ["class_name"] and found.data["class_name"].dtype.kind == "U"
    assert len(detected.data) == 2 and detected.tracker_id is None, "the input is left alone"


def test_empty_frames_count(name: str) -> None:
    tracker = steady(name)
    blinking = [boxes(CAR, OTHER) if frame % 2 else boxes(OTHER) for frame in range(12)]
    for found in track(tracker, blinking, first=7):
        assert CAR[0] not in found.xyxy[:, 0], "never seen twice in a row, so never confirmed"


def test_an_object_that_was_away_too_long_is_a_new_one(name: str) -> None:
    tracker = fresh(name)
    track(tracker, [boxes(CAR)] * 5)
    track(tracker, [boxes()] * 30, first=5)
    back = track(tracker, [boxes(CAR)] * 8, first=35)
    assert set(back[-1].tracker_id.tolist()) == {2}


def test_real_times_matter(name: str) -> None:
    """150 px/s, then 0.6 s without a frame: where the car is now, only the clock can tell."""

    def ids_after(pause: float) -> list[int]:
        tracker = fresh(name)
        drive = [np.add(CAR, (6 * frame, 0, 6 * frame, 0)) for frame in range(50)]
        before = track(tracker, [boxes(place) for place in drive[:25]])
        assert before[-1].tracker_id.tolist() == [1]
        for frame, place in enumerate(drive[39:45]):
            found = tracker.update(boxes(place), 24 / 25 + pause + frame / 25)
        return found.tracker_id.tolist()

    assert ids_after(15 / 25) == [1]
    assert ids_after(1 / 25) == [2]


@pytest.mark.parametrize("time", [1.0, 0.5, float("nan"), float("inf")])
def test_time_that_does_not_advance_is_refused_and_changes_nothing(name: str, time: float) -> None:
    tracker = fresh(name)
    tracker.update(boxes(CAR), 1.0)
    before = tracker.snapshot()
    with pytest.raises(TrackerError, match="time must increase"):
        tracker.update(boxes(CAR), time)
    assert tracker.snapshot() == before


BAD = float("nan")
DEFECTS = [
    ((BAD, 0, 10, 10), 0.9),
    ((0, 0, float("inf"), 10), 0.9),
    ((-float("inf"), 0, 10, 10), 0.9),
    ((160, 100, 100, 140), 0.9),
    ((100, 140, 160, 100), 0.9),
    ((100, 100, 100, 140), 0.9),
    ((100, 100, 160, 100), 0.9),
    ((0, 0, 1e-30, 100), 0.9),
    ((0, 0, 1e30, 1e30), 0.9),
    (CAR, BAD),
]


def test_boxes_that_cannot_be_are_ignored(name: str) -> None:
    clean, dirty = fresh(name), fresh(name)
    for frame, seen in enumerate(crossing()):
        place, score = DEFECTS[frame % len(DEFECTS)]
        spoilt = detections(
            np.vstack([CAR, seen.xyxy, CAR]), np.r_[0.9, seen.confidence, 0.9], np.r_[1, seen.class_id, 1]
        )
        spoilt.xyxy[[0, -1]] = place  # supervision refuses some of these when they are handed to it
        spoilt.confidence[[0, -1]] = score
        assert_equal(dirty.update(spoilt, frame / 25), clean.update(seen, frame / 25))


def test_it_takes_any_boxes_at_any_times(name: str) -> None:
    rng = np.random.default_rng(5)
    tracker, time = fresh(name), 0.0
    for _ in range(300):
        time += float(10 ** rng.uniform(-6, 2))
        count = int(rng.integers(0, 9))
        corner = rng.normal(0, 10 ** rng.uniform(0, 5), (count, 2))
        size = 10 ** rng.uniform(-0.5, 4, (count, 2))
        seen = detections(np.hstack([corner, corner + size]), rng.random(count), rng.integers(0, 2, count))
        found = tracker.update(seen, time, tuple(rng.normal(0, 2, 6).tolist()))
        assert np.isfinite(found.xyxy).all() and len(set(found.tracker_id.tolist())) == len(found)


def test_a_restored_tracker_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    """For every frame: a snapshot after it, restored elsewhere, gives the same rest, bit for bit."""
    assert_restores_everywhere(name, crossing(32))


def test_it_goes_on_so_on_real_detections(name: str, real_data: Path) -> None:
    assert_restores_everywhere(name, campus(real_data)[0])


def assert_restores_everywhere(name: str, sequence: Sequence[sv.Detections]) -> None:
    frames = uneven(sequence)
    whole, snapshots, expected = fresh(name), [fresh(name).snapshot()], []
    for arguments in frames:
        expected.append(whole.update(*arguments))
        snapshots.append(whole.snapshot())
    for done, state in enumerate(snapshots):
        other = fresh(name)
        other.restore(state)
        assert other.snapshot() == state
        for arguments, known in zip(frames[done:], expected[done:], strict=True):
            assert_equal(other.update(*arguments), known)


def test_a_chain_of_owners_gives_the_same_ids(name: str) -> None:
    owner, expected = fresh(name), track(fresh(name), crossing())
    for frame, (seen, known) in enumerate(zip(crossing(), expected, strict=True)):
        heir = fresh(name)
        heir.restore(owner.snapshot())
        assert_equal(heir.update(seen, frame / 25), known)
        owner = heir


def test_restoring_replaces_what_was_there(name: str) -> None:
    one, two = fresh(name), fresh(name)
    track(one, crossing())
    track(two, [boxes(CAR)] * 9)
    two.restore(one.snapshot())
    assert two.snapshot() == one.snapshot()


def test_a_snapshot_is_no_part_of_the_tracker(name: str) -> None:
    tracker, heir = fresh(name), fresh(name)
    track(tracker, crossing())
    state = tracker.snapshot()
    heir.restore(state)
    track(heir, crossing(), first=60)
    assert tracker.snapshot() == state


def test_anything_else_is_a_bad_snapshot_and_changes_nothing(name: str) -> None:
    tracker, other = fresh(name), fresh("sort" if name != "sort" else "bytetrack")
    track(tracker, crossing())
    before = tracker.snapshot()
    for state in (b"", b"junk", before[:-1], before + b"\0", before[1:], other.snapshot()):
        with pytest.raises(BadSnapshot):
            tracker.restore(state)
        assert tracker.snapshot() == before


def test_a_long_run_does_not_make_snapshots_grow(name: str) -> None:
    tracker = steady(name)
    sizes = []
    for lap in range(1, 121):
        found = [tracker.update(boxes(CAR), lap * 10 + frame / 25) for frame in range(6)]
        assert found[-1].tracker_id.tolist() == [lap + 1]
        sizes.append(len(tracker.snapshot()))
    assert max(sizes[-5:]) < min(sizes[:5]) + 50
