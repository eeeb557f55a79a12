"""A window that shows pictures, where there is a screen."""

from __future__ import annotations

import os
import sys
from threading import Event

from yolotrack.errors import OutputError
from yolotrack.model import Pixels

QUIT_KEYS = frozenset({ord("q"), 27})


class Window:
    """One window per stream, with the newest picture. q, Esc or closing a window sets `stop`.

    Every call from one thread, on macOS the main one.
    """

    def __init__(self, stop: Event) -> None:
        """Raises `OutputError` where there is no display."""
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise OutputError("no window can be opened: there is no display; leave out --show, or set DISPLAY")
        self._stop = stop
        self._shown: set[str] = set()

    def show(self, stream: str, pixels: Pixels) -> None:
        """Show a picture, and look at the keyboard."""
        import cv2

        if self._stop.is_set():
            return
        title = f"yolotrack - {stream}"
        if title in self._shown and cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
            self._stop.set()
            return
        cv2.imshow(title, pixels)
        self._shown.add(title)
        if cv2.waitKey(1) & 0xFF in QUIT_KEYS:
            self._stop.set()

    def close(self) -> None:
        """Close what was opened; idempotent."""
        import cv2

        for title in self._shown:
            cv2.destroyWindow(title)
        self._shown = set()
