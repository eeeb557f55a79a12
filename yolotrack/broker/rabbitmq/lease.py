"""The lease that says who feeds a stream."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pika.channel import Channel
from pika.connection import Connection

from yolotrack.broker.rabbitmq.asker import ANSWER_SECONDS, NOT_FOUND, RESOURCE_LOCKED
from yolotrack.broker.rabbitmq.link import Link, log
from yolotrack.broker.rabbitmq.trouble import channel_trouble
from yolotrack.errors import BrokerError, StreamBusy

RETRY_SECONDS = 1.0
TAKE_SECONDS = 30.0
"""Longest wait for a lease on an open connection. The node that an earlier one died with may have to be given up."""


class Lease:
    """The right to feed a stream: an exclusive queue, gone when its connection is. A context manager.

    When the connection is lost it is taken again as soon as there is one, which a broker that has not noticed the
    end of the old connection yet may refuse for a while.
    """

    def __init__(self, link: Link, queue: str, stream: str) -> None:
        """Raises `StreamBusy` when another publisher holds it."""
        self._link = link
        self._queue = queue
        self._stream = stream
        self._channel: Channel | None = None
        self._held: Future[None] = Future()
        self._breaks = 0
        self._is_held = False
        self._give_up = time.monotonic() + TAKE_SECONDS
        link.attach(self)
        try:
            self._wait()
        except BaseException:
            self._link.detach(self)
            raise

    def _wait(self) -> None:
        """Until it is held, or refused; a broker that is away is waited for as long as the link does."""
        while True:
            try:
                return self._held.result(TAKE_SECONDS + ANSWER_SECONDS)
            except FutureTimeout:
                if self._link.is_open:
                    raise BrokerError(
                        f"cannot feed the stream {self._stream}: the broker does not answer; try again later"
                    ) from None

    @property
    def breaks(self) -> int:
        return self._breaks

    @property
    def is_held(self) -> bool:
        return self._is_held

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the stream free; returns when that is done. Idempotent."""
        self._link.detach(self)
        done = threading.Event()

        def leave() -> None:
            channel, self._channel = self._channel, None
            if channel is not None and channel.is_open:
                channel.queue_delete(self._queue, callback=lambda _: done.set())
            else:
                done.set()

        if self._link.call(leave):
            done.wait(timeout=ANSWER_SECONDS)

    # what follows runs in the link's thread

    def start(self, connection: Connection) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def lost(self, error: BrokerError | None) -> None:
        self._channel = None
        self._let_go()
        if error is not None and not self._held.done():
            self._held.set_exception(error)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_closed)
        channel.queue_declare(self._queue, exclusive=True, callback=self._on_declared)

    def _let_go(self) -> None:
        self._breaks += self._is_held
        self._is_held = False

    def _on_declared(self, _: Any) -> None:
        self._is_held = True
        if not self._held.done():
            self._held.set_result(None)

    def _on_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel or not channel.connection.is_open:
            return
        self._channel = None
        self._let_go()
        if self._held.done():
            log.warning("lease stream=%s not given back to us yet", self._stream)
            self._link.later(RETRY_SECONDS, lambda: self._again(channel.connection))
        elif getattr(reason, "reply_code", 0) == NOT_FOUND and time.monotonic() < self._give_up:
            self._link.later(RETRY_SECONDS, lambda: self._again(channel.connection))  # it was at a node that is gone
        elif getattr(reason, "reply_code", 0) == RESOURCE_LOCKED:
            self._held.set_exception(
                StreamBusy(f"another publisher feeds the stream {self._stream}; choose another name with --stream")
            )
        else:
            self._held.set_exception(BrokerError(f"cannot feed the stream {self._stream}: {channel_trouble(reason)}"))

    def _again(self, connection: Connection) -> None:
        if connection.is_open and self._channel is None:
            self.start(connection)
