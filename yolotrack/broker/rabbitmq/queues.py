"""Subscriptions to queues: deliveries, and what was given up on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeAlias

from yolotrack import wire
from yolotrack.broker.base import DEAD, QUARANTINE, FramePlace
from yolotrack.broker.rabbitmq.consumer import Consumer, Raw
from yolotrack.errors import WireError
from yolotrack.model import FrameLost, Message, Outcome

Bury: TypeAlias = Callable[[str, Raw, str], None]
"""Copies a message to a queue for the dead, body as it came, with its reason; returns when the broker has it."""


class RabbitDelivery:
    """A message on loan from a queue."""

    __slots__ = ("_bury", "_consumer", "_raw", "message")

    def __init__(self, bury: Bury, consumer: Consumer, raw: Raw, message: Message) -> None:
        self._bury = bury
        self._consumer = consumer
        self._raw = raw
        self.message = message

    @property
    def redelivered(self) -> bool:
        return self._raw.redelivered

    @property
    def session(self) -> int:
        return self._raw.session

    def ack(self) -> None:
        self._consumer.ack(self._raw)

    def reject(self) -> None:
        self._consumer.reject(self._raw)

    def dead_letter(self, reason: str) -> None:
        self._bury(DEAD, self._raw, reason)
        self._consumer.ack(self._raw)


class RabbitSubscription:
    """A share of a queue; a message that cannot be read is dead-lettered here and never seen."""

    def __init__(self, bury: Bury, consumer: Consumer) -> None:
        self._bury = bury
        self._consumer = consumer

    @property
    def ready(self) -> bool:
        return self._consumer.backlog() > 0

    def __iter__(self) -> Iterator[RabbitDelivery | None]:
        for raw in self._consumer:
            if raw is None:
                yield None
                continue
            try:
                message = wire.decode(raw.body)
            except WireError as error:
                self._bury(DEAD, raw, str(error))
                self._consumer.ack(raw)
                continue
            yield RabbitDelivery(self._bury, self._consumer, raw, message)

    def close(self) -> None:
        self._consumer.close()


class RabbitDeadLetter:
    """A message that was given up on."""

    __slots__ = ("_bury", "_consumer", "_raw")

    def __init__(self, bury: Bury, consumer: Consumer, raw: Raw) -> None:
        self._bury = bury
        self._consumer = consumer
        self._raw = raw

    @property
    def place(self) -> FramePlace | None:
        return _place(self._raw.headers)

    @property
    def reason(self) -> str:
        return _reason(self._raw.headers)

    def ack(self) -> None:
        self._consumer.ack(self._raw)

    def quarantine(self) -> None:
        self._bury(QUARANTINE, self._raw, self.reason)
        self._consumer.ack(self._raw)


class RabbitDeadLetters:
    """A share of the dead-letter queue."""

    def __init__(self, bury: Bury, consumer: Consumer) -> None:
        self._bury = bury
        self._consumer = consumer

    def __iter__(self) -> Iterator[RabbitDeadLetter | None]:
        for raw in self._consumer:
            yield None if raw is None else RabbitDeadLetter(self._bury, self._consumer, raw)

    def close(self) -> None:
        self._consumer.close()


def _place(headers: dict[str, Any]) -> FramePlace | None:
    """The frame that a message was about, if its headers hold together."""
    try:
        lost = FrameLost(
            str(headers["run_id"]),
            str(headers["stream"]),
            int(headers["index"]),
            float(headers["media_time"]),
            datetime.fromisoformat(headers["captured_at"]),
            Outcome.FAILED,
            "",
        )
        wire.decode(wire.encode(lost))  # the wire is strict about names, ids and numbers
    except (KeyError, ValueError, TypeError, WireError):
        return None
    return FramePlace(lost.run_id, lost.stream, lost.index, lost.media_time, lost.captured_at)


def _reason(headers: dict[str, Any]) -> str:
    if "reason" in headers:
        return str(headers["reason"])
    deaths = headers.get("x-death") or [{}]
    cause = str(deaths[0].get("reason", "unknown"))
    return "its worker died every time" if cause == "delivery_limit" else f"given up by the broker: {cause}"
