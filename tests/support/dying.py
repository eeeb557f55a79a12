"""The installed command, in a process that meets its fate at a named point: `dying POINT COUNT ARGUMENTS...`.

The points of tracking are those between which a crash must lose nothing and double nothing; COUNT says the how
manieth time. `frozen-before-commit` stops the process there (SIGSTOP) instead of killing it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from yolotrack.broker.rabbitmq.broker import RabbitBroker
from yolotrack.broker.rabbitmq.publisher import Publisher
from yolotrack.cli import main
from yolotrack.store.sql import SQLStore

KILLING = ("before-commit", "after-commit", "after-publish", "after-confirm")
FREEZING = "frozen-before-commit"


class Fate:
    """Strikes the `count`-th time it is met."""

    def __init__(self, count: int, number: signal.Signals) -> None:
        self._left = count
        self._number = number

    def meet(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._number)
            threading.Event().wait(1.0)  # a stop reaches the other threads first, and this one a little later


def around(owner: type, name: str, before: Callable[..., Any], after: Callable[..., Any]) -> None:
    """Call `before` and `after` with the arguments of every call of a method."""
    method = getattr(owner, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        before(*arguments)
        result = method(*arguments, **options)
        after(*arguments)
        return result

    setattr(owner, name, wrapped)


def nothing(*_: Any) -> None:
    """No fate."""


def arrange(point: str, fate: Fate) -> None:
    """Let the fate wait at the point."""

    def if_to_tracks(_: RabbitBroker, topic: str, *messages: Any) -> None:
        if topic.startswith("tracks.") and messages:
            fate.meet()

    def if_tracks_confirmed(publisher: Publisher, _channel: Any, frame: Any) -> None:
        tag, several = frame.method.delivery_tag, frame.method.multiple
        confirmed = [p for t, p in publisher._unconfirmed.items() if t == tag or (several and t < tag)]
        if any(parcel.topic.startswith("tracks.") for parcel in confirmed):
            fate.meet()

    if point in ("before-commit", FREEZING):
        around(SQLStore, "commit", lambda *_: fate.meet(), nothing)
    elif point == "after-commit":
        around(SQLStore, "commit", nothing, lambda *_: fate.meet())
    elif point == "after-publish":  # the broker has it, and this process never learns that it has
        around(Publisher, "_on_confirm", if_tracks_confirmed, nothing)
    elif point == "after-confirm":
        around(RabbitBroker, "publish", nothing, if_to_tracks)
    else:
        raise SystemExit(f"no point {point}")


if __name__ == "__main__":
    _point, _count, *_arguments = sys.argv[1:]
    arrange(_point, Fate(int(_count), signal.SIGSTOP if _point == FREEZING else signal.SIGKILL))
    sys.argv = ["yolotrack", *_arguments]
    main()
