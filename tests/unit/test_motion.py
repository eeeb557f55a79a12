"""How the camera moved, from pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolotrack.model import Pixels
from yolotrack.vision.motion import CameraMotion


def ground() -> Pixels:
    """Something with corners."""
    rng = np.random.default_rng(3)
    picture = np.full((400, 600, 3), 90, np.uint8)
    for x, y, size in rng.integers((0, 0, 6), (600, 400, 30), (150, 3)).tolist():
        cv2.rectangle(picture, (x, y), (x + size, y + size), rng.integers(0, 255, 3).tolist(), -1)
    return picture


def moved(picture: Pixels, matrix: list[list[float]]) -> Pixels:
    return np.asarray(cv2.warpAffine(picture, np.array(matrix, np.float64), (500, 300)), np.uint8)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (6.0, -4.0), (-12.0, 9.0)])
def test_a_shift_is_found(x: float, y: float) -> None:
    camera, picture = CameraMotion(), ground()
    assert camera.estimate(moved(picture, [[1, 0, -50], [0, 1, -50]])) is None
    motion = camera.estimate(moved(picture, [[1, 0, x - 50], [0, 1, y - 50]]))
    assert motion is not None and all(type(number) is float for number in motion)
    assert motion == pytest.approx((1, 0, x, 0, 1, y), abs=0.5)


def test_something_that_moves_on_its_own_is_not_the_camera() -> None:
    camera, picture = CameraMotion(), ground()[50:350, 50:550]
    for x in (100, 115):
        seen = picture.copy()
        seen[100:160, x : x + 90] = ground()[:60, :90]
        motion = camera.estimate(seen)
    assert motion == pytest.approx((1, 0, 0, 0, 1, 0), abs=0.2)


@pytest.mark.parametrize("shape", [(300, 500, 3), (1, 1, 3), (2, 900, 3)])
def test_nothing_to_hold_on_to_is_no_motion(shape: tuple[int, int, int]) -> None:
    camera = CameraMotion()
    first, second, third = (camera.estimate(np.full(shape, grey, np.uint8)) for grey in (80, 90, 100))
    assert first is None and second == third == (1, 0, 0, 0, 1, 0)


def test_a_new_size_is_a_new_start() -> None:
    camera, picture = CameraMotion(), ground()
    camera.estimate(picture)
    assert camera.estimate(np.ascontiguousarray(picture[:200, :300])) == (1, 0, 0, 0, 1, 0)
