"""JPEG in, drawn JPEG out, as small as it is shown."""

from __future__ import annotations

from dataclasses import replace

import cv2
import supervision as sv

from yolotrack.errors import BadPicture
from yolotrack.model import FrameTracks
from yolotrack.video.draw import Annotator, Style
from yolotrack.video.fit import narrow
from yolotrack.video.jpeg import decode_scaled, encode


class Painter:
    """Draws the frames of a stream, in order, at most `width` pixels wide: letters and lines fit that size.

    A new run begins with new traces. One thread at a time.
    """

    def __init__(self, width: int, style: Style, quality: int) -> None:
        """`quality` as in `jpeg.encode`."""
        self._width = width
        self._style = style
        self._quality = quality
        self._annotator: tuple[tuple[str, int, int], Annotator] | None = None

    def __call__(self, jpeg: bytes, tracks: FrameTracks) -> bytes:
        """Raises `BadPicture`."""
        pixels, size = decode_scaled(jpeg, self._width)
        try:
            pixels = narrow(pixels, self._width)
            height, width = pixels.shape[:2]
            found = _scaled(tracks.tracks, width / size[0], height / size[1])
            drawn = self._annotator_for(tracks.run_id, width, height)(pixels, replace(tracks, tracks=found))
        except cv2.error as error:
            raise BadPicture(f"a picture of {size[0]}x{size[1]} cannot be drawn: {error.err}") from error
        return encode(drawn, self._quality)

    def _annotator_for(self, run_id: str, width: int, height: int) -> Annotator:
        key = (run_id, width, height)
        if self._annotator is None or self._annotator[0] != key:
            self._annotator = (key, Annotator(width, height, self._style))
        return self._annotator[1]


def _scaled(tracks: sv.Detections, x: float, y: float) -> sv.Detections:
    if (x, y) == (1.0, 1.0) or not len(tracks):
        return tracks
    found = tracks[:]
    found.xyxy = tracks.xyxy * (x, y, x, y)  # type: ignore[union-attr]
    return found  # type: ignore[return-value]
