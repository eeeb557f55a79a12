"""The adapter over the `trackers` package: what differs from tracker to tracker, and golden numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.detections import TRACKERS, as_boxes, boxes, campus, crossing, fresh, track
from yolotrack.errors import TrackerError
from yolotrack.evaluate import evaluate

PLACES = [(x, 100.0, x + 40.0, 150.0) for x in (100.0, 260.0, 420.0)]


def shaken(name: str, *, told: bool) -> list[list[int]]:
    """Three parked cars, and a camera that jumps by 35 pixels: the ids in every frame."""
    tracker, before = fresh(name), 0.0
    seen = []
    for frame in range(24):
        shift = 0.0 if frame < 8 else 35.0 * (frame // 2 % 2)
        motion = (1.0, 0.0, shift - before, 0.0, 1.0, 0.0) if told else None
        found = tracker.update(boxes(*(np.add(place, (shift, 0, shift, 0)) for place in PLACES)), frame / 25, motion)
        seen.append(found.tracker_id.tolist())
        before = shift
    return seen


def test_camera_motion_keeps_ids_together() -> None:
    assert shaken("botsort", told=True)[1:] == [[1, 2, 3]] * 23
    assert shaken("botsort", told=False)[-1] != [1, 2, 3]


@pytest.mark.parametrize("name", [name for name in TRACKERS if name != "botsort"])
def test_trackers_without_camera_motion_ignore_it(name: str) -> None:
    assert shaken(name, told=True) == shaken(name, told=False)


@pytest.mark.parametrize("motion", [(1.0, 0.0, 5.0), (1.0, 0.0, float("nan"), 0.0, 1.0, 0.0)])
def test_motion_that_is_no_matrix_is_refused_and_changes_nothing(motion: tuple[float, ...]) -> None:
    tracker = fresh("botsort")
    track(tracker, crossing())
    before = tracker.snapshot()
    with pytest.raises(TrackerError, match="six finite numbers"):
        tracker.update(boxes(), 10.0, motion)
    assert tracker.snapshot() == before


def test_botsort_confirms_at_once_only_what_is_there_in_the_first_frame() -> None:
    early, late = fresh("botsort"), fresh("botsort")
    assert early.update(boxes(PLACES[0]), 0.0).tracker_id.tolist() == [1]
    assert late.update(boxes(), 0.0).tracker_id.tolist() == []
    assert late.update(boxes(PLACES[0]), 0.04).tracker_id.tolist() == []
    assert late.update(boxes(PLACES[0]), 0.08).tracker_id.tolist() == [1]


@pytest.mark.parametrize("field", ["confidence", "class_id", "data"])
def test_detections_that_lack_something_are_refused(field: str) -> None:
    seen = boxes(PLACES[0])
    setattr(seen, field, {} if field == "data" else None)
    with pytest.raises(TrackerError, match=r"need confidence, class_id and data\['class_name'\]"):
        fresh("sort").update(seen, 0.0)


GOLDEN = {
    "sort": {
        5: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        30: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15],
        59: [2, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16],
    },
    "bytetrack": {
        5: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
        30: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15],
        59: [2, 4, 5, 6, 8, 9, 11, 12, 14, 15, 16],
    },
    "ocsort": {5: [], 30: [2, 3, 5, 6, 8, 9, 10, 12, 13, 14, 15], 59: [2, 5, 7, 8, 11]},
    "botsort": {
        5: [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12],
        30: [1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16],
        59: [2, 5, 7, 8, 10, 11, 12, 17],
    },
    "cbiou": {
        5: [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12],
        30: [1, 2, 3, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16],
        59: [2, 4, 5, 8, 10, 11, 12, 16],
    },
}


@pytest.mark.parametrize("name", TRACKERS)
def test_fixed_detections_give_exact_ids(name: str) -> None:
    seen = track(fresh(name), crossing())
    assert {frame: seen[frame].tracker_id.tolist() for frame in (5, 30, 59)} == GOLDEN[name]


HOTA = {
    "sort": 0.441,
    "bytetrack": 0.467,
    "ocsort": 0.466,
    "botsort": 0.521,
    "cbiou": 0.524,
}
"""On TUD-Campus, with our defaults."""


@pytest.mark.parametrize("name", TRACKERS)
def test_quality_on_real_detections_does_not_fall(name: str, real_data: Path) -> None:
    sequence, truth = campus(real_data)
    scores = evaluate(truth, as_boxes(track(fresh(name), sequence)))
    assert scores.hota >= HOTA[name] - 5e-4
