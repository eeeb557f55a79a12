"""Which tracker is the best default: quality on a MOT sequence, time per frame, and what a snapshot costs.

    python bench/tracking.py [FOLDER]

FOLDER holds `det.txt` and `gt.txt` (default: mot/TUD-Campus of the real data). Quality and time per frame are
of that sequence; the snapshot is of twenty tracks, most of them in sight. Medians.
"""

from __future__ import annotations

import inspect
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv

from yolotrack.config import TrackerSettings
from yolotrack.evaluate import MotBoxes, evaluate, read_mot
from yolotrack.vision import tracker as adapter
from yolotrack.vision.base import Tracker
from yolotrack.vision.parameters import DEFAULTS
from yolotrack.vision.tracker import open_tracker

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_DATA = Path(os.environ.get("YOLOTRACK_REAL_DATA") or REPOSITORY.parent / "shared" / "data")
RATE = Fraction(25)
REPEATS = 5
SIZE = np.array([40.0, 80.0])


def opened(name: str, parameters: dict[str, Any]) -> Tracker:
    return open_tracker(TrackerSettings.model_validate({"name": name, name: parameters}), RATE)


def packages_own(name: str) -> dict[str, Any]:
    """The package's values for what we set otherwise."""
    signature = inspect.signature(adapter._KINDS[name][0].__init__).parameters
    return {key: signature[key].default for key in DEFAULTS[name]}


def detections(xyxy: np.ndarray, confidence: np.ndarray) -> sv.Detections:
    count = len(xyxy)
    return sv.Detections(
        xyxy=xyxy.astype(np.float32),
        confidence=confidence.astype(np.float32),
        class_id=np.zeros(count, dtype=int),
        data={"class_name": np.full(count, "person")},
    )


def frames_of(path: Path) -> list[sv.Detections]:
    found = read_mot(path)
    rows = [found.frame == frame for frame in range(int(found.frame.max()) + 1)]
    return [detections(found.xyxy[here], found.confidence[here]) for here in rows]


def crowd() -> list[sv.Detections]:
    """Twenty people side by side, seen in 95 of 100 frames."""
    rng = np.random.default_rng(0)
    corners = np.stack([np.arange(20) * 60.0, np.arange(20) % 3 * 150.0], axis=1)
    sequence = []
    for frame in range(50):
        here = (corners + 2.0 * frame + rng.normal(0, 1, corners.shape))[rng.random(20) < 0.95]
        sequence.append(detections(np.hstack([here, here + SIZE]), np.full(len(here), 0.9)))
    return sequence


def milliseconds(action: Callable[[], object]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = action()
    return (time.perf_counter() - start) * 1e3, result


def quality(name: str, parameters: dict[str, Any], sequence: list[sv.Detections], truth: MotBoxes) -> str:
    times, rows = [], []
    for repeat in range(REPEATS):
        tracker = opened(name, parameters)
        for frame, seen in enumerate(sequence):
            took, found = milliseconds(lambda: tracker.update(seen, frame / float(RATE)))  # noqa: B023
            times.append(took)
            columns = (found.tracker_id, found.xyxy, found.confidence)
            rows += [(frame, i, *box, c) for i, box, c in zip(*columns, strict=True) if repeat == 0]
    scores = evaluate(truth, MotBoxes.from_rows(rows))
    return (
        f"{scores.hota:.3f} | {scores.assa:.3f} | {scores.mota:.3f} | {scores.idf1:.3f} | {scores.id_switches} | "
        f"{len({row[1] for row in rows})} | {statistics.median(times):.2f}"
    )


def snapshot_cost(name: str) -> str:
    tracker, heir = opened(name, {}), opened(name, {})
    for frame, seen in enumerate(crowd()):
        tracker.update(seen, frame / float(RATE))
    saves = [milliseconds(tracker.snapshot) for _ in range(50)]
    loads = [milliseconds(lambda: heir.restore(saves[0][1])) for _ in range(20)]
    middle = [statistics.median(took for took, _ in runs) for runs in (saves, loads)]
    return f"{len(saves[0][1]) / 1000:.1f} | {middle[0]:.2f} | {middle[1]:.2f}"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REAL_DATA / "mot" / "TUD-Campus"
    if not (folder / "det.txt").exists() or not (folder / "gt.txt").exists():
        sys.exit(f"no det.txt and gt.txt in {folder}: name a folder that has them")
    sequence, truth = frames_of(folder / "det.txt"), read_mot(folder / "gt.txt")
    people = len(set(truth.track_id.tolist()))
    print(f"{folder.name}: {len(sequence)} frames, {sum(map(len, sequence))} detections, {people} objects.")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"trackers {version('trackers')}, numpy {np.__version__}.\n")
    print("| tracker | defaults | HOTA | AssA | MOTA | IDF1 | switches | ids | ms/frame | kB | save ms | load ms |")
    print("| --- | --- |" + " ---: |" * 10)
    for name in DEFAULTS:
        cost = snapshot_cost(name)
        for label, parameters in (("ours", {}), ("the package's", packages_own(name))):
            print(f"| {name} | {label} | {quality(name, parameters, sequence, truth)} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
