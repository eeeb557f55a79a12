"""Pictures brought into the shape that was promised: turned upright, letterboxed, even."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from yolotrack.errors import SourceError
from yolotrack.model import Pixels
from yolotrack.sizes import size_refusal, too_large

log = logging.getLogger("yolotrack.video")


def check_size(name: str, width: int, height: int) -> None:
    """`SourceError` about the source of that name where its pictures are too large to be worked with."""
    if too_large(width, height):
        raise SourceError(f"cannot read {name}: {size_refusal(width, height)}")


class SizeGuard:
    """Tells of pictures too large that come on the way, once; the source passes over each."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told = False

    def refuses(self, width: int, height: int) -> bool:
        """Whether to pass over a picture of that size."""
        refused = too_large(width, height)
        if refused and not self._told:
            self._told = True
            log.warning("%s: passed over: %s", self._name, size_refusal(width, height))
        return refused


def fit(pixels: Pixels, width: int, height: int) -> Pixels:
    """The picture at that size, whole, its shape kept, centred on black; itself where it already fits."""
    have_height, have_width = pixels.shape[:2]
    if (have_width, have_height) == (width, height):
        return pixels
    scale = min(width / have_width, height / have_height)
    inner_width = min(width, max(1, round(have_width * scale)))
    inner_height = min(height, max(1, round(have_height * scale)))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    canvas: Pixels = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = cv2.resize(
        pixels, (inner_width, inner_height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return canvas


def narrow(pixels: Pixels, width: int) -> Pixels:
    """The picture at most that wide, its shape kept; itself where it already is."""
    have_height, have_width = pixels.shape[:2]
    if have_width <= width:
        return pixels
    height = max(1, round(have_height * width / have_width))
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def orient(pixels: npt.NDArray[np.uint8], matrix: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The picture as the container's display matrix wants it shown, in any of the eight orientations; a view.

    `matrix` is FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX: nine numbers, of which (a, b, c, d) at 0, 1, 3, 4 place
    a point at (a*x + c*y, b*x + d*y). Angles between quarter turns go to the nearest.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) > abs(a):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return pixels


def even(pixels: Pixels) -> Pixels:
    """The picture with an odd side lengthened by a pixel, repeating the border: yuv420p halves both sides."""
    odd_height, odd_width = pixels.shape[0] % 2, pixels.shape[1] % 2
    if not (odd_height or odd_width):
        return pixels
    padded = cv2.copyMakeBorder(pixels, 0, odd_height, 0, odd_width, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)
