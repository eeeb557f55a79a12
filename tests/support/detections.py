"""Detections without a detector: a crossing of walkers with misses, occlusions and false alarms; MOT files."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import supervision as sv

from yolotrack.config import TrackerSettings
from yolotrack.evaluate import MotBoxes, read_mot
from yolotrack.vision.base import Tracker
from yolotrack.vision.tracker import open_tracker

TRACKERS = ("sort", "bytetrack", "ocsort", "botsort", "cbiou")
RATE = Fraction(25)
NAMES = np.array(["person", "car"])
SIZE = np.array([28.0, 60.0])


def fresh(name: str, rate: Fraction | None = RATE, **parameters: object) -> Tracker:
    """A tracker of that name with those parameters."""
    return open_tracker(TrackerSettings.model_validate({"name": name, name: parameters}), rate)


def boxes(*rows: Sequence[float], confidence: float = 0.9) -> sv.Detections:
    """Detections of cars: `x1, y1, x2, y2` each."""
    return detections(np.array(rows).reshape(-1, 4), np.full(len(rows), confidence), np.ones(len(rows), int))


def detections(xyxy: np.ndarray, confidence: np.ndarray, class_id: np.ndarray) -> sv.Detections:
    """As a detector gives them."""
    return sv.Detections(
        xyxy=xyxy.astype(np.float32),
        confidence=confidence.astype(np.float32),
        class_id=class_id,
        data={"class_name": NAMES[class_id]},
    )


def crossing(frames: int = 60, seed: int = 7) -> list[sv.Detections]:
    """Eight walkers each way past a pillar; empty at first and in between; some boxes are missed, weak or false."""
    rng = np.random.default_rng(seed)
    speed = np.repeat([4.0, -5.0], 8)[:, None] * rng.uniform(0.7, 1.3, (16, 1)) * [1.0, 0.1]
    start = np.stack([np.where(speed[:, 0] > 0, 20.0, 560.0), np.tile(np.arange(8) * 45.0, 2)], axis=1)
    return [_seen(start + speed * frame, frame, rng) for frame in range(frames)]


def _seen(corner: np.ndarray, frame: int, rng: np.random.Generator) -> sv.Detections:
    xyxy = np.hstack([corner, corner + SIZE]) + rng.normal(0.0, 1.5, (16, 4))
    behind_pillar = (corner[:, 0] > 270) & (corner[:, 0] < 300)
    confidence = np.where(rng.random(16) < 0.2, rng.uniform(0.1, 0.4, 16), rng.uniform(0.5, 0.98, 16))
    visible = ~behind_pillar & (rng.random(16) > 0.08) & (frame > 2) & (frame % 23 != 0)
    false_alarm = rng.uniform(0, 500, 2)
    xyxy = np.vstack([xyxy[visible], np.hstack([false_alarm, false_alarm + 40])])[: visible.sum() + (frame % 5 == 1)]
    classes = np.append((np.arange(16) % 2)[visible], 0)
    return detections(xyxy, np.append(confidence[visible], 0.6)[: len(xyxy)], classes[: len(xyxy)])


def campus(real_data: Path) -> tuple[list[sv.Detections], MotBoxes]:
    """TUD-Campus: what the SORT paper's detector found in its 71 frames, and the truth."""
    folder = real_data / "mot" / "TUD-Campus"
    found = read_mot(folder / "det.txt")
    rows = [np.flatnonzero(found.frame == frame) for frame in range(71)]
    return [detections(found.xyxy[here], found.confidence[here], np.zeros(len(here), int)) for here in rows], read_mot(
        folder / "gt.txt"
    )


def track(tracker: Tracker, sequence: Sequence[sv.Detections], first: int = 0) -> list[sv.Detections]:
    """What the tracker says to each frame, at the usual times."""
    return [tracker.update(seen, frame / float(RATE)) for frame, seen in enumerate(sequence, first)]


def as_boxes(tracks: Sequence[sv.Detections]) -> MotBoxes:
    """For `evaluate`."""
    return MotBoxes.from_rows(
        [
            (frame, track_id, *xyxy, confidence)
            for frame, found in enumerate(tracks)
            for xyxy, confidence, track_id in zip(found.xyxy, found.confidence, found.tracker_id, strict=True)
        ]
    )
