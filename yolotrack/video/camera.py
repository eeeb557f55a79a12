"""Pictures out of a webcam."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np

from yolotrack.errors import SourceError
from yolotrack.model import Pixels
from yolotrack.video.base import Picture, SourceInfo
from yolotrack.video.fit import check_size, fit
from yolotrack.video.timing import FASTEST_RATE, Selection


class CameraReader:
    """A webcam by its number. Times are of arrival, from the first picture on.

    Through OpenCV: FFmpeg has no camera numbers on Windows, and wants rate and format spelt out on macOS.
    """

    skipped = 0

    def __init__(self, number: int, selection: Selection) -> None:
        """`SourceError` where there is no such camera, or it gives no picture."""
        self._number = number
        self._capture = _open(number)
        self._pictures: Iterator[Picture] = (Picture(pixels, at) for at, pixels in selection.pick(self._frames()))
        first = next(self._pictures, None)
        if first is None:
            raise SourceError(f"camera {number} gives no picture{selection}; take a later --end")
        height, width = first.pixels.shape[:2]
        check_size(f"camera {number}", width, height)
        self.info = SourceInfo(
            name=str(number),
            stream=f"camera-{number}",
            width=width,
            height=height,
            rate=selection.rate(self._rate()),
            frame_count=None,
            live=True,
        )
        self._pictures = chain((first,), self._pictures)

    def pictures(self) -> Iterator[Picture]:
        """Every picture, once, as it comes. `SourceError` when the camera stops."""
        for picture in self._pictures:
            yield Picture(fit(picture.pixels, self.info.width, self.info.height), picture.media_time)

    def close(self) -> None:
        """Give the camera back."""
        self._capture.release()

    def _frames(self) -> Iterator[tuple[float, Pixels]]:
        start = last = 0.0
        for number in count():
            fine, pixels = self._capture.read()
            if not fine:
                self.close()
                raise SourceError(
                    f"camera {self._number} gives no pictures; check its plug, and that nothing else uses it"
                )
            now = time.monotonic()
            start = start if number else now
            last = max(now - start, last + 1e-6) if number else 0.0
            yield last, np.ascontiguousarray(pixels, np.uint8)

    def _rate(self) -> Fraction | None:
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return Fraction(rate).limit_denominator(1001) if 0 < rate < FASTEST_RATE else None


def _open(number: int) -> cv2.VideoCapture:
    missing = SourceError(f"there is no camera {number}; check its number, its plug, and your rights to it")
    if sys.platform.startswith("linux") and not Path(f"/dev/video{number}").exists():
        raise missing
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(number)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not capture.isOpened():
        raise missing
    return capture
