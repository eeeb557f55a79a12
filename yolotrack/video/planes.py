"""Pictures as the frames that encoders take."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from yolotrack.model import Pixels
from yolotrack.video.fit import even


def yuv420p(pixels: Pixels) -> VideoFrame:
    """A picture, uint8 height x width x 3 BGR, as yuv420p in BT.601, limited range; odd sides lengthened by a pixel.

    OpenCV converts four times as fast as swscale. Its result is one array of height * 3/2 rows: all of Y, then U,
    then V. PyAV's `from_numpy_buffer` takes such an array, but gets its height wrong unless it is a multiple of 4.
    """
    pixels = even(pixels)
    height, width = pixels.shape[:2]
    flat = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
    ends = height * width, height * width * 5 // 4
    return _filled(width, height, "yuv420p", np.split(flat, ends))


def bgra(pixels: Pixels) -> VideoFrame:
    """The same picture as opaque BGRA, of the same size."""
    height, width = pixels.shape[:2]
    converted = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA), np.uint8)
    return _filled(width, height, "bgra", [converted])


def _filled(width: int, height: int, kind: str, planes: list[npt.NDArray[np.uint8]]) -> VideoFrame:
    """A new frame of these planes, each the bytes of its rows without gaps; FFmpeg's own rows may have some."""
    frame = VideoFrame(width, height, kind)
    plane: Any  # has the buffer protocol, which its stub does not say
    for plane, rows in zip(frame.planes, planes, strict=True):
        lines: npt.NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        own = rows.reshape(plane.height, -1)
        lines[:, : own.shape[1]] = own
    return frame
