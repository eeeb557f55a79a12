"""Pictures as they travel: one JPEG, encoded once. What arrives is looked at before it is decoded."""

from __future__ import annotations

import io
import logging
from functools import cache

import cv2
import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from yolotrack.errors import BadPicture
from yolotrack.model import Pixels
from yolotrack.sizes import MAX_JPEG_BYTES, too_large

LOWER_QUALITIES = (75, 50, 25, 10, 1)
"""What is tried where a picture becomes too large to travel."""
SCALED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""How to ask OpenCV for a fraction."""
END = b"\xff\xd9"

log = logging.getLogger("yolotrack.video")


def encode(pixels: Pixels, quality: int) -> bytes:
    """A JPEG of a BGR picture, at most `MAX_JPEG_BYTES` large; `quality` 1-100 as libjpeg counts.

    Where it would be larger, a lower quality takes its place, which is told once. `BadPicture` where none will do.
    """
    jpeg = _encoded(pixels, quality)
    for lower in LOWER_QUALITIES:
        if len(jpeg) <= MAX_JPEG_BYTES:
            return jpeg
        if lower < quality:
            _tell_lowered(pixels.shape[1], pixels.shape[0], quality)
            jpeg = _encoded(pixels, lower)
    if len(jpeg) > MAX_JPEG_BYTES:
        raise BadPicture(f"a picture of {pixels.shape[1]}x{pixels.shape[0]} that no JPEG holds in 15 MiB")
    return jpeg


def _encoded(pixels: Pixels, quality: int) -> bytes:
    try:
        done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        done = False
    if not done:
        raise BadPicture(f"a picture of {pixels.shape} cannot become a JPEG")
    return data.tobytes()


@cache
def _tell_lowered(width: int, height: int, quality: int) -> None:
    log.warning(
        "some pictures of %dx%d take more than 15 MiB at quality %d; those travel at a lower one",
        width,
        height,
        quality,
    )


def decode(jpeg: bytes) -> Pixels:
    """The picture of a JPEG, uint8 height x width x 3 BGR. `BadPicture` when it is none, cut off, or too large."""
    return decode_scaled(jpeg, 0)[0]


def decode_scaled(jpeg: bytes, width: int) -> tuple[Pixels, tuple[int, int]]:
    """The same by 1/2, 1/4 or 1/8, which costs less, as long as it stays `width` pixels wide (0: not scaled).

    And its true width and height. Errors as of `decode`.
    """
    size = _check(jpeg)
    shrink = next((by for by in (8, 4, 2) if width and size[0] >= width * by), 1)
    try:
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), SCALED[shrink])
    except cv2.error as error:
        raise BadPicture(f"not a readable JPEG: {error.err}") from error
    if pixels is None:
        raise BadPicture("not a readable JPEG")
    return np.ascontiguousarray(pixels, np.uint8), size


def _check(jpeg: bytes) -> tuple[int, int]:
    """What OpenCV would not tell: it decodes half a picture without a word, and allocates what a header asks for."""
    if not jpeg:
        raise BadPicture("an empty picture")
    try:
        # not Image.open, which has its own idea of what is too large and warns on standard error
        with JpegImageFile(io.BytesIO(jpeg)) as header:
            width, height = header.size
    except (OSError, SyntaxError, ValueError) as error:
        raise BadPicture("not a JPEG") from error
    if too_large(width, height):
        raise BadPicture(f"more pixels than are allowed ({width}x{height})")
    if not jpeg.rstrip(b"\0").endswith(END):
        raise BadPicture("a JPEG that is cut off")
    return width, height
