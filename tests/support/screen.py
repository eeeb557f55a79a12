"""A screen that nobody sees: Xvfb, and xdotool to press keys on it."""

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

TOOLS = ("Xvfb", "xdotool")
SIZE = (1280, 800)


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
def virtual_screen(folder: Path) -> Iterator[Screen]:
    """A server on a display of its own choice, its picture mapped into `folder`; skips where there is none."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"windows are not tested: install {' and '.join(missing)} (Debian: xvfb, xdotool)")
    reader, writer = os.pipe()
    memory = folder / "screen"
    memory.mkdir()
    size = f"{SIZE[0]}x{SIZE[1]}x24"
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", size, "-fbdir", memory, "-nolisten", "tcp", "-noreset"],
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
