"""The contract of `Broker` on RabbitMQ."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from typing import Any

import pika

from yolotrack import wire
from yolotrack.broker.base import (
    DEAD,
    FRAMES,
    QUARANTINE,
    FramePlace,
    Start,
    video_log,
)
from yolotrack.broker.rabbitmq.asker import ANSWER_SECONDS, Asker, Lease
from yolotrack.broker.rabbitmq.consumer import Consumer, Raw
from yolotrack.broker.rabbitmq.link import Link
from yolotrack.broker.rabbitmq.publisher import Parcel, Publisher
from yolotrack.broker.rabbitmq.topology import Route, Topology
from yolotrack.errors import BrokerClosed, WireError
from yolotrack.model import (
    Barrier,
    Frame,
    FrameLost,
    Message,
    ModelPinned,
    Outcome,
    RunEnded,
    RunStarted,
    new_barrier,
    utc_now,
)

LOG_PREFETCH = 64
NEWEST = 16
"""Pictures that may wait for a reader from "now" before it skips to the newest."""
WATCHDOG_SECONDS = 5.0
"""A log that says nothing for so long is opened again: after a restart a stream may be away for seconds."""
FRAMES_UNDER_WAY = 16
"""Frames that a publisher may be ahead of their confirms."""
ROOM_SECONDS = 0.02
"""Between two looks at a full work queue."""
CLOCK_SKEW_SECONDS = 600.0
PERSISTENT = 2


class RabbitDelivery:
    """A message on loan from a queue."""

    __slots__ = ("_broker", "_consumer", "_raw", "message")

    def __init__(self, broker: RabbitBroker, consumer: Consumer, raw: Raw, message: Message) -> None:
        self._broker = broker
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
        self._broker.bury(DEAD, self._raw, reason)
        self._consumer.ack(self._raw)


class RabbitSubscription:
    """A share of a queue; a message that cannot be read is dead-lettered here and never seen."""

    def __init__(self, broker: RabbitBroker, consumer: Consumer) -> None:
        self._broker = broker
        self._consumer = consumer

    def __iter__(self) -> Iterator[RabbitDelivery | None]:
        for raw in self._consumer:
            if raw is None:
                yield None
                continue
            try:
                message = wire.decode(raw.body)
            except WireError as error:
                self._broker.bury(DEAD, raw, str(error))
                self._consumer.ack(raw)
                continue
            yield RabbitDelivery(self._broker, self._consumer, raw, message)

    def close(self) -> None:
        self._consumer.close()


class RabbitDeadLetter:
    """A message that was given up on."""

    __slots__ = ("_broker", "_consumer", "_raw")

    def __init__(self, broker: RabbitBroker, consumer: Consumer, raw: Raw) -> None:
        self._broker = broker
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
        self._broker.bury(QUARANTINE, self._raw, self.reason)
        self._consumer.ack(self._raw)


class RabbitDeadLetters:
    """A share of the dead-letter queue."""

    def __init__(self, broker: RabbitBroker, consumer: Consumer) -> None:
        self._broker = broker
        self._consumer = consumer

    def __iter__(self) -> Iterator[RabbitDeadLetter | None]:
        for raw in self._consumer:
            yield None if raw is None else RabbitDeadLetter(self._broker, self._consumer, raw)

    def close(self) -> None:
        self._consumer.close()


class RabbitLogReader:
    """A reader of a stream queue. What it has not taken when the connection breaks, it reads again from its place."""

    def __init__(self, link: Link, topology: Topology, log: str, start: Start | datetime) -> None:
        self._skipping = start == "now" and log.startswith("video.")
        self._start: Any = {"start": "first", "now": "next"}.get(start, start) if isinstance(start, str) else start
        self._position: int | None = start if isinstance(start, int) else None
        self._life = 0
        self._consumer = Consumer(
            link,
            topology.queue(log),
            lambda channel: topology.declare(channel, log),
            LOG_PREFETCH,
            self._begin,
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
            self._consumer.ack(raw)  # a stream's ack only says: send more
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


class RabbitBroker:
    """One process's place at a RabbitMQ: a connection that publishes, and one that consumes.

    An alarm stops publishing connections; so consuming and acknowledging go on over their own.
    """

    def __init__(self, url: str, topology: Topology, patience: float) -> None:
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # what matters of it is logged here, in our words
        self._topology = topology
        self._closed = threading.Event()
        self._room = 0
        self._under_way: deque[Parcel] = deque()
        self._out = Link(url, "publish", patience)
        self._in = Link(url, "consume", patience)
        self._publisher = Publisher(self._out)
        self._asker = Asker(self._in)
        try:
            self._out.wait_ready()
            self._in.wait_ready()
        except BaseException:
            self.close()
            raise

    def publish(self, topic: str, *messages: Message) -> None:
        self._publisher.send([self._parcel(topic, message) for message in messages])

    def publish_frame(self, frame: Frame, *, detect: bool = True) -> None:
        route: Route = "detect" if detect else "skip"
        topology = self._topology
        parcel = Parcel(
            topology.exchange,
            topology.route(route, frame.stream),
            _properties(frame),
            wire.encode(frame),
            lambda channel: topology.declare_stream(channel, frame.stream),
            f"stream {frame.stream}",
        )
        self._refuse_when_closed()
        self._under_way.append(parcel)
        self._publisher.post([parcel])
        self._settle(FRAMES_UNDER_WAY)

    def settle(self) -> None:
        self._settle(0)

    def _settle(self, allowed: int) -> None:
        """Wait until no more frames than that are without a confirm."""
        while len(self._under_way) > allowed:
            with suppress(IndexError, ValueError):  # another thread was quicker
                oldest = self._under_way[0]
                self._publisher.wait(oldest)
                self._under_way.remove(oldest)

    def has_room(self) -> bool:
        return self._waiting() < self._topology.live_frames

    def wait_for_room(self, seconds: float) -> bool:
        """Asks once for many frames: half of the room there is may be filled before it is looked at again."""
        if self._room > 0:
            self._room -= 1
            return True
        deadline = time.monotonic() + seconds
        while (room := self._topology.max_frames - self._waiting()) <= 0:
            if time.monotonic() >= deadline:
                return False
            self._closed.wait(ROOM_SECONDS)
        self._room = room // 2
        return True

    def feed(self, stream: str) -> Lease:
        return Lease(self._out, self._topology.lease(stream), stream)

    def is_fed(self, stream: str) -> bool:
        return self._asker.exists(self._topology.lease(stream))

    def frames_published(self, run_id: str, stream: str, since: datetime) -> int:
        """Reads the video log from `since` up to a barrier of its own."""
        self._refuse_when_closed()
        barrier = new_barrier()
        start = datetime.fromtimestamp(since.timestamp() - CLOCK_SKEW_SECONDS, since.tzinfo)
        count = 0
        with closing(RabbitLogReader(self._in, self._topology, video_log(stream), start)) as reader:
            self.publish(video_log(stream), barrier)
            for message in reader:
                if message == barrier:
                    return count
                if isinstance(message, Frame) and message.run_id == run_id:
                    count = max(count, message.index + 1)
        raise BrokerClosed("the broker is closed")

    def subscribe(self, topic: str, prefetch: int) -> RabbitSubscription:
        return RabbitSubscription(self, self._consumer(topic, prefetch))

    def dead_letters(self) -> RabbitDeadLetters:
        return RabbitDeadLetters(self, self._consumer(DEAD, 1))

    def read(self, log: str, start: Start) -> RabbitLogReader:
        self._refuse_when_closed()
        return RabbitLogReader(self._in, self._topology, log, start)

    def close(self) -> None:
        self._closed.set()
        self._publisher.close()
        self._out.close()
        self._in.close()

    def bury(self, topic: str, raw: Raw, reason: str) -> None:
        """Copy a message aside, body as it came, with its reason; returns when the broker has it."""
        headers = {key: value for key, value in raw.headers.items() if not key.startswith("x-")}
        properties = pika.BasicProperties(  # type: ignore[no-untyped-call]
            type=raw.properties.type, delivery_mode=PERSISTENT, headers=headers | {"reason": reason[:500]}
        )
        self._publisher.send([self._to_queue(topic, properties, raw.body)])

    def _waiting(self, seconds: float = ANSWER_SECONDS) -> int:
        """Frames in the work queue, those included that are still on their way there."""
        self._refuse_when_closed()
        under_way = sum(not parcel.confirmed.done() for parcel in tuple(self._under_way))
        waiting = self._asker.ready(self._topology.queue(FRAMES), seconds)
        if waiting is None:
            self._publisher.forget()
        return (waiting or 0) + under_way

    def _refuse_when_closed(self) -> None:
        if self._closed.is_set():
            raise BrokerClosed("the broker is closed")

    def _consumer(self, topic: str, prefetch: int) -> Consumer:
        self._refuse_when_closed()
        topology = self._topology
        consumer = Consumer(self._in, topology.queue(topic), lambda channel: topology.declare(channel, topic), prefetch)
        consumer.wait_attached()
        return consumer

    def _parcel(self, topic: str, message: Message) -> Parcel:
        return self._to_queue(topic, _properties(message), wire.encode(message))

    def _to_queue(self, topic: str, properties: pika.BasicProperties, body: bytes) -> Parcel:
        topology = self._topology
        return Parcel(
            "", topology.queue(topic), properties, body, lambda channel: topology.declare(channel, topic), topic
        )


def _properties(message: Message) -> pika.BasicProperties:
    """What an operator wants to see, and what is left of a frame when its body cannot be read."""
    headers: dict[str, Any] = {}
    if isinstance(message, RunStarted):
        headers = {"run_id": message.run.run_id, "stream": message.run.stream}
    elif isinstance(message, Barrier):
        headers = {}
    elif isinstance(message, RunEnded | ModelPinned):
        headers = {"run_id": message.run_id, "stream": message.stream}
    else:
        headers = {
            "run_id": message.run_id,
            "stream": message.stream,
            "index": message.index,
            "media_time": repr(message.media_time),
            "captured_at": message.captured_at.isoformat(),
        }
    return pika.BasicProperties(  # type: ignore[no-untyped-call]
        type=type(message).__name__, delivery_mode=PERSISTENT, headers=headers
    )


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
