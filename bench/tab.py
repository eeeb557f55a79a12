"""A page in headless Chromium that is left alone but for moments: who listens to a page changes what it costs.

Tools that drive a browser get a copy of all that its pages receive, and leave objects in them at every visit. This asks
by the DevTools protocol itself, one question after the other, and listens to nothing in between.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from websockets.sync.client import connect

from tests.support.browser import CHROMIUM

OPTIONS = ("--headless=new", "--no-sandbox", "--window-size=1280,1100", "--remote-debugging-port=0")
PATIENCE = 120.0


class Tab:
    """The one page of a browser."""

    def __init__(self, port: int, browser: psutil.Process) -> None:
        """`port` is that of the browser's tools."""
        self._port = port
        self._browser = browser

    def evaluate(self, expression: str) -> Any:
        """What a script in the page comes to."""
        [answer] = self._ask(("Runtime.evaluate", {"expression": expression, "returnByValue": True}))
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Until a script comes to something true."""
        deadline = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.5)

    def memory(self) -> dict[str, float]:
        """MB that its scripts hold, garbage collected, and that its process has."""
        collected = ("HeapProfiler.collectGarbage", {})
        *_, told = self._ask(("Performance.enable", {}), collected, ("Performance.getMetrics", {}))
        scripts = next(metric["value"] for metric in told["metrics"] if metric["name"] == "JSHeapUsedSize")
        renderers = (one for one in self._browser.children(recursive=True) if "--type=renderer" in one.cmdline())
        return {"scripts": scripts / 1e6, "process": max(one.memory_info().rss for one in renderers) / 1e6}

    def screenshot(self, path: Path) -> None:
        """A PNG of what is seen of it."""
        [answer] = self._ask(("Page.captureScreenshot", {}))
        path.write_bytes(base64.b64decode(answer["data"]))

    def _ask(self, *questions: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/json/list") as listed:
            address = next(page["webSocketDebuggerUrl"] for page in json.load(listed) if page["type"] == "page")
        answers = []
        with connect(address, max_size=None) as socket:
            for number, (method, parameters) in zip(count(1), questions, strict=False):
                socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while (said := json.loads(socket.recv(PATIENCE))).get("id") != number:
                    pass
                answers.append(said["result"])
        return answers


@contextmanager
def open_tab(address: str, profile: Path) -> Iterator[Tab]:
    """A browser of its own that shows a page; `profile` is a folder for it."""
    assert CHROMIUM is not None, "chromium is not installed"
    told = profile / "DevToolsActivePort"
    process = subprocess.Popen([CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", address], stderr=subprocess.DEVNULL)
    try:
        while not (told.exists() and "\n" in told.read_text()):
            assert process.poll() is None, "chromium does not start"
            time.sleep(0.1)
        yield Tab(int(told.read_text().split()[0]), psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=30)
