"""Waiting for conditions, never for time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DEADLINE = 10.0
"""Seconds until a condition that should come true is given up on."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.1
"""Seconds between two looks."""


def wait_until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> None:
    """Return once `condition()` is true; fail, naming `what`, when it is not in time.

    Looking takes a fifth of the time at most: what is waited for needs the processor too.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    began = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now < deadline, f"waited {seconds} s in vain: {what}"
        pause.wait(max(SHORTEST_PAUSE, min(4 * (now - began), LONGEST_PAUSE)))
        began = time.monotonic()


class Background:
    """A call in a thread of its own; its result or its exception is asked for later."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._result: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self, seconds: float = DEADLINE) -> Any:
        """What the call returned; raises what it raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"still running after {seconds} s"
        if self.error is not None:
            raise self.error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self.error = error


@contextmanager
def no_thread_left(seconds: float = DEADLINE) -> Iterator[None]:
    """Fail when a thread that began inside is still there at the end."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: not _new_threads(before), "threads to end", seconds)


def _new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before]
