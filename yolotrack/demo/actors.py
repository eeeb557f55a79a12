"""What moves in the scene: the shapes of cars, lorries and people, as polygons at a place and time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.random import Generator

from .geometry import Camera, Colour, Floats, Polygon, capsules, fixed, shade

_MAX_CORNERS = 12
_GLASS: Colour = (92, 74, 58)
_PAINTS: tuple[Colour, ...] = (
    (60, 60, 205), (190, 120, 50), (225, 225, 225), (70, 70, 74), (70, 175, 235), (110, 150, 70),
    (150, 150, 155), (60, 110, 225), (140, 70, 110), (170, 165, 60), (40, 45, 120), (200, 205, 190),
)  # fmt: skip
_CLOTHES: tuple[Colour, ...] = (
    (60, 70, 200), (200, 130, 60), (90, 190, 230), (110, 160, 80), (190, 190, 200), (150, 80, 150),
    (70, 70, 75), (80, 130, 235), (180, 160, 60), (120, 60, 60),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((110, 70, 45), (60, 55, 55), (130, 120, 110), (75, 90, 110), (40, 40, 60))
_SKIN: tuple[Colour, ...] = ((150, 180, 225), (120, 155, 205), (80, 110, 160), (55, 75, 115))
_HAIR: tuple[Colour, ...] = ((30, 35, 45), (45, 65, 95), (80, 130, 175), (120, 120, 125))


class Body(Protocol):
    """A shape that can be drawn anywhere; `length` and `width` in metres along and across its heading."""

    @property
    def length(self) -> float:
        """Metres along the heading."""

    @property
    def width(self) -> float:
        """Metres across the heading."""

    def polygons(self, camera: Camera, place: Floats, heading: Floats, walked: float) -> list[Polygon]:
        """The visible faces in painting order.

        `place` is (x, y) metres on the ground, `heading` a unit vector (x, y), `walked` the metres behind it.
        """


@dataclass(frozen=True, slots=True)
class Face:
    """One flat face of a vehicle: corners [k, 3] in metres, seen from outside counter-clockwise."""

    corners: tuple[tuple[float, float, float], ...]
    colour: Colour
    solid: bool = True


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Faces packed for one projection: `corners` float64 [f, 12, 3] metres, of each face the first `counts`.

    The vehicle points along +x; `mirrored` faces serve the other direction. `blocks` is the x of the part
    that a face belongs to: of two parts the farther one is painted first.
    """

    length: float
    width: float
    corners: Floats
    mirrored: Floats
    counts: tuple[int, ...]
    colours: tuple[Colour, ...]
    solid: tuple[bool, ...]
    blocks: tuple[float, ...]

    def polygons(self, camera: Camera, place: Floats, heading: Floats, walked: float) -> list[Polygon]:
        """Faces that look at the camera, the farther block of the vehicle first."""
        forward = heading[0] > 0.0
        local = self.corners if forward else self.mirrored
        seen = camera.project(local + np.array([place[0], place[1], 0.0]))
        ahead = np.roll(seen, -1, axis=1)
        turning = (seen[..., 0] * ahead[..., 1] - seen[..., 1] * ahead[..., 0]).sum(axis=1)
        corners = fixed(seen)
        sign = 1.0 if forward else -1.0
        order = sorted(range(len(self.counts)), key=lambda i: self._rank(i, float(place[0]), sign))
        faced = [i for i in order if turning[i] < 0.0]
        return [Polygon(corners[i, : self.counts[i]], self.colours[i], self.solid[i]) for i in faced]

    def _rank(self, face: int, x: float, sign: float) -> float:
        return -abs(x + sign * self.blocks[face])


def _pack(length: float, width: float, blocks: list[tuple[float, list[Face]]]) -> Vehicle:
    faces = [(block, face) for block, members in blocks for face in members]
    corners = np.zeros((len(faces), _MAX_CORNERS, 3))
    for i, (_, face) in enumerate(faces):
        corners[i] = [*face.corners, *[face.corners[-1]] * (_MAX_CORNERS - len(face.corners))]
    mirrored = corners.copy()
    for i, (_, face) in enumerate(faces):
        k = len(face.corners)
        mirrored[i, :k] = corners[i, :k][::-1]
        mirrored[i, k:] = mirrored[i, k - 1]
    mirrored[..., 0] *= -1.0
    return Vehicle(
        length,
        width,
        corners,
        mirrored,
        tuple(len(face.corners) for _, face in faces),
        tuple(face.colour for _, face in faces),
        tuple(face.solid for _, face in faces),
        tuple(block for block, _ in faces),
    )


Outline = list[tuple[float, float, float]]
"""Corners (x, z, half width) of a convex side view, from the rear bottom over the top to the front bottom."""


def _block(outline: Outline, colour: Colour) -> list[Face]:
    """A convex body: the strips around it, then the side that faces the viewer."""
    faces = []
    for (xa, za, wa), (xb, zb, wb) in pairwise(outline):
        steep = abs(zb - za) / (abs(zb - za) + abs(xb - xa) + 1e-9)
        corners = ((xa, -wa, za), (xb, -wb, zb), (xb, wb, zb), (xa, wa, za))
        faces.append(Face(corners, shade(colour, 1.14 - 0.42 * steep)))
    side = tuple((x, -w, z) for x, z, w in reversed(outline))
    faces.append(Face(side, shade(colour, 0.9)))
    return faces


def _pane(outline: Outline, i: int, inset: float, colour: Colour) -> Face:
    """A pane of glass on strip `i` of a block."""
    (xa, za, wa), (xb, zb, wb) = outline[i], outline[i + 1]
    lo, hi = inset, 1.0 - inset
    x0, x1 = xa + (xb - xa) * lo, xa + (xb - xa) * hi
    z0, z1 = za + (zb - za) * lo, za + (zb - za) * hi
    w0, w1 = (wa + (wb - wa) * lo) * 0.9, (wa + (wb - wa) * hi) * 0.9
    return Face(((x0, -w0, z0), (x1, -w1, z1), (x1, w1, z1), (x0, w0, z0)), colour, solid=False)


def _wheel(x: float, y: float, radius: float) -> list[Face]:
    """A tyre with its hub on the side of the viewer."""
    turn = np.linspace(0.0, 2.0 * np.pi, _MAX_CORNERS, endpoint=False)

    def disc(r: float, out: float, colour: Colour, solid: bool) -> Face:
        rim = tuple((x + r * float(np.cos(a)), y - out, radius + r * float(np.sin(a))) for a in turn)
        return Face(rim, colour, solid)

    return [disc(radius, 0.02, (34, 32, 32), True), disc(radius * 0.55, 0.03, (165, 165, 168), False)]


def _lamps(x: float, half: float, z: float, colour: Colour, front: bool) -> list[Face]:
    """A pair of lamps on an end of the vehicle."""
    faces = []
    for side in (-1.0, 1.0):
        a, b = sorted((side * half * 0.62, side * half * 0.96))
        near, far = (a, b) if front else (b, a)
        faces.append(Face(((x, far, z), (x, far, z + 0.18), (x, near, z + 0.18), (x, near, z)), colour, False))
    return faces


def _side_panes(xs: tuple[float, ...], low: tuple[float, float, float], high: tuple[float, float]) -> list[Face]:
    """Side windows between the given pillars; low = (z, half width, slant), high = (z, half width)."""
    z0, w0, slant = low
    z1, w1 = high
    faces = []
    for i, (a, b) in enumerate(pairwise(xs)):
        rear = slant if i == 0 else 0.0
        front = slant if i == len(xs) - 2 else 0.0
        a, b = a + 0.06, b - 0.06
        quad = ((a, -w0, z0), (b, -w0, z0), (b - front, -w1, z1), (a + rear, -w1, z1))
        faces.append(Face(quad, _GLASS, solid=False))
    return faces


def car(rng: Generator) -> Vehicle:
    """A car: saloon, hatchback or estate, 3.8-4.9 m."""
    length, height = rng.uniform(3.8, 4.9), rng.uniform(1.45, 1.72)
    half, tail = rng.uniform(0.88, 0.96), (0.16, 0.03, 0.02)[int(rng.integers(3))]
    colour = shade(_PAINTS[int(rng.integers(len(_PAINTS)))], rng.uniform(0.85, 1.1))
    back, roof = -length / 2, half * 0.8

    def at(fraction: float) -> float:
        return back + fraction * length

    body: Outline = [
        (at(0.01), 0.28, half * 0.96), (at(0), 0.55, half), (at(0.02), 0.88, half), (at(0.12), 0.96, half),
        (at(0.72), 0.96, half), (at(0.96), 0.8, half * 0.94), (at(1), 0.55, half * 0.92),
        (at(0.99), 0.28, half * 0.9),
    ]  # fmt: skip
    top: Outline = [
        (at(tail), 0.95, half * 0.97), (at(tail + 0.13), height, roof), (at(0.56), height, roof),
        (at(0.74), 0.95, half * 0.97),
    ]  # fmt: skip
    glass = shade(_GLASS, 1.25)
    pillars = (at(tail + 0.04), at(0.38), at(0.71))
    windows = _side_panes(pillars, (1.02, half * 0.96, 0.3), (height - 0.1, roof * 1.02))
    rear, front = (30, 30, 215), (215, 245, 255)
    low = [*_block(body, colour), *_wheel(at(0.19), -half, 0.34), *_wheel(at(0.8), -half, 0.34)]
    low += [
        *_lamps(at(0) - 0.01, half, 0.62, rear, False),
        *_lamps(at(1) + 0.01, half * 0.92, 0.58, front, True),
    ]
    high = [*_block(top, colour), _pane(top, 0, 0.12, glass), _pane(top, 2, 0.1, glass), *windows]
    return _pack(length, 2 * half, [(0.0, low + high)])


def lorry(rng: Generator) -> Vehicle:
    """A box lorry, 7-9.5 m, with its cab in front."""
    length, height, half = rng.uniform(7.0, 9.5), rng.uniform(3.0, 3.6), rng.uniform(1.15, 1.25)
    colour = _PAINTS[int(rng.integers(len(_PAINTS)))]
    load = shade(_PAINTS[int(rng.integers(len(_PAINTS)))], 1.05) if rng.random() < 0.5 else (225, 228, 230)
    back, front = -length / 2, length / 2
    gap, cab_top = front - 2.1, rng.uniform(2.4, 2.7)
    cab: Outline = [
        (gap, 0.4, half * 0.95), (gap, cab_top, half * 0.9), (front - 0.45, cab_top, half * 0.9),
        (front - 0.05, 1.3, half * 0.95), (front, 0.4, half * 0.95),
    ]  # fmt: skip
    end = gap - 0.15
    box: Outline = [(back, 0.75, half), (back, height, half), (end, height, half), (end, 0.75, half)]
    frame: Outline = [(back + 0.1, 0.45, 0.8), (back + 0.1, 0.8, 0.8), (gap, 0.8, 0.8), (gap, 0.45, 0.8)]
    a, b = back + 0.3, gap - 0.45
    stripe = Face(((a, -half, 1.5), (b, -half, 1.5), (b, -half, 2.0), (a, -half, 2.0)), shade(colour, 0.85), False)
    x, wide, top = back - 0.01, half * 0.9, height - 0.2
    doors = Face(((x, -wide, 0.9), (x, -wide, top), (x, wide, top), (x, wide, 0.9)), shade(load, 0.7), False)
    pane = _side_panes((gap + 0.75, front - 0.1), (1.45, half * 0.95, 0.3), (cab_top - 0.25, half * 0.91))
    rear = [*_block(frame, (60, 60, 62)), *_wheel(back + 1.3, -half, 0.48), *_wheel(back + 2.35, -half, 0.48)]
    rear += [*_block(box, load), stripe, doors]
    rear += _lamps(back - 0.02, half, 0.8, (30, 30, 215), False)
    head = [*_block(cab, colour), *_wheel(front - 1.1, -half, 0.48)]
    head += [_pane(cab, 2, 0.12, shade(_GLASS, 1.25)), *pane]
    head += _lamps(front + 0.01, half * 0.95, 0.6, (215, 245, 255), True)
    return _pack(length, 2 * half, [((back + gap) / 2, rear), (front - 1.05, head)])


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who walks: a skeleton of rounded bars, drawn from head to shoe by depth."""

    height: float
    top: Colour
    bottom: Colour
    skin: Colour
    hair: Colour
    stout: float
    bag: Colour | None
    length: float = 0.6
    width: float = 0.6

    def polygons(self, camera: Camera, place: Floats, heading: Floats, walked: float) -> list[Polygon]:
        """Bars of the skeleton, the farther limbs first."""
        starts, ends, radii, colours = self._bars(walked)
        side = np.array([-heading[1], heading[0]])
        joints = np.stack([starts, ends])
        flat = place + joints[..., :1] * heading + joints[..., 1:2] * side
        world = np.concatenate([flat, joints[..., 2:]], axis=-1) * [1, 1, self.height]
        seen = camera.project(world)
        scale = camera.scale(float(place[0]), float(place[1]))
        outlines = fixed(capsules(seen[0], seen[1], radii * scale))
        depth = -flat.mean(axis=0)[:, 1]
        depth[-2:] = depth[6] = np.inf
        depth[6] = -place[1]
        depth[-1] += 1.0
        order = np.argsort(depth, kind="stable")
        return [Polygon(outlines[i], colours[i]) for i in order]

    def _bars(self, walked: float) -> tuple[Floats, Floats, Floats, list[Colour]]:
        """Bars (forward m, left m, share of the height), radii in metres and colours; bar 6 is the torso."""
        starts: list[tuple[float, float, float]] = []
        ends: list[tuple[float, float, float]] = []
        for sign in (-1.0, 1.0):
            swing = float(np.sin(walked * 4.2 + (0.0 if sign < 0 else np.pi)))
            lift = max(0.0, float(np.cos(walked * 4.2 + (0.0 if sign < 0 else np.pi)))) * 0.05
            hip, knee = (0.0, 0.1 * sign, 0.5), (0.17 * swing + 0.04, 0.1 * sign, 0.27 + lift)
            foot, hand = (
                (0.36 * swing, 0.1 * sign, 0.045 + lift),
                (-0.28 * swing, 0.3 * sign * self.stout, 0.5),
            )
            starts += [hip, knee, (0.0, 0.25 * sign * self.stout, 0.8)]
            ends += [knee, foot, hand]
        starts += [(0.0, 0.0, 0.53), (0.0, 0.0, 0.92), (-0.02, 0.0, 0.945)]
        ends += [(0.02, 0.0, 0.77), (0.02, 0.0, 0.935), (-0.04, 0.0, 0.96)]
        limb = [0.1, 0.085, 0.075]
        radii = [*limb, *limb, 0.235 * self.stout, 0.15, 0.135]
        dark = shade(self.bottom, 0.8)
        colours = [dark, shade(dark, 0.95), shade(self.top, 0.82), self.bottom, shade(self.bottom, 0.95)]
        colours += [shade(self.top, 0.9), self.top, self.skin, self.hair]
        if self.bag is not None:
            starts.insert(7, (-0.24, 0.0, 0.6))
            ends.insert(7, (-0.22, 0.0, 0.74))
            radii.insert(7, 0.15)
            colours.insert(7, self.bag)
        return np.array(starts), np.array(ends), np.array(radii), colours


def person(rng: Generator) -> Person:
    """Somebody between 1.65 and 2.05 m tall (a little larger than life, to be seen)."""

    def pick(choices: tuple[Colour, ...]) -> Colour:
        return choices[int(rng.integers(len(choices)))]

    bag = pick(_CLOTHES) if rng.random() < 0.3 else None
    height, stout = rng.uniform(1.65, 2.05), rng.uniform(0.9, 1.15)
    return Person(height, pick(_CLOTHES), pick(_TROUSERS), pick(_SKIN), pick(_HAIR), stout, bag)
