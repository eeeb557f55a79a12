"""A detector for `--model tests.support.scene_model:make`: it reads which frame a picture shows, and knows the rest.

Variables: `SCENES` names the folder of `scene_videos`; `SCENE_SECONDS` is how long a look takes; `SCENE_DEADLY`
names a frame, as in `3:57`, that kills whoever looks at it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import supervision as sv

from tests.support.scene_strip import read_stamp
from yolotrack.errors import ModelError
from yolotrack.model import Pixels

CLASSES = {0: "person", 1: "car", 2: "truck"}
DIGEST = "5ce7e5" * 8


def load_truth(folder: Path, scene: int) -> list[sv.Detections]:
    """What is found in every frame of a scene."""
    with np.load(folder / f"{scene}.npz") as stored:
        rows, frames = stored["rows"], int(stored["frames"])
    bounds = np.searchsorted(rows[:, 0], np.arange(frames + 1))
    return [_detections(rows[first:last]) for first, last in pairwise(bounds)]


def _detections(rows: np.ndarray) -> sv.Detections:
    class_id = rows[:, 6].astype(int)
    return sv.Detections(
        xyxy=rows[:, 1:5].astype(np.float32),
        confidence=rows[:, 5].astype(np.float32),
        class_id=class_id,
        data={"class_name": np.array([CLASSES[number] for number in class_id.tolist()], dtype=str)},
    )


class SceneDetector:
    """One simulated device, one picture on it at a time."""

    names: Mapping[int, str] = CLASSES
    digest = DIGEST
    capacity = 2

    def __init__(self, folder: Path, seconds: float, deadly: str) -> None:
        self._folder = folder
        self._seconds = seconds
        self._deadly = deadly
        self._scenes: dict[int, list[sv.Detections]] = {}
        self._pool = ThreadPoolExecutor(1)

    def prepare(self, width: int, height: int) -> None:
        """Nothing to get ready."""

    def submit(self, image: Pixels) -> Future[sv.Detections]:
        return self._pool.submit(self._look, image)

    def close(self) -> None:
        self._pool.shutdown()

    def _look(self, image: Pixels) -> sv.Detections:
        try:
            scene, frame = read_stamp(image)
        except ValueError as error:
            raise ModelError(str(error)) from None
        if f"{scene}:{frame}" == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._seconds:
            time.sleep(self._seconds)  # stands for a device at work
        if scene not in self._scenes:
            self._scenes[scene] = load_truth(self._folder, scene)
        return self._scenes[scene][frame]


def make() -> SceneDetector:
    """As the environment says."""
    environment = os.environ
    return SceneDetector(
        Path(environment["SCENES"]), float(environment.get("SCENE_SECONDS", "0")), environment.get("SCENE_DEADLY", "")
    )
