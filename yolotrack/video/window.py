"""A window that shows pictures, where there is a screen."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Event

from yolotrack.errors import OutputError
from yolotrack.model import Pixels

QUIT_KEYS = frozenset({"q", "\x1b"})
PATIENCE_SECONDS = 60.0
"""For a window to open on a busy machine."""
LARGEST = (1600, 900)
"""How large a window opens at most; whoever sits in front of it may make it larger."""
_PROBE = "import cv2; cv2.namedWindow('yolotrack'); cv2.destroyAllWindows()"


class Window:
    """One window per name, with the newest picture. q, Esc or closing a window sets `stop`.

    Every call from one thread, on macOS the main one.
    """

    def __init__(self, stop: Event, *, instead: str = "leave out --show, or give it a display") -> None:
        """Raises `OutputError`, which says what to do `instead`, where no window can be opened."""
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # OpenCV brings no fonts for its toolbar
        _check(instead)
        _give_qt_its_events()
        self._stop = stop
        self.on_key: Callable[[str], None] = lambda _: None
        """Told of every other key."""
        self._opened: dict[str, tuple[str, int, int]] = {}
        """Title of each, and size of its last picture."""

    def show(self, stream: str, pixels: Pixels) -> None:
        """Show a picture in the window of a stream, and look at the keyboard."""
        self.show_as(stream, f"yolotrack - {stream}", pixels)

    def show_as(self, name: str, title: str, pixels: Pixels) -> None:
        """The same in the window of that name, which bears that title from now on."""
        import cv2

        if self._stop.is_set():
            return
        if name not in self._opened:
            cv2.namedWindow(name, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        elif cv2.getWindowProperty(name, cv2.WND_PROP_VISIBLE) < 1:
            self._stop.set()
            return
        self._dress(name, title, pixels.shape[1], pixels.shape[0])
        cv2.imshow(name, pixels)
        self._take_key(key_of(cv2.waitKeyEx(1)))

    def close(self) -> None:
        """Close what was opened; idempotent."""
        import cv2

        for name in self._opened:
            cv2.destroyWindow(name)
        self._opened = {}

    def _dress(self, name: str, title: str, width: int, height: int) -> None:
        """Give it a title, and a size that fits the picture; whoever changed its size keeps that until the next."""
        import cv2

        known = self._opened.get(name, ("", 0, 0))
        if known[0] != title:
            cv2.setWindowTitle(name, title)
        if known[1:] != (width, height):
            scale = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
            cv2.resizeWindow(name, round(width * scale), round(height * scale))
        self._opened[name] = (title, width, height)

    def _take_key(self, key: str) -> None:
        if key in QUIT_KEYS:
            self._stop.set()
        elif key:
            self.on_key(key)


def key_of(code: int) -> str:
    """The character of a key, as OpenCV codes it; empty for any other key, and for none.

    The lower half is the character on every system, and ASCII there. Arrows and their kin are 0xFF51 to X, whose last
    byte looks like a letter, 0xF702 to macOS, and nothing in the lower half to Windows. GTK has modifiers in the upper.
    """
    plain = code & 0xFFFF
    return chr(plain) if 0 < plain < 0x80 else ""


def _give_qt_its_events() -> None:
    """Load the system's libX11-xcb before Qt does its own, on Linux.

    OpenCV's wheel brings a libX11-xcb that is older than the system's libX11 and writes beside the field that says who
    owns X's events. libX11 then swallows some while a window opens; without its MapNotify a window stays black.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            ctypes.CDLL("libX11-xcb.so.1", mode=ctypes.RTLD_GLOBAL)


def _check(instead: str) -> None:
    """Open a window in a process of its own: where there is no display, Qt ends the whole process."""
    try:
        done = subprocess.run(  # noqa: S603  # nothing in it comes from outside
            [sys.executable, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OutputError(f"no window can be opened: the display does not answer; {instead}") from None
    if done.returncode:
        why = "this OpenCV has no windows" if b"not implemented" in done.stderr else "there is no display to reach"
        raise OutputError(f"no window can be opened: {why}; {instead}")
