"""Questions to the broker about queues, none of which it makes."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pika.channel import Channel
from pika.connection import Connection

from yolotrack.broker.base import Attendance
from yolotrack.broker.rabbitmq.link import Link
from yolotrack.errors import BrokerError

ANSWER_SECONDS = 5.0
NOT_FOUND, RESOURCE_LOCKED = 404, 405


class Asker:
    """A part of a link that asks for queues without making them. Any thread may ask; one question at a time."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._channel: Channel | None = None
        self._question: tuple[str, Future[Attendance]] | None = None
        self._error: BrokerError | None = None
        link.attach(self)

    def ready(self, queue: str, seconds: float = ANSWER_SECONDS) -> int | None:
        """Messages ready in a queue; None where there is no such queue; a large number when no answer comes in time.

        `BrokerError` when there will be no connection any more.
        """
        try:
            return self._ask(queue, seconds).waiting
        except _NoQueue:
            return None
        except (FutureTimeout, _Locked):
            return 1 << 30

    def attendance(self, queue: str) -> Attendance | None:
        """Who is there for a queue: nobody where there is none; None when no answer comes in time. As `ready`."""
        try:
            return self._ask(queue, ANSWER_SECONDS)
        except _NoQueue:
            return Attendance(0, 0)
        except (FutureTimeout, _Locked):
            return None

    def exists(self, queue: str) -> bool:
        """Whether a queue is there, or may be: no answer counts as yes. Errors as of `ready`."""
        try:
            self._ask(queue, ANSWER_SECONDS)
        except _NoQueue:
            return False
        except (FutureTimeout, _Locked):
            pass
        return True

    def _ask(self, queue: str, seconds: float) -> Attendance:
        with self._lock:
            answer: Future[Attendance] = Future()
            self._question = (queue, answer)
            self._link.call(self._send)
            if self._error is not None:
                raise self._error
            try:
                return answer.result(timeout=seconds)
            except FutureTimeout:
                self._link.call(self._leave_channel)
                raise
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
                answer.set_result(Attendance(frame.method.message_count, frame.method.consumer_count))

        channel.queue_declare(queue, passive=True, callback=on_answer)

    def _leave_channel(self) -> None:
        """The next question shall not wait behind one that has no answer."""
        channel, self._channel = self._channel, None
        if channel is not None and channel.is_open:
            channel.close()
            self.start(channel.connection)

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


class _NoQueue(Exception):
    """There is no such queue."""


class _Locked(Exception):
    """The queue belongs to another connection."""
