"""From a model's raw output to boxes on the picture."""

from __future__ import annotations

import numpy as np
import pytest

from yolotrack.errors import ModelError
from yolotrack.vision.found import as_detections, check_picture
from yolotrack.vision.letterbox import Letterbox
from yolotrack.vision.nms import BLOCK, find_boxes


def raw(*rows: tuple[float, ...]) -> np.ndarray:
    """Output of a head: one anchor per row of centre x, centre y, width, height, scores."""
    return np.array(rows, np.float32).T


def test_the_best_class_of_an_anchor_counts_and_the_best_box_comes_first() -> None:
    found = find_boxes(raw((50, 50, 20, 10, 0.2, 0.3), (90, 90, 10, 10, 0.8, 0.1)), 0.1, 0.7, 300)
    assert found.class_id.tolist() == [0, 1]
    assert found.confidence.tolist() == pytest.approx([0.8, 0.3])
    assert found.xyxy.tolist() == [[85, 85, 95, 95], [40, 45, 60, 55]]


def test_a_weaker_box_goes_only_within_its_class() -> None:
    same = raw((50, 50, 20, 20, 0.9, 0), (51, 50, 20, 20, 0.8, 0))
    other = raw((50, 50, 20, 20, 0.9, 0), (51, 50, 20, 20, 0, 0.8))
    assert len(find_boxes(same, 0.1, 0.7, 300).xyxy) == 1
    assert len(find_boxes(other, 0.1, 0.7, 300).xyxy) == 2


def test_overlap_at_the_threshold_stays() -> None:
    half = raw((10, 10, 20, 20, 0.9), (10, 5, 20, 10, 0.8))
    assert len(find_boxes(half, 0.1, 0.5, 300).xyxy) == 2
    assert len(find_boxes(half, 0.1, 0.49, 300).xyxy) == 1


def test_confidence_at_the_threshold_goes() -> None:
    assert len(find_boxes(raw((10, 10, 20, 20, 0.5)), 0.5, 0.7, 300).xyxy) == 0


def test_what_is_not_finite_goes_and_suppresses_nobody() -> None:
    nan, inf = float("nan"), float("inf")
    found = find_boxes(
        raw((nan, 50, 20, 10, 0.9), (50, 50, inf, 10, 0.9), (50, 50, 20, 10, nan), (50, 50, 20, 10, 0.4)), 0.1, 0.7, 300
    )
    assert found.confidence.tolist() == pytest.approx([0.4])


def test_at_most_max_det_of_the_wanted_classes() -> None:
    apart = raw(*[(40.0 * i, 10, 20, 20, 0.5, 0.4) if i % 2 else (40.0 * i, 10, 20, 20, 0.4, 0.6) for i in range(40)])
    assert len(find_boxes(apart, 0.1, 0.7, 12).xyxy) == 12
    assert set(find_boxes(apart, 0.1, 0.7, 300, classes=(0,)).class_id.tolist()) == {0}


def test_a_box_of_an_earlier_block_suppresses_one_of_a_later() -> None:
    rows = [(100.0 * i, 50, 20, 20, 0.9 - i / 1000) for i in range(BLOCK)] + [(100.0, 50, 20, 20, 0.1)]
    assert len(find_boxes(raw(*rows), 0.05, 0.7, 1000).xyxy) == BLOCK


def test_no_box_at_all() -> None:
    found = find_boxes(raw((50, 50, 20, 10, 0.0)), 0.1, 0.7, 300)
    detections = as_detections(found.xyxy, found.confidence, found.class_id, {0: "car"})
    assert detections.xyxy.shape == (0, 4)
    assert detections.data["class_name"].tolist() == []


@pytest.mark.parametrize(
    ("size", "canvas"),
    [
        ((768, 432), (640, 384)),
        ((1920, 1080), (640, 384)),
        ((810, 1080), (480, 640)),
        ((640, 640), (640, 640)),
        ((3000, 1), (640, 32)),
        ((31, 17), (640, 352)),
    ],
)
def test_the_canvas_fits_the_aspect(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    assert Letterbox.fit(*size, imgsz=640).canvas == canvas


def test_imgsz_is_rounded_up_to_the_stride() -> None:
    assert Letterbox.fit(768, 432, imgsz=630) == Letterbox.fit(768, 432, imgsz=640)


def test_a_box_finds_its_way_back_and_ends_at_the_border() -> None:
    letterbox = Letterbox.fit(1280, 720, imgsz=640)
    boxes = np.array([[10, 12 + 20, 110, 12 + 120], [-5, 0, 700, 400]], np.float32)
    assert letterbox.restore(boxes).tolist() == [[20, 40, 220, 240], [0, 0, 1280, 720]]


def test_placing_leaves_the_border_alone() -> None:
    letterbox = Letterbox.fit(100, 50, imgsz=64)
    canvas = np.full((letterbox.canvas[1], letterbox.canvas[0], 3), 114, np.uint8)
    letterbox.place(np.full((50, 100, 3), 7, np.uint8), canvas)
    inside = canvas[letterbox.top : letterbox.top + letterbox.inner[1], :, 0]
    assert (inside == 7).all()
    assert (canvas == 114).sum() == canvas.size - 3 * inside.size


@pytest.mark.parametrize(
    "image",
    [
        None,
        np.zeros((5, 5, 3), np.float32),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_said_to_be_none(image: object) -> None:
    with pytest.raises(ModelError, match="picture"):
        check_picture(image)
