"""Questions to the broker, and the lease that says who feeds a stream."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pika.channel import Channel
from pika.connection import Connection

from yolotrack.broker.rabbitmq.link import Link, log
from yolotrack.errors import BrokerError, StreamBusy

ANSWER_SECONDS = 5.0
RETRY_SECONDS = 1.0
NOT_FOUND, RESOURCE_LOCKED = 404, 405


class Asker:
    """A part of a link that asks for queues without making them. Any thread may ask; one question at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._question: tuple[str, Future[int]] | None = None
        self._error: BrokerError | None = None
        link.attach(self)

    def ready(self, queue: str, seconds: float = ANSWER_SECONDS) -> int | None:
        """Messages ready in a queue; None where there is no such queue; a large number when no answer comes in time.

        `BrokerError` when there will be no connection any more.
        """
        try:
            return self._ask(queue, seconds)
        except _NoQueue:
            return None
        except (FutureTimeout, _Locked):
            return 1 << 30

    def exists(self, queue: str) -> bool:
        """Whether a queue is there, or may be: no answer counts as yes. Errors as of `ready`."""
        try:
            self._ask(queue, ANSWER_SECONDS)
        except _NoQueue:
            return False
        except (FutureTimeout, _Locked):
            pass
        return True

    def _ask(self, queue: str, seconds: float) -> int:
        with self._lock:
            answer: Future[int] = Future()
            self._question = (queue, answer)
            self._link.call(self._send)
            if self._error is not None:
                raise self._error
            try:
                return answer.result(timeout=seconds)
            finally:
                self._question = None

    # what follows runs in the link's thread

    def start(self, connection: Connection) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def lost(self, error: BrokerError | None) -> None:
        self._channel = None
        if error is not None:
            self._error = error
            self._settle(error)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_closed)
        self._send()

    def _send(self) -> None:
        channel, question = self._channel, self._question
        if question is None or channel is None or not channel.is_open:
            return  # the next channel takes the question along, or the asker's patience ends it
        queue, answer = question

        def on_answer(frame: Any) -> None:
            if not answer.done():
                answer.set_result(frame.method.message_count)

        channel.queue_declare(queue, passive=True, callback=on_answer)

    def _settle(self, error: Exception) -> None:
        question = self._question
        if question is not None and not question[1].done():
            question[1].set_exception(error)

    def _on_closed(self, channel: Channel, reason: Exception) -> None:
        refusal = {NOT_FOUND: _NoQueue, RESOURCE_LOCKED: _Locked}.get(getattr(reason, "reply_code", 0))
        question = self._question
        if refusal is not None and question is not None and f"'{question[0]}'" in getattr(reason, "reply_text", ""):
            self._settle(refusal())
        if channel is self._channel:
            self._channel = None
            if channel.connection.is_open:
                self.start(channel.connection)


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
        link.attach(self)
        try:
            self._held.result()
        except BaseException:
            self._link.detach(self)
            raise

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
        if error is not None and not self._held.done():
            self._held.set_exception(error)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_closed)
        channel.queue_declare(self._queue, exclusive=True, callback=self._on_declared)

    def _on_declared(self, _: Any) -> None:
        if not self._held.done():
            self._held.set_result(None)

    def _on_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel or not channel.connection.is_open:
            return
        self._channel = None
        if self._held.done():
            log.warning("lease stream=%s not given back to us yet", self._stream)
            self._link.later(RETRY_SECONDS, lambda: self._again(channel.connection))
        elif getattr(reason, "reply_code", 0) == RESOURCE_LOCKED:
            self._held.set_exception(
                StreamBusy(f"another publisher feeds the stream {self._stream}; choose another name with --stream")
            )
        else:
            self._held.set_exception(BrokerError(f"cannot feed the stream {self._stream}: {reason}"))

    def _again(self, connection: Connection) -> None:
        if connection.is_open and self._channel is None:
            self.start(connection)


class _NoQueue(Exception):
    """There is no such queue."""


class _Locked(Exception):
    """The queue belongs to another connection."""
