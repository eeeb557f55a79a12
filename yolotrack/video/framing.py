"""What part of a picture is shown, how large, and beside what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import cv2
import numpy as np
import supervision as sv

from yolotrack.model import FrameTracks, Pixels
from yolotrack.video.base import Draw
from yolotrack.video.fit import fit

SMOOTHING_SECONDS = 0.5
"""Standard deviation of the Gaussian that a followed path is smoothed with: slow enough to calm a detector's
trembling, quick enough that what turns round stays in the picture."""
REACH = 3.0
"""Standard deviations after which the Gaussian counts as zero."""
SAMPLES = 181
"""Of that average: sixty a second, so that every frame counts and what trembles cancels out."""
ROOM = 3.0
"""How many times a followed object's own width and height the window shows, unless that is more than there is."""
USUAL_SHARE = 95
"""Percentile of an object's sizes that counts as its size: one box that went wrong does not."""
CLOSEST = 4.0
"""Most enlarged: the window is at least this part of the picture."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a picture, pixels."""

    left: float
    top: float
    width: float
    height: float


Scale: TypeAlias = "float | tuple[int, int] | None"
"""A factor for every side of a picture, or the width and height of the whole video; None leaves the size."""
WindowAt: TypeAlias = Callable[[float], Window]
"""The part that is shown at a media time; always of one size."""


class Framing:
    """Draws on a part of every picture, brought to one size first: lines and letters stay sharp.

    Pictures of another size than promised are letterboxed before. Tracks outside the part are left out. One
    thread; frames in order.
    """

    def __init__(
        self,
        size: tuple[int, int],
        shown: tuple[int, int],
        window: WindowAt,
        draw: Draw,
        pan: Callable[[float, float], None],
    ) -> None:
        """Pictures of `size` are shown at `shown`, width and height. `pan` hears how the scene moves before it is
        drawn."""
        self._size = size
        self._shown = shown
        self._window = window
        self._draw = draw
        self._pan = pan
        self._before: Window | None = None

    def __call__(self, pixels: Pixels, tracks: FrameTracks) -> Pixels:
        """The annotated part."""
        window = self._window(tracks.media_time)
        scale = self._shown[0] / window.width
        if self._before is not None and window != self._before:
            self._pan((self._before.left - window.left) * scale, (self._before.top - window.top) * scale)
        self._before = window
        part = _part(fit(pixels, *self._size), window, self._shown)
        return self._draw(part, replace(tracks, tracks=_moved(tracks.tracks, window, scale, self._shown)))


def sizes(size: tuple[int, int], panels: int, scale: Scale) -> tuple[tuple[int, int], tuple[int, int]]:
    """How large a picture of that size is shown, its shape kept, and the video of so many of them beside each other."""
    width, height = size
    if isinstance(scale, tuple):
        video = scale
        factor = min(video[0] / (panels * width), video[1] / height)
    else:
        factor = 1.0 if scale is None else scale
        video = (panels * max(1, round(width * factor)), max(1, round(height * factor)))
    return (max(1, round(width * factor)), max(1, round(height * factor))), video


def whole(width: int, height: int) -> WindowAt:
    """All of every picture."""
    window = Window(0.0, 0.0, float(width), float(height))
    return lambda _: window


def follow(width: int, height: int, times: Sequence[float], boxes: Sequence[Sequence[float]]) -> WindowAt:
    """A window of one size, of the picture's shape, that goes with an object.

    `times` are the media times at which it was seen, rising, and `boxes` where: x1, y1, x2, y2. Its centre is the
    object's: straight lines between where it was seen, the first and last place before and after, averaged over
    time with a Gaussian centred on now. So it neither trembles nor lags. It never leaves the picture, and comes to
    rest softly at its edges.
    """
    table = np.asarray(boxes, np.float64).reshape(-1, 4)
    box_width, box_height = np.percentile(table[:, 2:] - table[:, :2], USUAL_SHARE, axis=0)
    share = float(min(1.0, max(ROOM * box_width / width, ROOM * box_height / height, 1 / CLOSEST)))
    half = np.array([share * width / 2, share * height / 2])
    centres = np.clip((table[:, :2] + table[:, 2:]) / 2, half, (width, height) - half)
    offsets = np.linspace(-REACH, REACH, SAMPLES)
    weights = np.exp(-(offsets**2) / 2)
    weights /= weights.sum()

    def window(time: float) -> Window:
        around = time + SMOOTHING_SECONDS * offsets
        x, y = (float(weights @ np.interp(around, times, centres[:, axis])) for axis in (0, 1))
        left, top = max(0.0, x - half[0]), max(0.0, y - half[1])  # sums of floats may miss 0
        return Window(float(left), float(top), share * width, share * height)

    return window


def beside(draw: Draw) -> Draw:
    """The picture as it was, and to its right what `draw` makes of it."""
    return lambda pixels, tracks: np.hstack([pixels, draw(pixels, tracks)])


def _part(pixels: Pixels, window: Window, shown: tuple[int, int]) -> Pixels:
    """A new picture. Enlarged to a fraction of a pixel, so that a slow move is one; reduced without flicker."""
    scale = shown[0] / window.width
    if scale < 1:
        left, top = round(window.left), round(window.top)
        part = pixels[top : top + round(window.height), left : left + round(window.width)]
        return np.asarray(cv2.resize(part, shown, interpolation=cv2.INTER_AREA), np.uint8)
    if pixels.shape[1::-1] == shown and window == Window(0.0, 0.0, *map(float, shown)):
        return pixels
    # Pixels are areas: the window's edges, not the centres of its first pixels, go to the picture's edges.
    half = (1 - scale) / 2
    matrix = np.array([[scale, 0, -window.left * scale - half], [0, scale, -window.top * scale - half]])
    enlarged = cv2.warpAffine(pixels, matrix, shown, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.uint8)


def _moved(found: sv.Detections, window: Window, scale: float, shown: tuple[int, int]) -> sv.Detections:
    """Those that the window shows, where it shows them."""
    if not len(found):
        return found
    corner = np.array([window.left, window.top] * 2, np.float32)
    xyxy = ((found.xyxy - corner) * np.float32(scale)).astype(np.float32)
    seen = (xyxy[:, 2] > 0) & (xyxy[:, 3] > 0) & (xyxy[:, 0] < shown[0]) & (xyxy[:, 1] < shown[1])
    moved: sv.Detections = replace(found, xyxy=xyxy)
    return moved[seen]  # type: ignore[return-value]
