"""`--show` on a screen that nobody sees: a window opens, shows tracks, and q ends the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import PATIENCE, Running, names_in, runs_in
from tests.support.waiting import wait_until
from yolotrack.demo.source import IMGSZ, WEIGHTS

TOOLS = ("Xvfb", "xdotool")
SIZE = (1280, 800)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """A virtual screen."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"--show is not tested: install {' and '.join(missing)} (Debian: xvfb, xdotool)")
    with started(tmp_path) as opened:
        yield opened


class Screen:
    """What can be asked of a virtual screen and done on it."""

    def __init__(self, display: str, memory: Path) -> None:
        self.display = display
        self._memory = memory

    def picture(self) -> np.ndarray:
        """What it shows: uint8 height x width x 3, BGR. The file is in X's own format, XWD."""
        content = self._memory.read_bytes()
        header = np.frombuffer(content[:100], ">u4")
        start, width, height, line = int(header[0] + header[19] * 12), int(header[4]), int(header[5]), int(header[12])
        rows = np.frombuffer(content[start : start + height * line], np.uint8).reshape(height, line)
        return rows[:, : width * 4].reshape(height, width, 4)[:, :, :3]

    def windows(self, name: str) -> list[str]:
        """The ids of windows whose title holds `name`."""
        return self._xdotool("search", "--onlyvisible", "--name", name).split()

    def press(self, key: str) -> None:
        """Press a key, with the pointer in the picture."""
        self._xdotool("mousemove", "400", "300", "key", key)

    def _xdotool(self, *arguments: str) -> str:
        environment = {**os.environ, "DISPLAY": self.display}
        return subprocess.run(
            ["xdotool", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
        ).stdout


@contextmanager
def started(folder: Path) -> Iterator[Screen]:
    """A server on a display of its own choice, its picture mapped into `folder`."""
    reader, writer = os.pipe()
    memory = folder / "screen"
    memory.mkdir()
    size = f"{SIZE[0]}x{SIZE[1]}x24"
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", size, "-fbdir", str(memory), "-nolisten", "tcp"],
        pass_fds=(writer,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        number = _first_line(reader)
        yield Screen(f":{number}", memory / "Xvfb_screen0")
    finally:
        server.terminate()
        server.wait(60)
        os.close(reader)


def _first_line(reader: int) -> str:
    lines: list[bytes] = []
    thread = threading.Thread(target=lambda: lines.append(os.read(reader, 100)), daemon=True)
    thread.start()
    thread.join(60)
    assert lines and lines[0], "Xvfb did not start"
    return lines[0].decode().strip()


def test_a_window_shows_tracks_until_q(screen: Screen, tmp_path: Path) -> None:
    command = ["demo", "--frames", "2000", "--seed", "7", "--show"]
    with Running(*command, folder=tmp_path, env={"DISPLAY": screen.display}) as running:
        running.wait_for_frames(30)
        wait_until(lambda: screen.windows("yolotrack - demo-7"), "a window", PATIENCE)
        assert len(screen.windows("yolotrack")) == 1
        first = screen.picture()
        wait_until(lambda: _moved(first, screen.picture()), "another picture", PATIENCE)
        shown = screen.picture()
        screen.press("q")
        done = running.end()

    assert done.code == 130
    assert "Traceback" not in done.err and "QFont" not in done.err
    assert _boxes(shown) > 200, "boxes and labels are drawn"
    (run,) = runs_in(tmp_path, "sqlite:///yolotrack-demo/tracks.db")
    assert run["status"] == "interrupted"
    assert 30 <= int(run["tracked"]) < 2000
    assert "demo.mp4" in names_in(tmp_path / "yolotrack-demo")


def test_without_output_a_window_still_shows(screen: Screen, scene_video: Path, tmp_path: Path) -> None:
    command = ["run", scene_video, "--model", WEIGHTS, "--imgsz", IMGSZ, "--show", "--db", "sqlite:///t.db"]
    with Running(*command, folder=tmp_path, env={"DISPLAY": screen.display}) as running:
        wait_until(lambda: screen.windows("yolotrack - scene"), "a window", PATIENCE)
        done = running.end()

    assert done.code == 0
    assert runs_in(tmp_path)[0]["tracked"] == "60"
    assert names_in(tmp_path) == {"t.db", "screen"}


def _moved(before: np.ndarray, after: np.ndarray) -> bool:
    return bool((before != after).any(axis=2).mean() > 0.01)


def _boxes(picture: np.ndarray) -> int:
    """Pixels in the strong colours that only annotations have: the street is pale."""
    values = picture.astype(int)
    return int(((values.max(axis=2) - values.min(axis=2)) > 200).sum())
