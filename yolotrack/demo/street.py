"""The parts of the scene that stand still: the painted background, and what hides the traffic behind it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .geometry import Camera, Colour, Floats, Image, Polygon, bounds, capsules, fixed, paint, shade
from .layout import LANE_WIDTH, Layout

Span = tuple[float, float]
"""From and to, metres."""

_ASPHALT: Colour = (96, 92, 90)
_PAVING: Colour = (176, 184, 190)
_GRASS: Colour = (92, 158, 112)
_WHITE: Colour = (232, 236, 238)
_FACADES: tuple[Colour, ...] = (
    (150, 175, 215), (185, 200, 220), (120, 140, 190), (200, 195, 180), (165, 190, 170), (130, 160, 205),
    (195, 180, 165), (150, 150, 160),
)  # fmt: skip
_LEAVES: tuple[Colour, ...] = ((70, 140, 80), (85, 160, 95), (60, 125, 90), (70, 150, 130))


@dataclass(frozen=True, slots=True)
class Occluder:
    """Something that stands in front of the traffic, at depth `y`; its corner is at canvas (`left`, `top`).

    `colour` uint8 [h, w, 3] is premultiplied with its cover, `through` uint8 [h, w, 3] is what is left of the
    picture behind it (255 - cover), `hides` bool [h, w] says where more than half is covered.
    """

    y: float
    x: float
    left: int
    top: int
    colour: Image
    through: Image
    hides: NDArray[np.bool_]

    def cover(self, canvas: Image) -> None:
        """Paint it over the canvas."""
        part = self._part(canvas)
        cv2.multiply(part, self.through, dst=part, scale=1 / 255)
        cv2.add(part, self.colour, dst=part)

    def hide(self, mask: Image) -> None:
        """Clear what it hides from a mask of ids."""
        self._part(mask)[self.hides] = 0

    def _part(self, canvas: Image) -> Image:
        height, width = self.hides.shape
        return canvas[self.top : self.top + height, self.left : self.left + width]


def occluder(canvas: tuple[int, int], x: float, y: float, polygons: list[Polygon]) -> Occluder:
    """Make an occluder of polygons; `canvas` is (width, height)."""
    x1, y1, x2, y2 = bounds(polygons)
    left, top = max(0, int(x1) - 2), max(0, int(y1) - 2)
    right, bottom = min(canvas[0], int(x2) + 3), min(canvas[1], int(y2) + 3)
    colour = np.zeros((canvas[1], canvas[0], 3), np.uint8)
    cover = np.zeros_like(colour)
    paint(colour, polygons)
    paint(cover, [Polygon(p.corners, (255, 255, 255)) for p in polygons])
    area = (slice(top, bottom), slice(left, right))
    through = np.asarray(255 - cover[area], np.uint8)
    return Occluder(y, x, left, top, colour[area].copy(), through, cover[area][..., 0] > 127)


def _flat(camera: Camera, corners: list[tuple[float, float, float]], colour: Colour) -> Polygon:
    return Polygon(fixed(camera.project(np.array(corners))), colour)


def _ground(camera: Camera, x: Span, y: Span, colour: Colour) -> Polygon:
    (xa, xb), (ya, yb) = x, y
    return _flat(camera, [(xa, ya, 0), (xb, ya, 0), (xb, yb, 0), (xa, yb, 0)], colour)


def _upright(camera: Camera, x: Span, y: float, z: Span, colour: Colour) -> Polygon:
    (xa, xb), (za, zb) = x, z
    return _flat(camera, [(xa, y, za), (xb, y, za), (xb, y, zb), (xa, y, zb)], colour)


def _box(camera: Camera, x: Span, y: Span, z: Span, colour: Colour) -> list[Polygon]:
    """The top, the end that is turned to the camera and the near side of a box."""
    (xa, xb), (ya, yb), (za, zb) = x, y, z
    end = xa if xa > 0 else xb
    faces = [_flat(camera, [(end, ya, za), (end, yb, za), (end, yb, zb), (end, ya, zb)], shade(colour, 0.78))]
    faces.append(_flat(camera, [(xa, ya, zb), (xb, ya, zb), (xb, yb, zb), (xa, yb, zb)], shade(colour, 1.1)))
    return [*faces, _upright(camera, x, ya, z, colour)]


def _blobs(camera: Camera, centres: Floats, radii: Floats, colours: list[Colour]) -> list[Polygon]:
    seen = camera.project(centres)
    scales = np.array([camera.scale(*map(float, c)) for c in centres])
    outlines = fixed(capsules(seen, seen + np.array([0.01, 0.0]), radii * scales))
    return [Polygon(o, c) for o, c in zip(outlines, colours, strict=True)]


def tree(rng: Generator, camera: Camera, x: float, y: float, size: float) -> list[Polygon]:
    """A trunk and a crown of leaves, lighter towards the top."""
    leaf = _LEAVES[int(rng.integers(len(_LEAVES)))]
    trunk = _upright(camera, (x - 0.13 * size, x + 0.13 * size), y, (0.0, 2.2 * size), (62, 84, 108))
    n = 14
    angle, far = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.uniform(0, 1, n)) * 1.15 * size
    rise = np.sort(rng.uniform(2.0, 4.0, n)) * size
    centres = np.stack([x + far * np.cos(angle) * 1.1, np.full(n, y), rise], axis=1)
    radii = rng.uniform(0.65, 1.05, n) * size * (1.15 - 0.1 * (rise / size - 2.0))
    shades = [shade(leaf, 0.78 + 0.2 * (float(z) / size - 2.0)) for z in rise]
    return [trunk, *_blobs(camera, centres, radii, shades)]


def lamp_post(camera: Camera, x: float, y: float, reach: float) -> list[Polygon]:
    """A mast with an arm over the road."""
    foot, top, arm = camera.project(np.array([[x, y, 0.0], [x, y, 6.8], [x, y + reach, 7.1]]))
    scale = camera.scale(x, y, 3.0)
    lamp = arm + np.array([0.35 * scale, 0.0])
    radii = scale * np.array([0.085, 0.06, 0.14])
    bars = capsules(np.stack([foot, top, arm]), np.stack([top, arm, lamp]), radii)
    colours: list[Colour] = [(88, 84, 80), (88, 84, 80), (225, 240, 245)]
    return [Polygon(fixed(b), c) for b, c in zip(bars, colours, strict=True)]


_STONE: Colour = (172, 178, 184)
_STEEL: Colour = (150, 112, 70)
_DECK = 5.3
"""Height of the foot-bridge's deck, metres."""


def bridge(layout: Layout) -> list[Polygon]:
    """The foot-bridge from its near stairs to the far end of its deck, in painting order."""
    camera, x, half = layout.camera, layout.bridge_x, 1.25
    near, far = layout.near_kerb - 2.4, layout.far_edge - 0.2
    ends = sorted((x - half, x + half), key=lambda e: -abs(e))
    faces = _railing(camera, ends[0], (near, far), _DECK, _STEEL)
    faces += _box(camera, (x - half, x + half), (near, far), (_DECK - 0.55, _DECK), _STONE)
    for y in np.arange(near + 0.8, far, 1.6):
        seam = [(x - half, y), (x + half, y), (x + half, y + 0.06), (x - half, y + 0.06)]
        faces.append(_flat(camera, [(*corner, _DECK) for corner in seam], shade(_STONE, 0.92)))
    if ends[0] * ends[1] > 0:
        faces += _railing(camera, ends[1], (near + 1.1, far), _DECK, _STEEL)
    faces += _upright_rail(camera, (x - half, x + half), near)
    foot = ((x - 0.3, x + 0.3), (near + 0.2, near + 0.8))
    column = _box(camera, *foot, (0.0, _DECK - 0.55), shade(_STONE, 0.95))
    return [*column, *faces, *_stairs(camera, x, half, near)]


def _far_stairs(layout: Layout) -> list[Polygon]:
    """The far column and stairs of the foot-bridge, behind everything that moves."""
    camera, x, y = layout.camera, layout.bridge_x, layout.far_edge - 1.2
    column = _box(camera, (x - 0.35, x + 0.35), (y + 0.2, y + 0.9), (0.0, _DECK - 0.5), shade(_STONE, 0.9))
    return [*column, *_stairs(camera, x, 1.25, y)]


def _stairs(camera: Camera, x: float, half: float, y: float) -> list[Polygon]:
    """A flight of steps from the deck outwards to the ground, with its stringer and hand rail."""
    side, count, run = (1.0 if x > 0 else -1.0), 15, 0.42
    faces = []
    for i in reversed(range(count)):
        a, b = sorted((x + side * (half + run * i), x + side * (half + run * (i + 1))))
        z = _DECK * (1.0 - (i + 1) / (count + 1))
        faces.append(_flat(camera, [(a, y, z), (b, y, z), (b, y + 1.1, z), (a, y + 1.1, z)], shade(_STONE, 1.08)))
        faces.append(_upright(camera, (a, b), y, (max(0.0, z - 0.45), z), shade(_STONE, 0.9)))
    top, foot = (x + side * half, y, _DECK + 1.0), (x + side * (half + run * count), y, 1.0)
    posts = np.linspace(top, foot, 6)
    starts, ends = np.concatenate([[top], posts]), np.concatenate([[foot], posts - [0.0, 0.0, 1.0]])
    radii = np.full(len(starts), 0.05 * camera.scale(x, y, _DECK / 2))
    bars = capsules(camera.project(starts), camera.project(ends), radii)
    return [*faces, *(Polygon(fixed(b), shade(_STEEL, 0.85)) for b in bars)]


def _upright_rail(camera: Camera, x: Span, y: float) -> list[Polygon]:
    """The parapet across the near end of the deck."""
    return [
        _upright(camera, x, y, (_DECK, _DECK + 0.95), shade(_STEEL, 1.1)),
        _upright(camera, (x[0] - 0.05, x[1] + 0.05), y, (_DECK + 0.92, _DECK + 1.04), shade(_STEEL, 0.75)),
    ]


def _railing(camera: Camera, x: float, y: Span, z: float, colour: Colour) -> list[Polygon]:
    """A glazed parapet with a hand rail and posts."""
    posts = np.arange(y[0] + 0.4, y[1], 2.2)
    pane = [(x, y[0], z), (x, y[1], z), (x, y[1], z + 0.95), (x, y[0], z + 0.95)]
    panel = _flat(camera, pane, shade(colour, 1.25))
    low = np.stack([np.full_like(posts, x), posts, np.full_like(posts, z)], axis=1)
    starts = np.concatenate([[[x, y[0], z + 1.0]], low])
    ends = np.concatenate([[[x, y[1], z + 1.0]], low + np.array([0.0, 0.0, 1.0])])
    scale = camera.scale(x, sum(y) / 2, z)
    bars = capsules(camera.project(starts), camera.project(ends), np.full(len(starts), 0.05 * scale))
    return [panel, *(Polygon(fixed(b), shade(colour, 0.75)) for b in bars)]


def occluders(rng: Generator, layout: Layout) -> list[Occluder]:
    """The foot-bridge, the lamp posts of the near kerb and trees at the edges of the picture."""
    camera, canvas, kerb = layout.camera, layout.canvas, layout.near_kerb
    made = [occluder(canvas, layout.bridge_x, kerb - 2.4, bridge(layout))]
    left, right = layout.edges(kerb)
    for x in (left + rng.uniform(1.0, 2.5), right - rng.uniform(1.0, 2.5)):
        if abs(x - layout.bridge_x) > 4.5:
            y = kerb - 1.0
            made.append(occluder(canvas, x, y, tree(rng, camera, x, y, rng.uniform(0.6, 0.8))))
    for x in np.arange(left + rng.uniform(4.0, 6.0), right - 2.0, 9.0):
        if abs(x - layout.bridge_x) > 3.0 and abs(x - layout.zebra_x) > 2.5:
            made.append(occluder(canvas, float(x), kerb - 0.6, lamp_post(camera, float(x), kerb - 0.6, 1.6)))
    return made


def background(rng: Generator, layout: Layout) -> Image:
    """Everything on the ground and behind it, uint8 [h, w, 3] BGR of the canvas."""
    width, height = layout.canvas
    image = np.zeros((height, width, 3), np.uint8)
    rows = np.linspace(0.0, 1.0, height)[:, None, None] * 3.0
    image[:] = np.clip(np.array([235, 200, 160]) * (1 - rows) + np.array([245, 232, 220]) * rows, 0, 255)
    _houses(rng, layout, image)
    _surfaces(layout, image)
    _grain(rng, image, layout)
    paint(image, _markings(layout))
    _cast(layout, image)
    for x in np.arange(-34.0, 34.0, 5.5):
        at, deep = x + rng.uniform(-1.2, 1.2), layout.far_edge + rng.uniform(1.2, 3.0)
        _stain(image, layout.camera, at + 0.6, deep, 2.0, 0.6)
        paint(image, tree(rng, layout.camera, float(at), float(deep), rng.uniform(0.8, 1.1)))
    for x in np.arange(-30.0, 30.0, 8.0):
        paint(image, lamp_post(layout.camera, float(x), layout.far_edge - 0.2, -1.2))
    paint(image, _far_stairs(layout))
    return image


def _houses(rng: Generator, layout: Layout, image: Image) -> None:
    x = -60.0
    while x < 60.0:
        wide, tall = rng.uniform(7.0, 13.0), 3.2 * int(rng.integers(3, 7)) + 1.2
        colour = shade(_FACADES[int(rng.integers(len(_FACADES)))], rng.uniform(0.9, 1.08))
        shop = _FACADES[int(rng.integers(len(_FACADES)))]
        paint(image, _front(layout, (x, x + wide), tall, colour, shade(shop, 0.75)))
        panes = max(2, int(wide / 2.2))
        for floor in np.arange(3.9, tall - 2.0, 3.2):
            for i in range(panes):
                left = x + wide * (i + 0.25) / panes
                span = (left, left + wide * 0.5 / panes)
                glass = shade((150, 128, 105), rng.uniform(0.7, 1.25))
                paint(image, _window(layout, span, floor, shade(colour, 1.12), glass))
        x += wide


def _front(layout: Layout, x: Span, tall: float, colour: Colour, awning: Colour) -> list[Polygon]:
    """The wall of a house, its cornice, and a shop behind an awning on the ground floor."""
    camera, y, (xa, xb) = layout.camera, layout.facade, x
    return [
        _upright(camera, x, y, (0.0, tall), colour),
        _upright(camera, x, y - 0.2, (tall - 0.5, tall), shade(colour, 0.8)),
        _upright(camera, (xa + 0.3, xb - 0.3), y, (0.2, 2.7), (88, 78, 70)),
        _upright(camera, (xa + 0.2, xb - 0.2), y - 0.3, (2.5, 3.2), awning),
    ]


def _window(layout: Layout, x: Span, floor: float, frame: Colour, glass: Colour) -> list[Polygon]:
    camera, y = layout.camera, layout.facade
    return [
        _upright(camera, (x[0] - 0.12, x[1] + 0.12), y, (floor - 0.15, floor + 1.85), frame),
        _upright(camera, x, y, (floor, floor + 1.7), glass),
    ]


def _surfaces(layout: Layout, image: Image) -> None:
    camera, wide = layout.camera, (-75.0, 75.0)
    paint(image, [
        _ground(camera, wide, (layout.far_edge, layout.facade), _GRASS),
        _ground(camera, wide, (layout.facade - 2.0, layout.facade), shade(_PAVING, 0.92)),
        _ground(camera, wide, (layout.far_kerb, layout.far_edge), _PAVING),
        _ground(camera, wide, (layout.near_kerb, layout.far_kerb), _ASPHALT),
        _ground(camera, wide, (3.0, layout.near_kerb), _PAVING),
    ])  # fmt: skip
    slab = shade(_PAVING, 0.93)
    lines = [_ground(camera, wide, (y, y + 0.05), slab) for y in np.arange(12.0, layout.near_kerb - 0.4, 1.2)]
    beyond = np.arange(layout.far_kerb + 1, layout.far_edge, 1.2)
    lines += [_ground(camera, wide, (y, y + 0.06), slab) for y in beyond]
    for x in np.arange(-40.0, 40.0, 1.8):
        lines.append(_ground(camera, (x, x + 0.05), (12.0, layout.near_kerb - 0.4), slab))
        lines.append(_ground(camera, (x, x + 0.06), (layout.far_kerb + 0.4, layout.far_edge), slab))
    for y in (layout.near_kerb - 0.3, layout.far_kerb):
        lines.append(_ground(camera, wide, (y, y + 0.3), shade(_PAVING, 1.15)))
    lines.append(_ground(camera, wide, (layout.far_kerb - 0.12, layout.far_kerb), shade(_PAVING, 0.62)))
    paint(image, lines)


def _grain(rng: Generator, image: Image, layout: Layout) -> None:
    """Blotches and grit, so that no surface is quite flat."""
    height, width = image.shape[:2]
    coarse = rng.normal(0.0, 5.0, (height // 24 + 2, width // 48 + 2)).astype(np.float32)
    grit = rng.normal(0.0, 2.2, (height, width)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + grit
    top = int(layout.camera.project(np.array([0.0, layout.far_edge + 5.0, 0.0]))[1])
    texture[: max(top, 0)] *= 0.4
    image[:] = np.clip(image + texture[..., None], 0, 255).astype(np.uint8)


def _markings(layout: Layout) -> list[Polygon]:
    camera, near, far = layout.camera, layout.near_kerb, layout.far_kerb
    middle, zebra = (near + far) / 2, layout.zebra_x
    clear = (zebra - 3.6, zebra + 3.6)
    marks = []
    for sides in ((-75.0, clear[0]), (clear[1], 75.0)):
        marks += [_ground(camera, sides, (middle + o - 0.06, middle + o + 0.06), _WHITE) for o in (-0.16, 0.16)]
        marks += [_ground(camera, sides, (y, y + 0.12), (120, 200, 225)) for y in (near + 0.3, far - 0.45)]
    for y in (near + LANE_WIDTH, far - LANE_WIDTH):
        starts = [x for x in np.arange(-72.0, 72.0, 5.0) if not clear[0] - 2.2 < x < clear[1]]
        marks += [_ground(camera, (x, x + 2.2), (y - 0.07, y + 0.07), _WHITE) for x in starts]
    bars = np.arange(near + 0.35, far - 0.5, 1.0)
    marks += [_ground(camera, (zebra - 2.0, zebra + 2.0), (y, y + 0.52), _WHITE) for y in bars]
    for lane, sign in zip(layout.lanes, layout.lane_sign, strict=True):
        x, half = layout.stop_line(sign), LANE_WIDTH / 2 - 0.25
        marks.append(_ground(camera, (x - 0.2, x + 0.2), (lane - half, lane + half), _WHITE))
    return marks


def _cast(layout: Layout, image: Image) -> None:
    """The bridge's shadow on the ground."""
    x = layout.bridge_x + 2.2
    strip = _ground(layout.camera, (x - 1.25, x + 1.25), (layout.near_kerb - 2.4, layout.far_edge), (150, 150, 150))
    _darken(image, [strip], 5.0)


def _stain(image: Image, camera: Camera, x: float, y: float, wide: float, deep: float) -> None:
    turn = np.linspace(0.0, 2 * np.pi, 12, endpoint=False)
    rim = np.stack([x + wide * np.cos(turn), y + deep * np.sin(turn), 0.0 * turn], axis=1)
    _darken(image, [Polygon(fixed(camera.project(rim)), (165, 165, 165))], 3.0)


def _darken(image: Image, polygons: list[Polygon], blur: float) -> None:
    light = np.full(image.shape, 255, np.uint8)
    paint(light, polygons)
    cv2.multiply(image, cv2.GaussianBlur(light, (0, 0), blur), dst=image, scale=1 / 255)
