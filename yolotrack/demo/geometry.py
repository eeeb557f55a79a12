"""A pinhole camera over the street, and the polygons that everything in the scene is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Floats = NDArray[np.float64]
Image = NDArray[np.uint8]
SHIFT = 4
"""Polygon corners are painted in sixteenths of a pixel."""


@dataclass(frozen=True, slots=True)
class Polygon:
    """A convex polygon on the canvas: `corners` int32 [k, 2] in sixteenths of a pixel, colour BGR.

    `solid` polygons make up the silhouette; the others are details that lie inside it.
    """

    corners: NDArray[np.int32]
    colour: Colour
    solid: bool = True


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera at (0, 0, height), metres; x runs along the road, y away from the viewer, z up."""

    focal: float
    centre: tuple[float, float]
    height: float
    pitch: float
    yaw: float

    @property
    def axes(self) -> Floats:
        """Rows: right, down and forward as unit vectors of the world, [3, 3]."""
        (sin_p, sin_y), (cos_p, cos_y) = np.sin([self.pitch, self.yaw]), np.cos([self.pitch, self.yaw])
        forward = np.array([sin_y * cos_p, cos_y * cos_p, -sin_p])
        right = np.array([cos_y, -sin_y, 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, points: Floats) -> Floats:
        """World points [..., 3] in metres to canvas pixels [..., 2]; depth is kept above 1 m."""
        seen = (points - np.array([0.0, 0.0, self.height])) @ self.axes.T
        depth = np.maximum(seen[..., 2:], 1.0)
        return np.asarray(seen[..., :2] / depth * self.focal + np.array(self.centre))

    def scale(self, x: float, y: float, z: float = 1.0) -> float:
        """Pixels per metre at a world point."""
        depth = float(np.array([x, y, z - self.height]) @ self.axes[2])
        return self.focal / max(depth, 1.0)

    def ground_x(self, column: float, y: float) -> float:
        """The x on the ground line at depth `y` that is seen in canvas column `column`."""
        right, _, forward = self.axes
        slope = (column - self.centre[0]) / self.focal
        sideways = slope * (y * forward[1] - self.height * forward[2]) - y * right[1]
        return float(sideways / (right[0] - slope * forward[0]))


def fixed(points: Floats) -> NDArray[np.int32]:
    """Canvas pixels to the painters' fixed-point numbers."""
    return np.rint(points * (1 << SHIFT)).astype(np.int32)


def paint(canvas: Image, polygons: Sequence[Polygon]) -> None:
    """Paint the polygons in order, with smooth edges."""
    for polygon in polygons:
        cv2.fillConvexPoly(canvas, polygon.corners, polygon.colour, cv2.LINE_AA, SHIFT)


def paint_mask(mask: Image, polygons: Sequence[Polygon], value: int) -> None:
    """Paint the silhouette of the polygons as one value, with hard edges."""
    for polygon in polygons:
        if polygon.solid:
            cv2.fillConvexPoly(mask, polygon.corners, (value,), cv2.LINE_8, SHIFT)


def bounds(polygons: Sequence[Polygon]) -> Floats:
    """Outer pixel edges (x1, y1, x2, y2) of the silhouette, float64 [4]; a pixel k spans [k, k + 1)."""
    corners = np.concatenate([p.corners for p in polygons if p.solid]) / (1 << SHIFT)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0) + 1.0])


def area(polygons: Sequence[Polygon]) -> int:
    """Pixels of the whole silhouette, whatever of it lies outside the picture."""
    x1, y1, x2, y2 = bounds(polygons)
    left, top = int(np.floor(x1)) - 1, int(np.floor(y1)) - 1
    mask = np.zeros((int(y2) - top + 3, int(x2) - left + 3), np.uint8)
    offset = np.array([left, top], np.int32) << SHIFT
    paint_mask(mask, [Polygon(p.corners - offset, p.colour) for p in polygons if p.solid], 1)
    return cv2.countNonZero(mask)


_TURN = np.linspace(0.0, 2.0 * np.pi, 12, endpoint=False)


def capsules(start: Floats, end: Floats, radius: Floats) -> Floats:
    """Rounded bars on the canvas: [n, 2], [n, 2], [n] to convex outlines [n, 12, 2]."""
    along = end - start
    heading = np.arctan2(along[:, 1], along[:, 0])[:, None] + _TURN[None, :] + np.pi / 12
    circle = np.stack([np.cos(heading), np.sin(heading)], axis=-1) * radius[:, None, None]
    front = np.cos(_TURN + np.pi / 12) > 0.0
    base = np.where(front[None, :, None], end[:, None, :], start[:, None, :])
    return np.asarray(base + circle)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made lighter or darker."""
    blue, green, red = (int(min(255.0, max(0.0, c * factor))) for c in colour)
    return blue, green, red
