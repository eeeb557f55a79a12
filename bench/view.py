"""What a browser sees of one live stream: how old its pictures are, what the page costs, and whether it grows.

    python bench/view.py [--seconds 60] [--model FILE] [--json] [--picture view.png]

Starts a RabbitMQ node of its own, one `work`, `publish --realtime --mode live --loop` at 25 frame/s of the demo's
street, `view --web`, and headless Chromium (both servers must be installed). Ages are from capture to the moment
when the page has drawn the picture, of every picture in the time asked for; memory is that of the browser's
renderer, its garbage collected. Tools that drive a browser copy every message of a page to themselves, so they are
connected only while they read. CPU is per cent of one core, first with nobody looking, then with ten browsers whose
page is hidden.
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

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from playwright.sync_api import Page, sync_playwright  # noqa: E402

from tests.support.browser import CHROMIUM, chromium  # noqa: E402
from tests.support.rabbit import RabbitNode  # noqa: E402
from yolotrack.config import OutputSettings  # noqa: E402
from yolotrack.demo.scene import Scene  # noqa: E402
from yolotrack.demo.source import IMGSZ, WEIGHTS  # noqa: E402
from yolotrack.video.sink import open_sink  # noqa: E402

YOLOTRACK = [sys.executable, "-m", "yolotrack"]
STREAM = "street"
EVERY_SECONDS = 10
"""Between two looks; the page tells of its last 250 pictures."""
CPU_SECONDS = 10
IDLE_BROWSERS = 10
WARM_SECONDS = 8
"""Until the ages of the start are out of the page's window."""
FIGURES = ("age on this screen", "age when tracked", "fps", "dropped")
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
        _write_street(folder / f"{STREAM}.mp4")
        found = _measure(folder, node.url, options, stack)
    if options.json:
        print(json.dumps(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default=str(WEIGHTS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path, help="write a screenshot of the page here")
    return parser.parse_args()


def _measure(folder: Path, url: str, options: argparse.Namespace, stack: ExitStack) -> dict[str, object]:
    common = ["--broker", url, "--log-level", "error"]
    database = ["--db", f"sqlite:///{folder}/tracks.db"]
    model = ["--model", options.model, "--imgsz", str(IMGSZ)]
    worker = stack.enter_context(_running("work", *common, *database, *model))
    live = ("--realtime", "--mode", "live", "--loop")
    stack.enter_context(_running("publish", folder / f"{STREAM}.mp4", *live, "-q", *common))
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
    with _browser(f"{address}#{STREAM}", profile) as (port, family):
        with _page(port) as page:
            page.wait_for_selector("#status[data-status=live]", timeout=120_000)
        time.sleep(WARM_SECONDS)
        with _page(port) as page:
            before = _memory(page, family)
        told = []
        for _ in range(max(1, round(options.seconds / EVERY_SECONDS))):
            time.sleep(EVERY_SECONDS)
            with _page(port) as page:
                told.append({name: _figure(page, name) for name in FIGURES})
            print(f"load {os.getloadavg()[0]:.1f}", told[-1], flush=True)
        with _page(port) as page:
            after = _memory(page, family)
            if options.picture:
                page.screenshot(path=options.picture)
    print("memory of the page, MB:", {name: f"{before[name]:.1f} -> {after[name]:.1f}" for name in after})
    return {"told": told, "memory_before": before, "memory_after": after}


@contextmanager
def _browser(address: str, profile: Path) -> Iterator[tuple[int, psutil.Process]]:
    """A headless Chromium that shows a page: the port of its tools, and its process."""
    assert CHROMIUM is not None, "chromium is not installed"
    options = ("--headless=new", "--no-sandbox", "--window-size=1280,1100", "--remote-debugging-port=0")
    told = profile / "DevToolsActivePort"
    process = subprocess.Popen([CHROMIUM, *options, f"--user-data-dir={profile}", address], stderr=subprocess.DEVNULL)
    try:
        while not (told.exists() and told.read_text().count("\n")):
            assert process.poll() is None, "chromium does not start"
            time.sleep(0.1)
        yield int(told.read_text().split()[0]), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def _page(port: int) -> Iterator[Page]:
    """The browser's one page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        yield browser.contexts[0].pages[0]
        browser.close()  # of a browser that was connected to, this only lets go


def _figure(page: Page, name: str) -> str:
    row = page.locator("#figures > div", has=page.locator(f"dt:text-is('{name}')"))
    return " ".join(row.locator("dd").inner_text().split()) if row.count() else ""


def _memory(page: Page, browser: psutil.Process) -> dict[str, float]:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = {found["name"]: found["value"] for found in session.send("Performance.getMetrics")["metrics"]}
    family = browser.children(recursive=True)
    resident = max(one.memory_info().rss for one in family if "--type=renderer" in one.cmdline())
    session.detach()
    return {"scripts": metrics["JSHeapUsedSize"] / 1e6, "process": resident / 1e6}


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
