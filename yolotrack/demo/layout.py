"""The plan of the street, different for every seed: where lanes, kerbs, crossing, bridge and camera are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .geometry import Camera, Floats

LANE_WIDTH = 3.4
MARGIN = 8
"""Pixels that the canvas is larger than the picture on each side, for the camera to shake in."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Metres in the world, seconds of the traffic light; lanes are counted from the viewer."""

    camera: Camera
    canvas: tuple[int, int]
    near_kerb: float
    far_kerb: float
    lanes: tuple[float, ...]
    lane_sign: tuple[int, ...]
    lane_speed: tuple[float, ...]
    near_walk: tuple[float, float]
    far_walk: tuple[float, float]
    far_edge: float
    facade: float
    zebra_x: float
    bridge_x: float
    light_phase: float
    vehicle_gap: float
    walker_gap: float
    red_length: float = 10.5
    light_cycle: float = 22.0

    def edges(self, y: float) -> tuple[float, float]:
        """The x at which the left and the right edge of the canvas see the ground at depth `y`."""
        return self.camera.ground_x(0.0, y), self.camera.ground_x(float(self.canvas[0]), y)

    def stop_line(self, sign: int) -> float:
        """The x at which vehicles of a direction wait."""
        return self.zebra_x - sign * 3.2

    def reds(self, start: float, end: float) -> list[tuple[float, float]]:
        """The red phases (start, end) that begin within an interval, seconds."""
        first = int(np.ceil((start - self.light_phase) / self.light_cycle))
        last = int(np.floor((end - self.light_phase) / self.light_cycle))
        begins = [self.light_phase + k * self.light_cycle for k in range(first, last + 1)]
        return [(begin, begin + self.red_length) for begin in begins]

    def red_at(self, time: float) -> tuple[float, float] | None:
        """The red phase that holds at a time."""
        begin = time - (time - self.light_phase) % self.light_cycle
        return (begin, begin + self.red_length) if time < begin + self.red_length else None


def plan(rng: Generator, width: int, height: int) -> Layout:
    """Draw up a street for a picture of the given size."""
    canvas = (width + 2 * MARGIN, height + 2 * MARGIN)
    near = 22.0 + rng.uniform(-0.6, 0.6)
    far = near + 4 * LANE_WIDTH
    camera = _camera(rng, width, canvas, (near + far) / 2)
    side = 1 if rng.random() < 0.5 else -1
    sign = 1 if rng.random() < 0.5 else -1
    middle = camera.ground_x(canvas[0] / 2, (near + far) / 2)
    return Layout(
        camera=camera,
        canvas=canvas,
        near_kerb=near,
        far_kerb=far,
        lanes=tuple(near + LANE_WIDTH * (i + 0.5) for i in range(4)),
        lane_sign=(sign, sign, -sign, -sign),
        lane_speed=(6.2, 8.6, 8.6, 6.2),
        near_walk=(min(_lowest(camera, canvas) + 0.3, near - 3.2), near - 2.9),
        far_walk=(far + 0.5, far + 2.3),
        far_edge=far + 3.8,
        facade=far + rng.uniform(9.0, 12.0),
        zebra_x=middle + side * rng.uniform(3.0, 6.5),
        bridge_x=middle - side * rng.uniform(4.5, 8.5),
        light_phase=rng.uniform(3.5, 8.0),
        vehicle_gap=rng.uniform(0.35, 0.7),
        walker_gap=rng.uniform(1.4, 2.6),
    )


def _camera(rng: Generator, width: int, canvas: tuple[int, int], middle: float) -> Camera:
    """A camera on a mast that sees the middle of the road a little below the centre of the picture."""
    focal, height = width * rng.uniform(0.9, 1.0), rng.uniform(13.0, 15.5)
    below = np.arctan2(canvas[1] * rng.uniform(0.05, 0.085), focal)
    pitch = float(np.arctan2(height, middle) - below)
    yaw = float(np.deg2rad(rng.uniform(-11.0, 11.0)))
    return Camera(focal, (canvas[0] / 2, canvas[1] / 2), height, pitch, yaw)


def _lowest(camera: Camera, canvas: tuple[int, int]) -> float:
    """The depth y of the ground that the lower edge of the picture sees, metres."""
    below = np.arctan2(canvas[1] / 2 - 2 * MARGIN, camera.focal)
    return float(camera.height / np.tan(camera.pitch + below))


def shake(phases: Floats, time: float) -> Floats:
    """Offset of the picture in pixels (x, y), at most 3: a mast in the wind. `phases` is float64 [2, 3]."""
    rates = np.array([[1.7, 3.9, 8.3], [2.3, 5.1, 9.7]])
    sizes = np.array([[0.8, 0.5, 0.3], [0.6, 0.4, 0.3]])
    return np.asarray((sizes * np.sin(rates * time + phases)).sum(axis=1))
