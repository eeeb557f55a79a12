"""Readers of logs, which are RabbitMQ streams."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from yolotrack import wire
from yolotrack.broker.base import Start
from yolotrack.broker.rabbitmq.consumer import Consumer
from yolotrack.broker.rabbitmq.link import Link
from yolotrack.broker.rabbitmq.sick import SickQueues
from yolotrack.broker.rabbitmq.topology import Topology
from yolotrack.errors import WireError
from yolotrack.model import Message, utc_now

PREFETCH = 64
ANSWER_EVERY = 16
"""A stream's acknowledgement only says: send more. Each wakes the connection up, so it is said of many at once."""
NEWEST = 16
"""Pictures that may wait for a reader from "now" before it skips to the newest."""
WATCHDOG_SECONDS = 5.0
"""A log that says nothing for so long is opened again: after a restart a stream may be away for seconds."""


class RabbitLogReader:
    """A reader of a stream queue. What it has not taken when the connection breaks, it reads again from its place."""

    def __init__(self, link: Link, topology: Topology, log: str, start: Start, sick: SickQueues) -> None:
        self._skipping = start == "now" and log.startswith("video.")
        self._start: Any = {"start": "first", "now": "next"}.get(start, start) if isinstance(start, str) else start
        self._position: int | None = start if isinstance(start, int) else None
        self._life = 0
        self._consumer = Consumer(
            link,
            topology.queue(log),
            lambda channel: topology.declare(channel, log),
            PREFETCH,
            self._begin,
            sick=sick,
        )
        self._consumer.wait_attached()

    def _begin(self, life: int) -> dict[str, Any]:
        """Where to begin, for the first time or again. Offsets mean nothing in a log that took another's place."""
        if self._life != life:
            return {"x-stream-offset": "first"}
        if self._position is not None:
            return {"x-stream-offset": self._position}
        start = self._start
        if start == "next":
            self._start = utc_now()  # should this be opened again before anything came: from here, and not from then
        return {"x-stream-offset": start}

    @property
    def position(self) -> int:
        return self._position or 0

    def __iter__(self) -> Iterator[Message | None]:
        heard = time.monotonic()
        for raw in self._consumer:
            if raw is None:
                if time.monotonic() - heard > WATCHDOG_SECONDS:
                    self._consumer.reopen()
                    heard = time.monotonic()
                yield None
                continue
            heard = time.monotonic()
            if raw.tag % ANSWER_EVERY == 0:  # tags count from 1 in every session
                self._consumer.ack_up_to(raw)
            if raw.life != self._life:
                self._life, self._position = raw.life, None
            offset = int(raw.headers.get("x-stream-offset", 0))
            if self._position is not None and offset < self._position:
                continue
            self._position = offset + 1
            if self._skipping and self._consumer.backlog() > NEWEST:
                continue
            try:
                yield wire.decode(raw.body)
            except WireError:
                continue  # a log keeps what it was given; whoever wrote that is not heard

    def close(self) -> None:
        self._consumer.close()
