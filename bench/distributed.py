"""What distribution costs: over RabbitMQ against the bare model, and 1 to 8 detect workers with a simulated device.

    python bench/distributed.py [VIDEO] [--model yolov8n.pt] [--rounds 3] [--json] [--only speed|scaling]

Starts a RabbitMQ node of its own (the server must be installed). `speed`: publish, one `work`, RabbitMQ and SQLite on
this machine, in turn with the bare model of `bench/run.py`, round by round; a run is timed from its start to its
end as the database has them. `scaling`: 1, 2, 4 and 8 processes that detect with a device of 40 ms a picture (it
sleeps, so that eight fit on any machine) and one that tracks.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from run import BareModel  # noqa: E402

from tests.support.rabbit import RabbitNode  # noqa: E402
from yolotrack.config import DatabaseSettings, ModelSettings, OutputSettings, Settings  # noqa: E402
from yolotrack.store.sql import open_store  # noqa: E402
from yolotrack.video.sink import open_sink  # noqa: E402

YOLOTRACK = [sys.executable, "-m", "yolotrack"]
DEVICE_FPS = 25.0
SECONDS = 12
WORKERS = (1, 2, 4, 8)


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory() as name, closing(RabbitNode(Path(name) / "rabbit")) as node:
        folder = Path(name)
        node.start()
        results: dict[str, object] = {}
        if options.only != "scaling":
            results["speed"] = _speed(folder, node.url, options)
        if options.only != "speed":
            results["scaling"] = _scaling(folder, node.url)
    if options.json:
        print(json.dumps(results))


def _options() -> argparse.Namespace:
    data = Path(os.environ.get("YOLOTRACK_REAL_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", default=str(data / "videos" / "car-detection.mp4"))
    parser.add_argument("--model", default=str(data / "weights" / "yolov8n.pt"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=("speed", "scaling"))
    return parser.parse_args()


def _speed(folder: Path, url: str, options: argparse.Namespace) -> dict[str, float]:
    bare = BareModel(Settings(model=ModelSettings(weights=options.model)), options.video)
    database = f"sqlite:///{folder}/speed.db"
    rounds = []
    with _workers(1, "all", url, "speed", database, options.model):
        _publish(options.video, url, "speed", database)  # warm-up
        bare.fps(50)
        for _ in range(options.rounds):
            before = bare.fps(bare.frames)
            fps = _publish(options.video, url, "speed", database)
            rounds.append((statistics.mean((before, bare.fps(bare.frames))), fps))
    ratio = statistics.median(fps / raw for raw, fps in rounds)
    raw, fps = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"bare model {raw:.1f} frame/s; publish + work + RabbitMQ + SQLite {fps:.1f} frame/s; ratio {ratio:.2f}")
    return {"bare": raw, "fps": fps, "ratio": ratio}


def _scaling(folder: Path, url: str) -> dict[int, float]:
    """Frames a second by number of workers."""
    found: dict[int, float] = {}
    for count in WORKERS:
        video = folder / f"small-{count}.mp4"
        _write_small_video(video, int(DEVICE_FPS * SECONDS * count))
        database, space = f"sqlite:///{folder}/scaling-{count}.db", f"scaling-{count}"
        with (
            _workers(count, "detect", url, space, database, "simulated:device"),
            _workers(1, "track", url, space, database, "simulated:device"),
        ):
            _publish(str(video), url, space, database, "--max-frames", "100")  # every worker has started and is warm
            found[count] = _publish(str(video), url, space, database)
        overhead = 1000 * (count / found[count] - 1 / DEVICE_FPS)
        print(
            f"{count} workers: {found[count]:6.1f} frame/s, {found[count] / found[1]:.2f}x one, "
            f"{overhead:.1f} ms of a worker's time per frame beside the device's 40"
        )
    return found


@contextmanager
def _workers(count: int, role: str, url: str, space: str, database: str, model: str) -> Iterator[None]:
    command = [*YOLOTRACK, "work", "--role", role, "--broker", url, "--namespace", space, "--db", database]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'bench'}{os.pathsep}{ROOT}"}
    running = [
        subprocess.Popen([*command, "--model", model, "--log-level", "error"], env=environment) for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(timeout=90)


def _publish(video: str, url: str, space: str, database: str, *more: str) -> float:
    """Frames a second of one run, from its start to its end."""
    command = [*YOLOTRACK, "publish", video, "--broker", url, "--namespace", space, "--wait", "-q", "--json", *more]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with closing(open_store(DatabaseSettings(url=database), read_only=True)) as store:
        record = store.find_run(json.loads(done.stdout)["run_id"])
    assert record.ended_at is not None
    return record.ledger.tracked / (record.ended_at - record.run.started_at).total_seconds()


def _write_small_video(path: Path, frames: int) -> None:
    sink = open_sink(
        path, width=320, height=180, rate=Fraction(25), settings=OutputSettings(preset="ultrafast"), overwrite=True
    )
    for index in range(frames):
        pixels = np.full((180, 320, 3), index % 200, np.uint8)
        pixels[::7, ::5] = 255
        sink.write(pixels, index / 25)
    sink.close()


if __name__ == "__main__":
    main()
