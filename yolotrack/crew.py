"""Threads that belong together, and the first error among them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Thread

from yolotrack.errors import BrokerClosed


class Crew:
    """Starts threads and keeps the first error. That the broker was closed is no error of the one who noticed."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.threads: list[Thread] = []

    def start(self, name: str, work: Callable[[], object], on_error: Callable[[], None] = lambda: None) -> Thread:
        """Run `work` in a thread of its own; should it raise, call `on_error` there."""

        def run() -> None:
            try:
                work()
            except BrokerClosed:
                pass
            except Exception as error:
                self.error = self.error or error
                on_error()

        thread = Thread(target=run, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread


def join(threads: Sequence[Thread], seconds: float) -> None:
    """Wait for all to end, together no longer than so many seconds."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0.0))
