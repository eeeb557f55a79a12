"""Short videos of the demo scene whose frames are stamped, and beside them what a detector is to find in each."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import supervision as sv

from tests.support.scene_model import CLASSES, load_truth
from tests.support.scene_strip import stamp
from yolotrack.config import OutputSettings
from yolotrack.demo.scene import GroundTruth, Scene
from yolotrack.video.sink import open_sink

WIDTH, HEIGHT = 480, 270
RATE = Fraction(25)
MISSED = 0.08
"""Share of the visible objects that the detector overlooks."""


@dataclass(frozen=True, slots=True)
class SceneVideo:
    """A video of one scene."""

    path: Path
    scene: int
    frames: int

    @property
    def stream(self) -> str:
        """Under which `publish` sends it."""
        return self.path.stem

    def detections(self) -> list[sv.Detections]:
        """What the scripted detector finds, frame by frame."""
        return load_truth(self.path.parent, self.scene)


def write_scene(folder: Path, name: str, scene: int, frames: int) -> SceneVideo:
    """Render scene number `scene` to `<folder>/<name>.mp4`, and its detections to `<folder>/<scene>.npz`."""
    path = folder / f"{name}.mp4"
    sink = open_sink(
        path,
        width=WIDTH,
        height=HEIGHT,
        rate=RATE,
        settings=OutputSettings(crf=14, preset="ultrafast"),
        overwrite=False,
    )
    rows = []
    for index, (pixels, truth) in enumerate(Scene(seed=scene, width=WIDTH, height=HEIGHT, fps=RATE, frames=frames)):
        sink.write(stamp(pixels, scene, index), float(index / RATE))
        rows.append(_seen(scene, index, truth))
    sink.close()
    np.savez(folder / f"{scene}.npz", rows=np.vstack(rows), frames=frames)
    return SceneVideo(path, scene, frames)


def _seen(scene: int, index: int, truth: GroundTruth) -> np.ndarray:
    """Rows of frame, box, confidence and class: the truth with seeded noise, some of it missed, some weak."""
    rng = np.random.default_rng([scene, index])
    keep = (truth.visibility >= 0.3) & (rng.random(len(truth)) > MISSED)
    xyxy = truth.xyxy + rng.normal(0.0, 0.8, truth.xyxy.shape)
    weak = rng.random(len(truth)) < 0.15
    confidence = np.where(weak, rng.uniform(0.15, 0.4, len(truth)), rng.uniform(0.6, 0.97, len(truth)))
    assert set(truth.class_ids.tolist()) <= set(CLASSES)
    table = np.column_stack((np.full(len(truth), index), xyxy, confidence, truth.class_ids))
    return table[keep]
