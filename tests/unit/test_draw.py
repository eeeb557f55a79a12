"""What is drawn, where, and what is left alone."""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
import pytest
import supervision as sv

from yolotrack.model import FrameTracks, Outcome, Pixels
from yolotrack.video.draw import PALETTE, Annotator, Style, readable_on

GREY = 100
WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
SIZES = [(320, 240), (768, 432), (1920, 1080)]


def canvas(width: int = 768, height: int = 432) -> Pixels:
    return np.full((height, width, 3), GREY, np.uint8)


def tracks(
    *boxes: tuple[float, float, float, float], ids: list[int] | None = None, outcome: Outcome = Outcome.TRACKED
) -> FrameTracks:
    count = len(boxes)
    found = sv.Detections.empty()
    if count:
        found = sv.Detections(
            xyxy=np.array(boxes, np.float32),
            confidence=np.full(count, 0.87, np.float32),
            class_id=np.zeros(count, int),
            tracker_id=np.array(ids or range(1, count + 1)),
            data={"class_name": np.array(["car"] * count)},
        )
    return FrameTracks("run", "stream", 0, 0.0, WHEN, outcome, found)


def painted(pixels: Pixels) -> np.ndarray:
    return (pixels != GREY).any(axis=2)


def extent(pixels: Pixels) -> tuple[int, int, int, int]:
    """First and last painted column and row: left, top, right, bottom."""
    rows, columns = np.where(painted(pixels))
    return columns.min(), rows.min(), columns.max(), rows.max()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_box_and_label_are_drawn_on_a_copy(width: int, height: int) -> None:
    pixels = canvas(width, height)
    drawn = Annotator(width, height, Style())(pixels, tracks((100, 90, 200, 160)))
    assert (pixels == GREY).all() and not np.shares_memory(pixels, drawn)
    assert drawn.dtype == np.uint8 and drawn.shape == pixels.shape and drawn.flags.c_contiguous
    colour = PALETTE.by_idx(1).as_bgr()
    for x, y in ((150, 90), (150, 160), (100, 130), (200, 130)):
        assert tuple(drawn[y, x]) == colour
    assert (drawn[110:150, 110:190] == GREY).all()
    assert painted(drawn)[:88].sum() > 300, "no label above the box"


def test_letters_and_lines_grow_with_the_picture() -> None:
    heights = []
    for width, height in SIZES:
        drawn = Annotator(width, height, Style())(canvas(width, height), tracks((100, 150, 200, 220)))
        heights.append(150 - extent(drawn)[1])
    assert heights == sorted(heights) and heights[0] >= 12 and heights[-1] >= 2 * heights[0]


def test_labels_and_traces_can_be_left_out() -> None:
    annotator = Annotator(768, 432, Style(labels=False, traces=False))
    annotator(canvas(), tracks((300, 200, 400, 260)))
    drawn = annotator(canvas(), tracks((100, 90, 200, 160)))
    left, top, right, bottom = extent(drawn)
    assert (left, top, right, bottom) == pytest.approx((100, 90, 200, 160), abs=2)


@pytest.mark.parametrize(
    "box", [(-40, -30, 40, 30), (740, 5, 800, 60), (300, 2, 340, 40), (500, 425, 600, 470), (-90, 440, -20, 480)]
)
def test_all_of_a_label_is_seen(box: tuple[float, float, float, float]) -> None:
    # The box behind it hides a line or two of it.
    assert label_size(box) == pytest.approx(label_size((300, 200, 400, 260)), abs=3)


def label_size(box: tuple[float, float, float, float]) -> tuple[int, int]:
    """Width and height of what the label of a box adds to the picture."""
    with_label, without = (
        Annotator(768, 432, Style(traces=False, labels=labels))(canvas(), tracks(box)) for labels in (True, False)
    )
    rows, columns = np.where((with_label != without).any(axis=2))
    return int(np.ptp(columns)), int(np.ptp(rows))


def test_a_track_keeps_its_colour_and_neighbours_differ() -> None:
    annotator = Annotator(768, 432, Style(labels=False, traces=False))
    first = annotator(canvas(), tracks((100, 90, 200, 160), (300, 90, 400, 160), ids=[4, 5]))
    again = annotator(canvas(), tracks((300, 90, 400, 160), (100, 90, 200, 160), ids=[4, 5]))
    assert tuple(first[90, 150]) == tuple(again[90, 350])
    assert np.abs(first[90, 150].astype(int) - first[90, 350]).max() > 80


def test_traces_follow_a_track_and_fade_by_frames() -> None:
    annotator = Annotator(768, 432, Style(labels=False, trace_length=10))
    for number in range(30):
        drawn = annotator(canvas(), tracks((100 + 10 * number, 200, 140 + 10 * number, 240)))
    left, _, right, _ = extent(drawn)
    now = 120 + 10 * 29
    assert right == pytest.approx(now + 20, abs=2)
    assert left == pytest.approx(now - 9 * 10, abs=3)


def test_frames_without_tracks_age_the_traces_and_stay_as_they_are() -> None:
    annotator = Annotator(768, 432, Style(labels=False, trace_length=5))
    for number in range(10):
        annotator(canvas(), tracks((100 + 5 * number, 300, 140, 340)))
    for outcome in (Outcome.TRACKED, Outcome.FAILED, Outcome.DROPPED) * 5:
        assert (annotator(canvas(), tracks(outcome=outcome)) == GREY).all()
    drawn = annotator(canvas(), tracks((600, 50, 640, 90), ids=[1]))
    assert extent(drawn)[0] >= 598, "a trace across the gap"


def test_a_frame_that_was_not_tracked_is_copied_undrawn() -> None:
    pixels = canvas()
    drawn = Annotator(768, 432, Style())(pixels, tracks((100, 90, 200, 160), outcome=Outcome.FAILED))
    assert (drawn == GREY).all() and not np.shares_memory(pixels, drawn)


def test_memory_is_bounded_over_tracks_that_come_and_go() -> None:
    annotator = Annotator(320, 240, Style(labels=False, trace_length=20))
    for number in range(500):
        annotator(canvas(320, 240), tracks((10, 10, 50, 50), (60, 60, 90, 90), ids=[2 * number + 1, 2 * number + 2]))
    assert len(annotator._traces.trace.xy) <= 2 * 20


def test_text_is_readable_on_every_colour() -> None:
    def luminance(color: sv.Color) -> float:
        parts = [part / 255 for part in color.as_rgb()]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in PALETTE.colors:
        bright, dark = sorted((luminance(color), luminance(readable_on(color))), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


# -- styles


def two_classes() -> FrameTracks:
    """A car, track 4, on the left and a person, track 9, on the right."""
    outcome = tracks((100, 200, 200, 300), (500, 200, 600, 300), ids=[4, 9])
    outcome.tracks.class_id = np.array([2, 0])
    outcome.tracks.data["class_name"] = np.array(["car", "person"])
    return outcome


@pytest.mark.parametrize(
    ("style", "left", "right"),
    [
        (Style(), True, True),
        (Style(classes=("car",)), True, False),
        (Style(classes=("0",)), False, True),
        (Style(classes=("car", "0")), True, True),
        (Style(classes=("boat",)), False, False),
        (Style(tracks=(range(9, 10),)), False, True),
        (Style(tracks=(range(1, 3), range(4, 10))), True, True),
        (Style(classes=("car",), tracks=(range(9, 10),)), False, False),
    ],
)
def test_only_the_chosen_are_drawn(style: Style, left: bool, right: bool) -> None:
    drawn = painted(Annotator(768, 432, style)(canvas(), two_classes()))

    assert (bool(drawn[:, :384].any()), bool(drawn[:, 384:].any())) == (left, right)


def test_lines_are_as_thick_as_asked() -> None:
    for thickness in (1, 9):
        drawn = Annotator(768, 432, Style(labels=False, thickness=thickness))(canvas(), tracks((300, 100, 500, 300)))
        assert painted(drawn)[200, :400].sum() == pytest.approx(thickness, abs=2)


def test_a_style_may_change_on_the_way_and_traces_go_on() -> None:
    annotator = Annotator(768, 432, Style(labels=False, traces=False))
    for number in range(10):
        drawn = annotator(canvas(), tracks((100 + 10 * number, 200, 140 + 10 * number, 240)))
    assert extent(drawn)[0] == pytest.approx(190, abs=2), "a box and no trace"

    annotator.style = Style(labels=False)
    drawn = annotator(canvas(), tracks((200, 200, 240, 240)))

    assert extent(drawn)[0] == pytest.approx(120, abs=2), "the trace of the frames before it was asked for"


def test_traces_move_with_the_scene() -> None:
    annotator = Annotator(768, 432, Style(labels=False))
    annotator(canvas(), tracks((300, 200, 340, 240)))
    annotator.pan(-50, 30)

    left, top, right, bottom = extent(annotator(canvas(), tracks((300, 230, 340, 270))))

    assert (left, top, right, bottom) == pytest.approx((270, 230, 340, 270), abs=2)
