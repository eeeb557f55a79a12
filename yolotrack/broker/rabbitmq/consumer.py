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

from yolotrack.broker.rabbitmq.link import Link, log
from yolotrack.broker.rabbitmq.sick import SickQueues
from yolotrack.broker.rabbitmq.trouble import refusal
from yolotrack.errors import BrokerClosed, BrokerError

IDLE_SECONDS = 0.1
REOPEN_SECONDS = 0.5
ATTACH_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""Longest until a queue delivers or refuses; electing its leader takes some seconds."""
SILENT = f"no answer for {ANSWER_SECONDS:.0f} s"
RETRY_SECONDS = (5.0, 60.0)
"""First and longest pause between two tries at a queue that does not answer."""
NOT_READY = "does not have a replica on the local node"
"""What a node says of a log that it is still setting up, or that it never had a copy of."""
NOT_READY_TRIES = 6
"""Then another node is asked, where there is one."""
NOT_READY_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it came, with the channel that may answer it."""

    channel: Channel
    session: int
    life: int
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

    A queue that does not answer, as one that has lost most of its copies, blocks its channel, and takes the connection
    along in the end. So it gets a connection of its own, and is tried again there.
    """

    def __init__(
        self,
        link: Link,
        queue_name: str,
        declare: Callable[[Channel], None],
        prefetch: int,
        arguments: Callable[[int], dict[str, Any]] = lambda _life: {},
        *,
        sick: SickQueues,
    ) -> None:
        self._link = link
        self._sick = sick
        self._alone = False
        """Whether the link is for this consumer only."""
        self._try = 0
        self._retry_pause = RETRY_SECONDS[0]
        self._queue_name = queue_name
        self._declare = declare
        self._prefetch = prefetch
        self._arguments = arguments
        self._inbox: queue.SimpleQueue[Raw] = queue.SimpleQueue()
        self._channel: Channel | None = None
        self._error: BrokerError | None = None
        self._consuming = False
        self._not_ready = 0
        self._attached = threading.Event()
        self._closed = threading.Event()
        self.session = 0
        self.life = 0
        """Grows when the queue was deleted: the one that is declared in its place begins anew."""
        link.attach(self)

    def __iter__(self) -> Iterator[Raw | None]:
        """Messages in order; None on an idle tick; ends after `close`, or that of the link.

        `BrokerError` when it cannot go on.
        """
        while not self._closed.is_set():
            try:
                raw = self._inbox.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if isinstance(self._error, BrokerClosed):
                    return
                if self._error is not None:
                    raise self._error from None
                yield None
                continue
            if raw.session == self.session:
                yield raw

    def wait_attached(self) -> None:
        """Return when the broker delivers, or while it cannot be reached; `BrokerError` when it refuses."""
        self._attached.wait(ATTACH_SECONDS)
        if self._error is not None:
            raise self._error

    def backlog(self) -> int:
        """Messages that came and were not taken yet."""
        return self._inbox.qsize()

    def ack(self, raw: Raw) -> None:
        """Never again; without effect when its session is over."""
        self._answer(raw, lambda: raw.channel.basic_ack(raw.tag))

    def ack_up_to(self, raw: Raw) -> None:
        """The same for it and all that came before it in its session."""
        self._answer(raw, lambda: raw.channel.basic_ack(raw.tag, multiple=True))

    def reject(self, raw: Raw) -> None:
        """Again. Not nack: since RabbitMQ 4.3 that does not count towards the delivery limit."""
        self._answer(raw, lambda: raw.channel.basic_reject(raw.tag, requeue=True))

    def reopen(self) -> None:
        """Begin a new session: close the channel, which then comes back."""

        def leave() -> None:
            if self._channel is not None and self._channel.is_open:
                self._channel.close()
                self._expect_answer()

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

        if self._alone:
            self._link.close()
        elif self._link.call(leave):
            done.wait(timeout=5)
        self._sick.forget(self._queue_name, SILENT)

    def _answer(self, raw: Raw, answer: Callable[[], None]) -> None:
        def in_thread() -> None:
            if raw.channel is self._channel and raw.channel.is_open:
                answer()

        self._link.call(in_thread)

    # what follows runs in the link's thread

    def start(self, connection: Connection) -> None:
        if connection.is_open and not self._closed.is_set():
            self._expect_answer()
            connection.channel(on_open_callback=self._on_channel)

    def lost(self, error: BrokerError | None) -> None:
        self._channel = None
        self._error = self._error or error
        self._consuming = False
        if error is not None:
            self._attached.set()

    def _on_channel(self, channel: Channel) -> None:
        if self._closed.is_set() or not self._is_mine(channel):
            channel.close()
            return
        self._channel = channel
        self.session += 1
        session, life = self.session, self.life
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(lambda _: self._on_deleted(channel))
        self._declare(channel)

        def on_message(_: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            self._inbox.put(Raw(channel, session, life, method.delivery_tag, method.redelivered, properties, body))

        channel.basic_qos(prefetch_count=self._prefetch)
        channel.basic_consume(
            self._queue_name,
            on_message,
            arguments=self._arguments(self.life),
            callback=lambda _: self._on_attached(channel),
        )

    def _on_attached(self, channel: Channel) -> None:
        if channel is not self._channel:  # too late: what it was given goes back
            channel.close()
            return
        self._consuming = True
        self._not_ready = 0
        self._retry_pause = RETRY_SECONDS[0]
        self._sick.well(self._queue_name, SILENT)
        self._attached.set()

    def _is_mine(self, channel: Channel) -> bool:
        """Whether it came of the last try, and not of a connection that was left meanwhile."""
        return channel.connection is self._link.connection

    def _expect_answer(self) -> None:
        """Give the queue some time, from now, to deliver or to refuse."""
        self._try += 1
        number, self._consuming = self._try, False

        def look() -> None:
            if number == self._try and not self._consuming and not self._closed.is_set():
                self._sick.note(self._queue_name, SILENT)
                self._elsewhere(self._retry_pause)
                self._retry_pause = min(2 * self._retry_pause, RETRY_SECONDS[1])

        self._link.later(ANSWER_SECONDS, look)

    def _elsewhere(self, pause: float) -> None:
        """Try again on a connection of its own, to the next node; after a pause where it has one already."""
        self._try += 1
        self.session += 1
        self._channel = None
        if self._alone:
            self._link.restart(pause)
            return
        self._link.detach(self)
        self._link, self._alone = self._link.alone(f"consume {self._queue_name}"), True
        self._link.attach(self)

    def _on_deleted(self, channel: Channel) -> None:
        log.error("queue deleted by someone, declaring it again queue=%s", self._queue_name)
        self.life += 1
        if channel.is_open:
            channel.close()

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel or not channel.connection.is_open:
            return
        # once it consumes, a refusal is about what is passing: say, an answer that took too long
        not_ready = NOT_READY in str(reason)
        self._not_ready += not_ready
        tries_left = not_ready and self._not_ready <= NOT_READY_TRIES * NOT_READY_ROUNDS
        self.lost(None if self._consuming or tries_left else refusal(reason))
        if self._error is not None:
            return
        if not_ready and self._not_ready % NOT_READY_TRIES == 0:
            self._elsewhere(REOPEN_SECONDS)
        else:
            self._link.later(REOPEN_SECONDS, lambda: self.start(channel.connection))
