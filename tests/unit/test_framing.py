"""What part of a picture is shown, and how large."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest
import supervision as sv

from yolotrack.model import FrameTracks, Outcome, Pixels
from yolotrack.video.framing import Framing, Window, beside, follow, sizes, whole

WIDTH, HEIGHT = 640, 360
WHEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
Box = tuple[float, float, float, float]


def tracks(*boxes: Box, time: float = 0.0) -> FrameTracks:
    count = len(boxes)
    found = sv.Detections(
        xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        confidence=np.ones(count, np.float32),
        class_id=np.zeros(count, int),
        tracker_id=np.arange(1, count + 1),
        data={"class_name": np.array(["car"] * count)},
    )
    return FrameTracks("run", "cam", 0, time, WHEN, Outcome.TRACKED, found)


def scene(box: Box, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """A white box on grey."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    x1, y1, x2, y2 = (round(side) for side in box)
    pixels[y1:y2, x1:x2] = 255
    return pixels


class Spy:
    """Draws nothing and remembers where it was told to."""

    def __init__(self) -> None:
        self.boxes: list[np.ndarray] = []
        self.ids: list[list[int]] = []
        self.pans: list[tuple[float, float]] = []

    def __call__(self, pixels: Pixels, outcome: FrameTracks) -> Pixels:
        self.boxes.append(outcome.tracks.xyxy)
        self.ids.append(outcome.tracks.tracker_id.tolist())
        return pixels.copy()

    def pan(self, right: float, down: float) -> None:
        self.pans.append((right, down))


def white(pixels: Pixels) -> Box:
    """Where the white box is."""
    rows, columns = np.where(pixels.min(axis=2) > 172)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    ("scale", "panels", "shown", "video"),
    [
        (None, 1, (640, 360), (640, 360)),
        (None, 2, (640, 360), (1280, 360)),
        (0.5, 1, (320, 180), (320, 180)),
        (0.5, 2, (320, 180), (640, 180)),
        (0.001, 1, (1, 1), (1, 1)),
        ((1280, 720), 1, (1280, 720), (1280, 720)),
        ((1280, 720), 2, (640, 360), (1280, 720)),
        ((300, 300), 1, (300, 169), (300, 300)),
    ],
)
def test_sizes(scale: float | tuple[int, int] | None, panels: int, shown: tuple[int, int], video: object) -> None:
    assert sizes((WIDTH, HEIGHT), panels, scale) == (shown, video)


@pytest.mark.parametrize("shown", [(640, 360), (320, 180), (1280, 720), (213, 120)])
def test_boxes_stay_on_their_objects_at_any_size(shown: tuple[int, int]) -> None:
    box, spy = (100.0, 60.0, 300.0, 200.0), Spy()

    drawn = Framing((WIDTH, HEIGHT), shown, whole(WIDTH, HEIGHT), spy, spy.pan)(scene(box), tracks(box))

    assert drawn.shape == (shown[1], shown[0], 3)
    assert white(drawn) == pytest.approx(tuple(spy.boxes[0][0]), abs=1)
    assert spy.pans == []


def test_pictures_of_another_size_are_letterboxed_and_their_boxes_fit() -> None:
    """A smaller copy of the original, and one that is too high."""
    box, spy = (100.0, 60.0, 300.0, 200.0), Spy()
    framing = Framing((WIDTH, HEIGHT), (WIDTH, HEIGHT), whole(WIDTH, HEIGHT), spy, spy.pan)

    half = framing(scene((50, 30, 150, 100), 320, 180), tracks(box))
    high = framing(np.full((720, 640, 3), 200, np.uint8), tracks())

    assert white(half) == pytest.approx(box, abs=2)
    assert high.shape == (HEIGHT, WIDTH, 3)
    assert high[:, :100].max() == 0 and high[180, 320].min() == 200


def test_the_picture_is_left_alone_where_nothing_changes() -> None:
    pixels = scene((10, 10, 20, 20))
    before = pixels.copy()

    seen: list[Pixels] = []
    draw: Callable[[Pixels, FrameTracks], Pixels] = lambda shown, _: seen.append(shown) or shown  # noqa: E731
    Framing((WIDTH, HEIGHT), (WIDTH, HEIGHT), whole(WIDTH, HEIGHT), draw, lambda *_: None)(pixels, tracks())

    assert seen[0] is pixels and (pixels == before).all()


def test_the_original_stands_to_the_left() -> None:
    pixels = scene((100, 100, 200, 200))

    drawn = beside(lambda shown, _: 255 - shown)(pixels, tracks())

    assert (drawn[:, :WIDTH] == pixels).all() and (drawn[:, WIDTH:] == 255 - pixels).all()


# -- following


def path(count: int, noise: float = 0.0) -> tuple[list[float], list[Box]]:
    """A box of 40x40 that crosses the picture once and back, 25 times a second."""
    times = [number / 25 for number in range(count)]
    rng = np.random.default_rng(0)
    boxes = []
    for time in times:
        x = 320 + 240 * np.sin(2 * np.pi * time / 8) + rng.normal(0, noise)
        boxes.append((x - 20, 160.0, x + 20, 200.0))
    return times, boxes


def test_the_window_has_one_size_stays_inside_and_shows_the_track() -> None:
    times, boxes = path(200, noise=2.0)
    window = follow(WIDTH, HEIGHT, times, boxes)
    windows = [window(time) for time in np.arange(-1, 9, 0.04)]

    assert {(round(w.width, 6), round(w.height, 6)) for w in windows} == {(213.333333, 120.0)}
    assert all(0 <= w.left <= WIDTH - w.width + 1e-9 and 0 <= w.top <= HEIGHT - w.height + 1e-9 for w in windows)
    for time, (x1, y1, x2, y2) in zip(times, boxes, strict=True):
        w = window(time)
        assert w.left < x1 and x2 < w.left + w.width and w.top < y1 and y2 < w.top + w.height


def test_the_window_neither_trembles_nor_lags() -> None:
    times, boxes = path(200, noise=3.0)
    _, clean = path(200)
    window = follow(WIDTH, HEIGHT, times, boxes)
    centres = np.array([window(time).left + window(time).width / 2 for time in times])
    truth = np.array([(box[0] + box[2]) / 2 for box in clean])
    seen = np.array([(box[0] + box[2]) / 2 for box in boxes])

    trembling = np.abs(np.diff(centres, 2)).max()
    assert trembling < 1.0 < np.abs(np.diff(seen, 2)).max() / 5
    middle = np.abs(truth - WIDTH / 2) < 150
    lag = np.polyfit(np.gradient(truth)[middle], (truth - centres)[middle], 1)[0]
    assert abs(lag) < 0.5, "frames behind"


def test_before_and_after_its_life_the_window_comes_to_rest() -> None:
    window = follow(WIDTH, HEIGHT, [1.0, 2.0], [(100, 100, 140, 140), (300, 100, 340, 140)])

    assert window(-5.0) == window(-9.0) and window(9.0) == window(12.0)
    assert window(-5.0).left + window(-5.0).width / 2 == pytest.approx(120)
    assert window(9.0).left + window(9.0).width / 2 == pytest.approx(320)


@pytest.mark.parametrize(
    ("box", "width"),
    [((300, 100, 310, 110), 160.0), ((0, 0, 640, 360), 640.0), ((300, 100, 340, 220), 640.0), ((0, 0, 80, 10), 240.0)],
)
def test_the_window_leaves_room_and_enlarges_so_far_only(box: Box, width: float) -> None:
    window = follow(WIDTH, HEIGHT, [0.0], [box])(0.0)

    assert (window.width, window.height) == pytest.approx((width, width * HEIGHT / WIDTH))


def test_one_box_that_went_wrong_does_not_widen_the_window() -> None:
    times, boxes = path(200)
    wrong = [*boxes[:100], (0.0, 0.0, 640.0, 360.0), *boxes[101:]]

    assert follow(WIDTH, HEIGHT, times, wrong)(0.0).width == follow(WIDTH, HEIGHT, times, boxes)(0.0).width


def test_a_moving_window_takes_boxes_and_traces_along() -> None:
    windows = {0.0: Window(100, 50, 320, 180), 1.0: Window(110.5, 40, 320, 180)}
    box, spy = (200.0, 100.0, 260.0, 160.0), Spy()
    framing = Framing((WIDTH, HEIGHT), (WIDTH, HEIGHT), windows.__getitem__, spy, spy.pan)

    first = framing(scene(box), tracks(box, (0, 0, 90, 40), time=0.0))
    second = framing(scene(box), tracks(box, time=1.0))

    assert spy.ids[0] == [1], "what the window does not show is left out"
    for drawn, boxes in zip((first, second), spy.boxes, strict=True):
        assert white(drawn) == pytest.approx(tuple(boxes[0]), abs=1)
    assert spy.pans == [(-21.0, 20.0)]


def test_a_slow_move_is_one() -> None:
    """Enlarged four times, a tenth of a pixel shows."""
    spot = cv2.GaussianBlur(scene((300, 160, 340, 200)), (0, 0), 4)
    centres = []
    for step in range(11):
        window = Window(240 + step / 10, 135, 160, 90)
        framing = Framing((WIDTH, HEIGHT), (WIDTH, HEIGHT), lambda _, w=window: w, lambda p, _: p, lambda *_: None)
        shown = framing(spot, tracks()).astype(float).mean(axis=(0, 2)) - 90
        centres.append(float((shown * np.arange(WIDTH)).sum() / shown.sum()))

    assert centres[0] == pytest.approx(4 * (320 - 240) - 0.5, abs=0.2), "edges go to edges"
    assert np.diff(centres) == pytest.approx([-0.4] * 10, abs=0.1)
