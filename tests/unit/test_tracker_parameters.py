"""What a tracker is built with: defaults, the frame rate, and what the user configured, checked."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.support.detections import TRACKERS, fresh
from yolotrack.errors import TrackerError
from yolotrack.vision.parameters import DEFAULTS, parameters
from yolotrack.vision.tracker import PackagedTracker

KINDS = {"track_activation_threshold": float, "high_conf_det_threshold": float, "lost_track_buffer": int}


def inner(tracker: object) -> object:
    assert isinstance(tracker, PackagedTracker)
    return tracker._inner


@pytest.mark.parametrize(
    ("name", "key", "value", "says"),
    [
        ("bytetrack", "track_activaton_threshold", 0.5, "did you mean track_activation_threshold?"),
        ("bytetrack", "xyzzy", 1, "does not exist; there are frame_rate, high_conf_det_threshold, iou, "),
        ("cbiou", "iou", "giou", "does not exist; "),
        ("cbiou", "enable_cmc", True, "does not exist; "),
        ("sort", "lost_track_buffer", 30.5, "must be int, not 30.5"),
        ("sort", "lost_track_buffer", True, "must be int, not True"),
        ("sort", "lost_track_buffer", -1, "must be greater than or equal to 0"),
        ("sort", "minimum_iou_threshold", "much", "must be float, not 'much'"),
        ("sort", "minimum_iou_threshold", float("nan"), "must be finite, not nan"),
        ("sort", "track_activation_threshold", 1.5, "must be 0 to 1, not 1.5"),
        ("sort", "track_activation_threshold", -0.5, "must be 0 to 1, not -0.5"),
        ("botsort", "minimum_iou_threshold_first_assoc", -2, "must be -1 to 1, not -2"),
        ("ocsort", "delta_t", 0, "must be 1 or more, not 0"),
        ("ocsort", "minimum_consecutive_frames", 0, "must be 1 or more, not 0"),
        ("ocsort", "iou", "overlap", "must be one of iou, giou, diou, ciou, biou, not 'overlap'"),
        ("ocsort", "iou", 1, "must be one of iou, giou, diou, ciou, biou, not 1"),
        ("sort", "state_estimator_class", "XYXY", "is a class"),
        ("botsort", "enable_cmc", True, "set tracker.camera_motion"),
        ("botsort", "cmc_method", "orb", "where frames are published"),
        ("botsort", "instant_first_frame_activation", 1, "must be bool, not 1"),
        ("sort", "frame_rate", 0, "must be a finite positive value"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_names_it(name: str, key: str, value: object, says: str) -> None:
    with pytest.raises(TrackerError) as caught:
        fresh(name, **{key: value})
    line = str(caught.value)
    assert says in line and line.startswith(f"tracker.{name}") and "\n" not in line


@pytest.mark.parametrize("name", TRACKERS)
def test_what_is_configured_arrives(name: str) -> None:
    tracker = inner(fresh(name, lost_track_buffer=60, minimum_consecutive_frames=5, frame_rate=10))
    assert (tracker.maximum_time_without_update, tracker.minimum_consecutive_frames) == (2.0, 5)
    assert tracker._frame_rate == 10.0


@pytest.mark.parametrize("overlap", ["iou", "giou", "diou", "ciou", "biou"])
def test_an_overlap_is_chosen_by_name(overlap: str) -> None:
    assert type(inner(fresh("sort", iou=overlap)).iou).__name__.lower() == overlap


@pytest.mark.parametrize("name", TRACKERS)
def test_our_defaults_are_in_force(name: str) -> None:
    tracker = inner(fresh(name))
    assert {key: getattr(tracker, key) for key in DEFAULTS[name]} == DEFAULTS[name]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (Fraction(25, 2), 12.5),
        (Fraction(30000, 1001), 30000 / 1001),
        (None, 30.0),
        (Fraction(0), 30.0),
        (Fraction(90000), 30.0),
    ],
)
def test_the_rate_is_the_streams_where_that_can_be(rate: Fraction | None, expected: float) -> None:
    assert parameters("sort", {}, rate, KINDS)["frame_rate"] == expected


def test_a_lower_activation_alone_is_enough_to_start_tracks_sooner() -> None:
    low = parameters("bytetrack", {"track_activation_threshold": 0.2}, None, KINDS)
    assert low["high_conf_det_threshold"] == 0.2
    high = parameters("bytetrack", {"track_activation_threshold": 0.8}, None, KINDS)
    assert high["high_conf_det_threshold"] == 0.4
    both = {"track_activation_threshold": 0.2, "high_conf_det_threshold": 0.3}
    assert parameters("bytetrack", both, None, KINDS) == {"frame_rate": 30.0, **both}
    assert "high_conf_det_threshold" not in parameters("sort", {"track_activation_threshold": 0.2}, None, KINDS)


def test_a_whole_number_is_a_number_so_that_equal_settings_give_equal_trackers() -> None:
    one, other = fresh("sort", track_activation_threshold=0), fresh("sort", track_activation_threshold=0.0)
    other.restore(one.snapshot())
