"""The synthetic street as a source of pictures, and what comes with it: its model's file and input size."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

from yolotrack.demo.scene import Scene
from yolotrack.video.base import Picture, SourceInfo

WEIGHTS = Path(str(files("yolotrack.demo") / "demo.pt"))
"""A small YOLOv8-architecture detector that knows the synthetic scene, and nothing else."""
IMGSZ = 448
"""The longer side of its input, as trained."""


class SceneSource:
    """A `Source` that renders its pictures. Nothing is skipped; it waits for whoever reads."""

    skipped = 0

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """Named after the scene's seed."""
        scene = self._scene
        return SourceInfo(
            name=f"demo scene {scene.seed}",
            stream=f"demo-{scene.seed}",
            width=scene.width,
            height=scene.height,
            rate=Fraction(scene.fps),
            frame_count=len(scene),
            live=False,
        )

    def __iter__(self) -> Iterator[Picture]:
        for index, (pixels, _) in enumerate(self._scene):
            if self._closed:
                return
            yield Picture(pixels, float(Fraction(index) / Fraction(self._scene.fps)))

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
