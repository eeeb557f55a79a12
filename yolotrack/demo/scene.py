"""A synthetic street, drawn frame by frame with its exact ground truth. Needs numpy and OpenCV only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from . import street, traffic
from .geometry import Floats, Image, Polygon, area, bounds, fixed, paint, paint_mask
from .layout import MARGIN, Layout, plan, shake

CLASSES: tuple[str, ...] = ("person", "car", "truck")
"""Names of the class ids 0, 1 and 2."""

MIN_CONSIDERED = 0.25
"""`write_mot` marks what is less visible than this as not to be considered."""

_NOISES = 5


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The objects of one frame, in the order of their track ids; n may be 0.

    `track_ids` int64 [n] count from 1 within the scene, with gaps. `xyxy` float32 [n, 4] are the outer pixel
    edges of the object's full extent, hidden parts included, clipped to the picture. `class_ids` int64 [n]
    index `CLASSES`. `visibility` float32 [n] is the share 0-1 of the object's own pixels that the picture
    shows: what others, the foot-bridge or the edge of the picture hide is missing from it.
    """

    track_ids: NDArray[np.int64]
    xyxy: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    visibility: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.track_ids)


@dataclass(frozen=True, slots=True)
class Figure:
    """An actor as it stands at one moment: its track id and class, depth and place, and its polygons."""

    track_id: int
    class_id: int
    y: float
    x: float
    polygons: list[Polygon]
    shadow: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _World:
    """What a scene's seed decides once."""

    layout: Layout
    cast: tuple[traffic.Actor, ...]
    background: Image
    occluders: tuple[street.Occluder, ...]
    noise: tuple[tuple[Image, Image], ...]
    tone: NDArray[np.uint8]
    phases: Floats


@dataclass(frozen=True, slots=True)
class Scene:
    """A street at one time of day; the seed decides everything, and equal arguments give equal bits.

    Any frame can be drawn on its own: `render(i)` and `truth(i)` are pure functions of the index, from any
    thread. Iterating gives (uint8 [height, width, 3] BGR, `GroundTruth`) in order, every array the caller's
    own. `width` and `height` are even. How many `frames` follow does not change the first ones.
    """

    seed: int = 0
    width: int = 960
    height: int = 540
    fps: Fraction | int = 25
    frames: int = 300
    _world: _World = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        odd = self.width % 2 or self.height % 2
        if odd or min(self.width, self.height, self.frames, self.fps) <= 0:
            size = f"{self.frames} frames of {self.width}x{self.height} at {self.fps} frame/s"
            raise ValueError(f"{size} make no scene: all must be above 0, width and height even")
        object.__setattr__(self, "_world", _build(self))

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[tuple[Image, GroundTruth]]:
        for index in range(self.frames):
            figures = self._figures(index)
            yield self._picture(index, figures), self._truth(index, figures)

    def render(self, index: int) -> Image:
        """The picture of frame `index`, uint8 [height, width, 3] BGR; IndexError outside the scene."""
        return self._picture(index, self._figures(index))

    def truth(self, index: int) -> GroundTruth:
        """What is in frame `index`, those wholly hidden included; IndexError outside the scene."""
        return self._truth(index, self._figures(index))

    def offset(self, index: int) -> Floats:
        """How far the camera's shake moves frame `index`, float64 (x, y) pixels."""
        return shake(self._world.phases, self._time(index))

    def _time(self, index: int) -> float:
        if not 0 <= index < self.frames:
            raise IndexError(f"frame {index} of a scene of {self.frames}")
        return float(Fraction(index) / Fraction(self.fps))

    def _figures(self, index: int) -> list[Figure]:
        """The actors of a frame, the farthest first."""
        time, camera = self._time(index), self._world.layout.camera
        figures = []
        for track_id, actor in enumerate(self._world.cast, start=1):
            if actor.present(time):
                place, heading = actor.place(time), actor.heading(time)
                polygons = actor.body.polygons(camera, place, heading, actor.distance(time))
                shadow = _shadow(self._world.layout, actor, place, heading)
                x, y = float(place[0]), float(place[1])
                figures.append(Figure(track_id, actor.class_id, y, x, polygons, shadow))
        return sorted(figures, key=lambda f: (-f.y, -abs(f.x)))

    def _picture(self, index: int, figures: list[Figure]) -> Image:
        world = self._world
        canvas = world.background.copy()
        _cast_shadows(canvas, figures)
        for item in _by_depth(figures, world.occluders):
            if isinstance(item, Figure):
                paint(canvas, item.polygons)
            else:
                item.cover(canvas)
        dx, dy = self.offset(index) - MARGIN
        shift = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
        steady = cv2.warpAffine(canvas, shift, (self.width, self.height), flags=cv2.INTER_LINEAR)
        return self._exposed(index, cv2.LUT(steady, world.tone))

    def _exposed(self, index: int, picture: cv2.typing.MatLike) -> Image:
        """The picture with sensor noise: a moving window of a few stored patterns."""
        more, less = self._world.noise[index % _NOISES]
        roll = index * 7919
        top, left = roll % (more.shape[0] - self.height), roll % (more.shape[1] - self.width)
        window = (slice(top, top + self.height), slice(left, left + self.width))
        return np.asarray(cv2.subtract(cv2.add(picture, more[window]), less[window]), np.uint8)

    def _truth(self, index: int, figures: list[Figure]) -> GroundTruth:
        visible = self._visible(index, figures)
        offset = self.offset(index) - MARGIN
        edges = np.tile([float(self.width), float(self.height)], 2)
        rows = []
        for value, figure in enumerate(figures, start=1):
            box = np.clip(bounds(figure.polygons) + np.tile(offset, 2), 0.0, edges)
            if box[2] - box[0] >= 1.0 and box[3] - box[1] >= 1.0:
                share = visible[value] / area(figure.polygons)
                rows.append((figure.track_id, box, figure.class_id, min(1.0, share)))
        rows.sort(key=lambda row: row[0])
        return GroundTruth(
            np.array([r[0] for r in rows], np.int64),
            np.array([r[1] for r in rows], np.float32).reshape(-1, 4),
            np.array([r[2] for r in rows], np.int64),
            np.array([r[3] for r in rows], np.float32),
        )

    def _visible(self, index: int, figures: list[Figure]) -> NDArray[np.int64]:
        """Pixels that the picture shows of each figure, counted from 1, int64 [figures + 1]."""
        width, height = self._world.layout.canvas
        mask = np.zeros((height, width), np.uint8)
        values = {figure.track_id: value for value, figure in enumerate(figures, start=1)}
        for item in _by_depth(figures, self._world.occluders):
            if isinstance(item, Figure):
                paint_mask(mask, item.polygons, values[item.track_id])
            else:
                item.hide(mask)
        dx, dy = np.rint(MARGIN - self.offset(index)).astype(int)
        window = mask[dy : dy + self.height, dx : dx + self.width]
        return np.bincount(window.ravel(), minlength=len(figures) + 1).astype(np.int64)


def write_mot(path: Path | str, scene: Scene) -> None:
    """Write the ground truth as MOTChallenge text, frames counted from 1.

    `frame,id,left,top,width,height,considered,class,visibility`: considered is 0 below `MIN_CONSIDERED`
    visibility, and evaluators ignore that row; class counts from 1 in the order of `CLASSES`.
    """
    with Path(path).open("w", encoding="ascii") as out:
        for index in range(len(scene)):
            truth = scene.truth(index)
            for row in range(len(truth)):
                left, top, right, bottom = truth.xyxy[row]
                place = f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"
                kind, seen = truth.class_ids[row] + 1, truth.visibility[row]
                considered = int(seen >= MIN_CONSIDERED)
                out.write(f"{index + 1},{truth.track_ids[row]},{place},{considered},{kind},{seen:.4f}\n")


def _build(scene: Scene) -> _World:
    """Everything that the seed decides; each part has its own stream of random numbers."""
    streams = np.random.SeedSequence(scene.seed).spawn(6)
    planning, driving, walking, painting, weather, crossing = map(np.random.default_rng, streams)
    layout = plan(planning, scene.width, scene.height)
    duration = float(scene.frames / Fraction(scene.fps))
    cast = [*traffic.vehicles(driving, layout, duration), *traffic.strollers(walking, layout, duration)]
    cast += traffic.crossers(crossing, layout, duration)
    seen = [actor for actor in cast if actor.times[0] < duration and actor.times[-1] > 0.0]
    return _World(
        layout,
        tuple(sorted(seen, key=lambda actor: float(actor.times[0]))),
        street.background(painting, layout),
        tuple(street.occluders(painting, layout)),
        tuple(_noise(weather, scene.width, scene.height) for _ in range(_NOISES)),
        _tone(weather),
        weather.uniform(0.0, 2 * np.pi, (2, 3)),
    )


def _by_depth(figures: list[Figure], fixtures: tuple[street.Occluder, ...]) -> list[Figure | street.Occluder]:
    """In painting order: the farthest first."""
    return sorted([*figures, *fixtures], key=lambda item: (-item.y, -abs(item.x)))


def _shadow(layout: Layout, actor: traffic.Actor, place: Floats, heading: Floats) -> NDArray[np.int32]:
    """The outline of an actor's shadow on the ground, a rounded rectangle that leans away from the light."""
    turn = np.linspace(0.0, 2 * np.pi, 12, endpoint=False)
    super_ellipse = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    super_ellipse = np.sign(super_ellipse) * np.abs(super_ellipse) ** (0.45 if actor.class_id else 1.0)
    size = np.array([actor.body.length * 0.52, actor.body.width * (0.62 if actor.class_id else 0.5)])
    along, across = (super_ellipse * size).T
    lean = np.array([0.35, -0.22]) if actor.class_id else np.array([0.3, 0.0])
    flat = place + lean + along[:, None] * heading + across[:, None] * np.array([-heading[1], heading[0]])
    return fixed(layout.camera.project(np.concatenate([flat, np.zeros((12, 1))], axis=1)))


def _cast_shadows(canvas: Image, figures: list[Figure]) -> None:
    """Darken the ground under the figures; done at half size, soft anyway."""
    height, width = canvas.shape[:2]
    light = np.full((height // 2, width // 2), 255, np.uint8)
    for figure in figures:
        cv2.fillConvexPoly(light, figure.shadow // 2, (125,), cv2.LINE_AA, 4)
    soft = cv2.resize(cv2.blur(light, (5, 5)), (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.multiply(canvas, cv2.merge([soft, soft, soft]), dst=canvas, scale=1 / 255)


def _noise(rng: np.random.Generator, width: int, height: int) -> tuple[Image, Image]:
    """Gaussian sensor noise, a little larger than the picture: what to add and what to take away."""
    noise = np.rint(rng.normal(0.0, 2.6, (height + 61, width + 67, 3)).astype(np.float32))
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)


def _tone(rng: np.random.Generator) -> NDArray[np.uint8]:
    """The light of the day as a table per channel, uint8 [1, 256, 3]: noon, golden hour, overcast or dusk."""
    gains = ((1.0, 1.0, 1.0), (0.84, 0.97, 1.08), (0.95, 0.93, 0.91), (0.86, 0.74, 0.72))
    gain = np.array(gains[int(rng.choice(4, p=(0.45, 0.25, 0.2, 0.1)))]) * rng.uniform(0.92, 1.05)
    levels = np.linspace(0.0, 1.0, 256)[:, None] ** rng.uniform(0.92, 1.12)
    return np.clip(levels * gain * 255.0, 0, 255).astype(np.uint8)[None]
