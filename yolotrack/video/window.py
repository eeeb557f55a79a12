"""A window that shows pictures, where there is a screen."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Event

from yolotrack.errors import OutputError
from yolotrack.model import Pixels

QUIT_KEYS = frozenset({ord("q"), 27})
PATIENCE_SECONDS = 60.0
"""For a window to open on a busy machine."""
_PROBE = "import cv2; cv2.namedWindow('yolotrack'); cv2.destroyAllWindows()"


class Window:
    """One window per stream, with the newest picture. q, Esc or closing a window sets `stop`.

    Every call from one thread, on macOS the main one.
    """

    def __init__(self, stop: Event) -> None:
        """Raises `OutputError` where no window can be opened."""
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # OpenCV brings no fonts for its toolbar
        _check()
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


def _check() -> None:
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
        raise OutputError("no window can be opened: the display does not answer; leave out --show") from None
    if done.returncode:
        why = "this OpenCV has no windows" if b"not implemented" in done.stderr else "there is no display to reach"
        raise OutputError(f"no window can be opened: {why}; leave out --show, or give it a display")
