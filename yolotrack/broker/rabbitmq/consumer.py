"""Consuming: a channel each, deliveries handed to the thread that iterates, answers handed back to the connection's."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pika
from pika.channel import Channel
from pika.connection import Connection

from yolotrack.broker.rabbitmq.link import Link
from yolotrack.broker.rabbitmq.publisher import _refusal
from yolotrack.errors import BrokerError

IDLE_SECONDS = 0.1
REOPEN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it came, with the channel that may answer it."""

    channel: Channel
    session: int
    tag: int
    redelivered: bool
    properties: pika.BasicProperties
    body: bytes

    @property
    def headers(self) -> dict[str, Any]:
        """The table of headers; empty where there is none."""
        return self.properties.headers or {}


class Consumer:
    """A part of a link that consumes one queue. Iterated by one thread; `close` and answers from any.

    `session` counts the channels so far: what was delivered in an earlier one went back to the queue.
    """

    def __init__(
        self,
        link: Link,
        queue_name: str,
        declare: Callable[[Channel], None],
        prefetch: int,
        arguments: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._link = link
        self._queue_name = queue_name
        self._declare = declare
        self._prefetch = prefetch
        self._arguments = arguments
        self._inbox: queue.SimpleQueue[Raw] = queue.SimpleQueue()
        self._channel: Channel | None = None
        self._error: BrokerError | None = None
        self._closed = threading.Event()
        self.session = 0
        link.attach(self)

    def __iter__(self) -> Iterator[Raw | None]:
        """Messages in order; None on an idle tick; ends after `close`. `BrokerError` when it cannot go on."""
        while not self._closed.is_set():
            try:
                raw = self._inbox.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if self._error is not None:
                    raise self._error from None
                yield None
                continue
            if raw.session == self.session:
                yield raw

    def backlog(self) -> int:
        """Messages that came and were not taken yet."""
        return self._inbox.qsize()

    def ack(self, raw: Raw) -> None:
        """Never again; without effect when its session is over."""
        self._answer(raw, lambda: raw.channel.basic_ack(raw.tag))

    def reject(self, raw: Raw) -> None:
        """Again. Not nack: since RabbitMQ 4.3 that does not count towards the delivery limit."""
        self._answer(raw, lambda: raw.channel.basic_reject(raw.tag, requeue=True))

    def reopen(self) -> None:
        """Begin a new session: close the channel, which then comes back."""

        def leave() -> None:
            if self._channel is not None and self._channel.is_open:
                self._channel.close()

        self._link.call(leave)

    def close(self) -> None:
        """Stop; closing the channel gives back what has no answer. Returns when that is done. Idempotent."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._link.detach(self)
        done = threading.Event()

        def leave() -> None:
            channel, self._channel = self._channel, None
            if channel is not None and channel.is_open:
                channel.add_on_close_callback(lambda *_: done.set())
                channel.close()
            else:
                done.set()

        if self._link.call(leave):
            done.wait(timeout=5)

    def _answer(self, raw: Raw, answer: Callable[[], None]) -> None:
        def in_thread() -> None:
            if raw.channel.is_open:
                answer()

        self._link.call(in_thread)

    # what follows runs in the link's thread

    def start(self, connection: Connection) -> None:
        if not self._closed.is_set():
            connection.channel(on_open_callback=self._on_channel)

    def lost(self, error: BrokerError | None) -> None:
        self._channel = None
        self._error = self._error or error

    def _on_channel(self, channel: Channel) -> None:
        if self._closed.is_set():
            channel.close()
            return
        self._channel = channel
        self.session += 1
        session = self.session
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(lambda _: channel.close())  # the queue was deleted
        self._declare(channel)

        def on_message(_: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            self._inbox.put(Raw(channel, session, method.delivery_tag, method.redelivered, properties, body))

        channel.basic_qos(prefetch_count=self._prefetch)
        channel.basic_consume(self._queue_name, on_message, arguments=self._arguments())

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel or not channel.connection.is_open:
            return
        self.lost(_refusal(reason))
        if self._error is None:
            self._link.later(REOPEN_SECONDS, lambda: self.start(channel.connection))
