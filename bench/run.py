"""How much of the model's own speed is left in `yolotrack run`.

    python bench/run.py [VIDEO] [--model yolov8n.pt] [--rounds 5] [--json]

Without a video: the one of the folder that YOLOTRACK_REAL_DATA names, with the weights beside it.

In one process and in turn, round by round: the bare model (OpenVINO's AsyncInferQueue on the same weights, shape and
precision, fed one ready-made picture, nothing done with what comes out), `run` without a video, `run -o`. The ratios
are taken within a round, because machines have neighbours; the medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from yolotrack.cli.run import Wanted, track_sources
from yolotrack.config import Settings
from yolotrack.config.schema import DatabaseSettings, ModelSettings
from yolotrack.video.source import open_source
from yolotrack.vision.export import openvino_export
from yolotrack.vision.letterbox import Letterbox
from yolotrack.vision.weights import digest_of, find_weights

TARGETS = {"run": 0.88, "run -o": 0.70}
"""Of the design, as ratios to the bare model."""


def main() -> None:
    """Measure and print."""
    options = _options()
    settings = Settings(model=ModelSettings(weights=options.model))
    bare = BareModel(settings, options.video)
    bare.fps(50)  # warm-up
    _run(settings, options.video, None)
    rounds = [_round(bare, settings, options.video) for _ in range(options.rounds)]
    _print(rounds, bare, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("YOLOTRACK_REAL_DATA", "../shared/data"))
    parser.add_argument("video", nargs="?", default=str(data / "videos" / "car-detection.mp4"))
    parser.add_argument("--model", default=str(data / "weights" / "yolov8n.pt"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


class BareModel:
    """The same network on the same machine with nothing around it."""

    def __init__(self, settings: Settings, video: str) -> None:
        import openvino

        with closing(open_source(video, settings.source)) as source:
            info = source.info
        self.frames = info.frame_count or 300
        weights = find_weights(settings.model.weights)
        export = openvino_export(weights, digest_of(weights))
        self.canvas = Letterbox.fit(info.width, info.height, settings.model.imgsz, export.stride).canvas
        core = openvino.Core()
        model = core.read_model(export.xml)
        model.reshape([1, 3, self.canvas[1], self.canvas[0]])
        compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT"})
        self.precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._queue = openvino.AsyncInferQueue(compiled, 2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._picture = np.random.default_rng(0).random((1, 3, self.canvas[1], self.canvas[0]), np.float32)

    def fps(self, frames: int) -> float:
        """Inferences a second."""
        started = time.perf_counter()
        for _ in range(frames):
            self._queue.start_async(self._picture, share_inputs=True)
        self._queue.wait_all()
        return frames / (time.perf_counter() - started)


def _round(bare: BareModel, settings: Settings, video: str) -> dict[str, float]:
    before = bare.fps(bare.frames)
    without = _run(settings, video, None)
    between = bare.fps(bare.frames)
    with_video = _run(settings, video, "out.mp4")
    after = bare.fps(bare.frames)
    return {
        "bare model": statistics.mean((before, between, after)),
        "run": without,
        "run -o": with_video,
        "ratio run": without / statistics.mean((before, between)),
        "ratio run -o": with_video / statistics.mean((between, after)),
    }


def _run(settings: Settings, video: str, output: str | None) -> float:
    """Frames a second of one whole run into a fresh database."""
    with tempfile.TemporaryDirectory() as folder:
        here = settings.model_copy(update={"database": DatabaseSettings(url=f"sqlite:///{folder}/tracks.db")})
        wanted = Wanted(Path(folder) / output if output else None, quiet=True)
        with closing(open_source(video, settings.source)) as source:
            return track_sources(here, [source], wanted, Event())[0].fps


def _print(rounds: list[dict[str, float]], bare: BareModel, *, as_json: bool) -> None:
    medians = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    machine = f"{_processor()}, {_cores()} cores, {platform.system()} {platform.machine()}"
    if as_json:
        print(json.dumps({"machine": machine, "precision": bare.precision, "rounds": rounds, "median": medians}))
        return
    print(f"{machine}; {bare.precision} at {bare.canvas[0]}x{bare.canvas[1]}; {len(rounds)} rounds, medians")
    for name in ("bare model", "run", "run -o"):
        low, high = min(row[name] for row in rounds), max(row[name] for row in rounds)
        print(f"{name:11} {medians[name]:7.1f} frame/s ({low:.1f}-{high:.1f})", end="")
        print(f"  {medians[f'ratio {name}']:.2f} of the bare model, target {TARGETS[name]}" if name in TARGETS else "")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    names: list[Any] = [
        line.partition(":")[2].strip()
        for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else [])
        if line.startswith("model name")
    ]
    return str(names[0]) if names else platform.processor()


if __name__ == "__main__":
    main()
