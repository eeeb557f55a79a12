"""Detectors for `--model`, where a real model would only cost time: they see the disc in pictures of `videos`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import supervision as sv

from tests.support.videos import number_of
from yolotrack.model import Pixels

PACE = "SCRIPTED_SECONDS"
"""The variable that says how long `slow` looks at a picture."""


class DiscDetector:
    """One car, where the disc is; one picture at a time."""

    names: Mapping[int, str] = {0: "person", 2: "car"}
    digest = "d15c"
    capacity = 1

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(1)

    def prepare(self, width: int, height: int) -> None:
        """Nothing to get ready."""

    def submit(self, image: Pixels) -> Future[sv.Detections]:
        return self._pool.submit(self._look, image)

    def close(self) -> None:
        self._pool.shutdown()

    def _look(self, image: Pixels) -> sv.Detections:
        if self._seconds:
            time.sleep(self._seconds)  # stands for a device at work
        height, width = image.shape[:2]
        x, y, radius = number_of(image) * 3 % width, height * 2 // 3, height // 8
        return sv.Detections(
            xyxy=np.array([[x - radius, y - radius, x + radius, y + radius]], np.float32),
            confidence=np.array([0.9], np.float32),
            class_id=np.array([2]),
            data={"class_name": np.array(["car"])},
        )


def fast() -> DiscDetector:
    """Sees at once."""
    return DiscDetector()


def slow() -> DiscDetector:
    """Takes its time."""
    return DiscDetector(float(os.environ.get(PACE, "0.02")))
