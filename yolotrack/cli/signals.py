"""What Ctrl-C means: before there is anything to keep, leave; then once, drain and keep everything; twice, leave."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from types import FrameType


def leaving() -> AbstractContextManager[None]:
    """SIGTERM raises KeyboardInterrupt as SIGINT does, so that both clean up. Main thread only."""
    return _on_signals(_leave)


def draining(stop: Event, announce: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
    """The first SIGINT or SIGTERM sets `stop`; the second raises KeyboardInterrupt. Main thread only.

    `announce` is called at the first, between any two instructions: it may only take a note.
    """

    def drain() -> None:
        if stop.is_set():
            _leave()
        stop.set()
        announce()

    return _on_signals(drain)


def _leave() -> None:
    raise KeyboardInterrupt


@contextmanager
def _on_signals(do: Callable[[], None]) -> Iterator[None]:
    def handler(_number: int, _frame: FrameType | None) -> None:
        do()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
