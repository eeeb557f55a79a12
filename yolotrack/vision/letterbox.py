"""Fitting a picture into a model's input and its boxes back, to the pixel as ultralytics' `LetterBox` does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from yolotrack.model import Pixels

PADDING = 114
"""The grey around a picture, as in training."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a picture of one size goes in a model's input."""

    picture: tuple[int, int]
    """Width, height of the picture."""
    inner: tuple[int, int]
    """Width, height it is scaled to."""
    left: int
    top: int
    canvas: tuple[int, int]
    """Width, height of the model's input: multiples of the stride, the longer side `imgsz`."""

    @classmethod
    def fit(cls, width: int, height: int, imgsz: int, stride: int = 32) -> Letterbox:
        """The smallest canvas for pictures of that size: the longer side `imgsz`, the other padded to `stride`."""
        side = math.ceil(imgsz / stride) * stride
        gain = min(side / width, side / height)
        inner_width, inner_height = max(round(width * gain), 1), max(round(height * gain), 1)
        pad_x, pad_y = (side - inner_width) % stride, (side - inner_height) % stride
        return cls(
            picture=(width, height),
            inner=(inner_width, inner_height),
            left=round(pad_x / 2 - 0.1),
            top=round(pad_y / 2 - 0.1),
            canvas=(inner_width + pad_x, inner_height + pad_y),
        )

    def place(self, picture: Pixels, canvas: Pixels) -> None:
        """Scale the picture into its place; the rest of the canvas is left as it is."""
        width, height = self.inner
        window = canvas[self.top : self.top + height, self.left : self.left + width]
        if self.inner == self.picture:
            window[:] = picture
        else:
            cv2.resize(picture, self.inner, dst=window, interpolation=cv2.INTER_LINEAR)

    def restore(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes on the canvas as boxes on the picture, clipped to it; xyxy pixels."""
        x, y = boxes[:, 0::2], boxes[:, 1::2]
        restored = np.empty_like(boxes)
        restored[:, 0::2] = ((x - self.left) / (self.inner[0] / self.picture[0])).clip(0, self.picture[0])
        restored[:, 1::2] = ((y - self.top) / (self.inner[1] / self.picture[1])).clip(0, self.picture[1])
        return restored
