"""What a browser sees of one live stream: how old its pictures are, what the page costs, and whether it grows.

    python bench/view.py [--seconds 60] [--video FILE] [--model FILE] [--json] [--picture view.png]

Starts a RabbitMQ node of its own, one `work`, `publish --realtime --mode live --loop` of the demo's street (25 frame/s)
or of a video of yours at its own rate, `view --web`, and headless Chromium (both servers must be installed). Ages are
from capture to the moment when the page has drawn the picture, of the page's last 250 pictures, told every ten
seconds; memory is that of the browser's renderer, its garbage collected. CPU is per cent of one core, first with nobody
looking, then with ten browsers whose page is hidden.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from bench.tab import open_tab  # noqa: E402
from tests.support.browser import chromium  # noqa: E402
from tests.support.rabbit import RabbitNode  # noqa: E402
from yolotrack.config import OutputSettings  # noqa: E402
from yolotrack.demo.scene import Scene  # noqa: E402
from yolotrack.demo.source import IMGSZ, WEIGHTS  # noqa: E402
from yolotrack.video.sink import open_sink  # noqa: E402

YOLOTRACK = [sys.executable, "-m", "yolotrack"]
STREAM = "bench"
EVERY_SECONDS = 10
"""Between two looks; the page tells of its last 250 pictures."""
CPU_SECONDS = 10
IDLE_BROWSERS = 10
WARM_SECONDS = 20
"""Until the ages of the start are out of the page's window."""
FIGURES = """Array.from(
    document.querySelectorAll("#figures > div"),
    ({ children: [name, figure] }) => [name.innerText, figure.innerText],
)"""
TOLD = ("age on this screen", "age when tracked", "fps", "dropped")
HIDE = """() => {
    Object.defineProperty(document, "hidden", {get: () => true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def main() -> None:
    """Measure and print."""
    options = _options()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        node = stack.enter_context(closing(RabbitNode(folder / "rabbit")))
        node.start()
        if options.video is None:
            options.video = folder / "street.mp4"
            _write_street(options.video)
        found = _measure(folder, node.url, options, stack)
    if options.json:
        print(json.dumps(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--video", type=Path, help="its frames come again and again; without it: the demo's street")
    parser.add_argument("--model", default=str(WEIGHTS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path, help="write a screenshot of the page here")
    return parser.parse_args()


def _measure(folder: Path, url: str, options: argparse.Namespace, stack: ExitStack) -> dict[str, object]:
    common = ["--broker", url, "--log-level", "error"]
    database = ["--db", f"sqlite:///{folder}/tracks.db"]
    model = ["--model", options.model, "--imgsz", str(IMGSZ)]
    worker = stack.enter_context(_running("work", *common, *database, *model))
    live = ("--realtime", "--mode", "live", "--loop", "--stream", STREAM)
    stack.enter_context(_running("publish", options.video, *live, "-q", *common))
    page_server = stack.enter_context(_running("view", "--web", "127.0.0.1:0", *common, *database))
    assert page_server.stdout is not None
    address = page_server.stdout.readline().split()[0]
    seen = _look(address, folder / "browser", options)
    unseen = _cpu(worker, page_server)
    with chromium() as browser:
        for _ in range(IDLE_BROWSERS):
            page = browser.new_page()
            page.goto(address)
            page.evaluate(HIDE)
        idle = _cpu(worker, page_server)
    print(f"CPU of worker and page's server: nobody looks {unseen}, {IDLE_BROWSERS} hidden browsers {idle}")
    return seen | {"cpu_unseen": unseen, "cpu_idle_browsers": idle}


def _look(address: str, profile: Path, options: argparse.Namespace) -> dict[str, object]:
    """Ages as the page tells them, and how its memory grows."""
    with open_tab(f"{address}#{STREAM}", profile) as tab:
        tab.wait_for("document.querySelector('#status[data-status=live]') !== null")
        time.sleep(WARM_SECONDS)
        before, told = tab.memory(), []
        for _ in range(max(1, round(options.seconds / EVERY_SECONDS))):
            time.sleep(EVERY_SECONDS)
            told.append(dict(pair for pair in tab.evaluate(FIGURES) if pair[0] in TOLD))
            print(f"load {os.getloadavg()[0]:.1f}", told[-1], flush=True)
        after = tab.memory()
        if options.picture:
            tab.screenshot(options.picture)
    tails = sorted(int(one["age on this screen"].split(" / ")[1]) for one in told)
    print(f"p95 of the age on screen: {median(tails):.0f} ms, the median of {len(tails)}; {tails[0]} to {tails[-1]}")
    print("memory of the page, MB:", {name: f"{before[name]:.1f} -> {after[name]:.1f}" for name in after})
    return {"age_p95_ms": median(tails), "told": told, "memory_before": before, "memory_after": after}


def _cpu(*running: subprocess.Popen[str]) -> list[float]:
    """Per cent of one core that each uses."""
    before, began = [_spent(process) for process in running], time.monotonic()
    time.sleep(CPU_SECONDS)
    took = time.monotonic() - began
    return [round(100 * (_spent(process) - spent) / took, 1) for process, spent in zip(running, before, strict=True)]


def _spent(process: subprocess.Popen[str]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


@contextmanager
def _running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*YOLOTRACK, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=90)


def _write_street(path: Path) -> None:
    scene = Scene(seed=5, frames=500)
    settings = OutputSettings(preset="ultrafast")
    sink = open_sink(
        path, width=scene.width, height=scene.height, rate=Fraction(scene.fps), settings=settings, overwrite=True
    )
    for index, (pixels, _) in enumerate(scene):
        sink.write(pixels, index / float(scene.fps))
    sink.close()


if __name__ == "__main__":
    main()
