"""Pictures whose colours say where they belong, and how far others are from them, plane by plane."""

from __future__ import annotations

from math import inf, log10
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from yolotrack.model import Pixels

Planes = dict[str, npt.NDArray[np.float64]]

BT601 = {
    "y": (16.0, (24.966, 128.553, 65.481)),
    "u": (128.0, (112.0, -74.203, -37.797)),
    "v": (128.0, (-18.214, -93.786, 112.0)),
}
"""ITU-R BT.601, limited range: the offset of each plane, and its weights of blue, green and red from 0 to 1."""


def coloured(width: int, height: int, turn: float = 0.0) -> Pixels:
    """A smooth picture, mostly of another hue in every row, whose blocks of 2x2 pixels have one colour each.

    So yuv420p can hold it exactly. `turn` turns all hues by a share of their circle.
    """
    columns, rows = (width + 1) // 2, (height + 1) // 2
    x, y = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    hue = np.asarray(180 * ((0.7 * y + 0.1 * x + turn) % 1), np.uint8)
    blocks = cv2.cvtColor(np.dstack([hue, np.full_like(hue, 150), np.uint8(120 + 90 * x)]), cv2.COLOR_HSV2BGR)
    return np.ascontiguousarray(blocks.repeat(2, 0).repeat(2, 1)[:height, :width], np.uint8)


def planes_meant(pixels: Pixels) -> Planes:
    """What the planes of a `coloured` picture must hold; an odd side is lengthened."""
    height, width = pixels.shape[:2]
    whole = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") / 255
    planes = {name: offset + whole @ np.array(weights) for name, (offset, weights) in BT601.items()}
    return {name: plane if name == "y" else plane[::2, ::2] for name, plane in planes.items()}


def planes_of(frame: av.VideoFrame) -> Planes:
    """What the planes of a yuv420p frame hold."""
    assert frame.format.name == "yuv420p"
    return {name: _rows(plane) for name, plane in zip("yuv", frame.planes, strict=True)}


def worst_psnr(found: Planes, meant: Planes) -> float:
    """Of the plane that is furthest off, decibels. Fails where shapes differ."""
    assert {name: plane.shape for name, plane in found.items()} == {name: p.shape for name, p in meant.items()}
    return min(psnr(found[name], meant[name]) for name in meant)


def psnr(found: npt.NDArray[Any], meant: npt.NDArray[Any]) -> float:
    """Peak signal-to-noise ratio, decibels."""
    error = float(np.mean((found.astype(float) - meant.astype(float)) ** 2))
    return 10 * log10(255**2 / error) if error else inf


def _rows(plane: Any) -> npt.NDArray[np.float64]:
    lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return lines[:, : plane.width].astype(np.float64)
