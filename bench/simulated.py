"""A device that takes 40 ms a picture and no processor time, for `--model simulated:device` from this folder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import supervision as sv

from yolotrack.model import Pixels

SECONDS = float(os.environ.get("SIMULATED_SECONDS", "0.04"))


class SimulatedDevice:
    """One picture at a time; finds one box that wanders."""

    names: Mapping[int, str] = {0: "thing"}
    digest = "simulated"
    capacity = 2

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._free_at = 0.0

    def prepare(self, width: int, height: int) -> None:
        """Nothing to prepare."""

    def submit(self, image: Pixels) -> Future[sv.Detections]:
        """Done 40 ms after the one before."""
        return self._pool.submit(self._detect, image)

    def _detect(self, image: Pixels) -> sv.Detections:
        # to a timetable, so that a late wake-up does not make the device slower than it says
        self._free_at = max(self._free_at, time.perf_counter()) + SECONDS
        time.sleep(max(0.0, self._free_at - time.perf_counter()))
        left = float(image[0, 0, 0]) / 4
        box = np.array([[left, 10.0, left + 50.0, 60.0]], np.float32)
        confidence = np.array([0.9], np.float32)
        return sv.Detections(box, None, confidence, np.array([0]), data={"class_name": np.array(["thing"])})

    def close(self) -> None:
        """Finish what is in flight."""
        self._pool.shutdown()


def device() -> SimulatedDevice:
    """A new one."""
    return SimulatedDevice()
