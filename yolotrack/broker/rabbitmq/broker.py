"""The contract of `Broker` on RabbitMQ."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import closing, suppress
from datetime import datetime, timedelta
from typing import Any

import pika

from yolotrack import wire
from yolotrack.broker.base import DEAD, FRAMES, Attendance, SickQueue, Start, video_log
from yolotrack.broker.rabbitmq.addresses import parse
from yolotrack.broker.rabbitmq.asker import ANSWER_SECONDS, Asker
from yolotrack.broker.rabbitmq.consumer import Consumer, Raw
from yolotrack.broker.rabbitmq.lease import Lease
from yolotrack.broker.rabbitmq.link import Link
from yolotrack.broker.rabbitmq.outage import Outage
from yolotrack.broker.rabbitmq.publisher import Parcel, Publisher
from yolotrack.broker.rabbitmq.queues import RabbitDeadLetters, RabbitSubscription
from yolotrack.broker.rabbitmq.reader import RabbitLogReader
from yolotrack.broker.rabbitmq.sick import SickQueues
from yolotrack.broker.rabbitmq.topology import Route, Topology
from yolotrack.errors import BrokerClosed
from yolotrack.model import Barrier, Frame, Message, ModelPinned, RunEnded, RunStarted, new_barrier

FRAMES_UNDER_WAY = 16
"""Frames that a publisher may be ahead of their confirms."""
ROOM_SECONDS = 0.02
"""Between two looks at a full work queue."""
CLOCK_SKEW_SECONDS = 600.0
PERSISTENT = 2


class RabbitBroker:
    """One process's place at a RabbitMQ: a connection that publishes, and one that consumes.

    An alarm stops publishing connections; so consuming and acknowledging go on over their own.
    """

    def __init__(self, url: str, topology: Topology, patience: float, first_patience: float | None = None) -> None:
        """`url` may name several nodes, as `addresses.parse` takes them; `patience` in seconds, the first one for the
        first connection."""
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # what matters of it is logged here, in our words
        self._topology = topology
        self._closed = threading.Event()
        self._room = 0
        self._under_way: deque[Parcel] = deque()
        self._sick = SickQueues()
        addresses, outage = parse(url), Outage()
        self._out = Link(addresses, "publish", patience, first_patience=first_patience, outage=outage)
        self._in = Link(addresses, "consume", patience, first_patience=first_patience, outage=outage)
        self._publisher = Publisher(self._out, self._sick)
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

    def finish_publishing(self, run_id: str, stream: str, since: datetime, *, stop: threading.Event) -> int | None:
        last = self._last_published(run_id, stream, since, stop)
        if last is None:
            return None
        self._publisher.send([self._parcel(FRAMES, frame) for frame in last])
        return last[-1].index + 1 if last else 0

    def _last_published(self, run_id: str, stream: str, since: datetime, stop: threading.Event) -> list[Frame] | None:
        """The last frames of a run in the video log, read from `since` up to a barrier of its own, unless stopped."""
        self._refuse_when_closed()
        barrier = new_barrier()
        last: list[Frame] = []
        with closing(self.read(video_log(stream), since)) as reader:
            self.publish(video_log(stream), barrier)
            for message in reader:
                if message == barrier:
                    return last
                if stop.is_set():
                    return None
                if (
                    isinstance(message, Frame)
                    and message.run_id == run_id
                    and (not last or message.index > last[-1].index)
                ):
                    last = [*last[-FRAMES_UNDER_WAY:], message]
        raise BrokerClosed("the broker is closed")

    @property
    def sick(self) -> tuple[SickQueue, ...]:
        return self._sick.listed()

    def attendance(self, topic: str) -> Attendance | None:
        self._refuse_when_closed()
        return self._asker.attendance(self._topology.queue(topic))

    def subscribe(self, topic: str, prefetch: int) -> RabbitSubscription:
        return RabbitSubscription(self._bury, self._consumer(topic, prefetch))

    def dead_letters(self) -> RabbitDeadLetters:
        return RabbitDeadLetters(self._bury, self._consumer(DEAD, 1))

    def read(self, log: str, start: Start) -> RabbitLogReader:
        self._refuse_when_closed()
        if isinstance(start, datetime):
            start -= timedelta(seconds=CLOCK_SKEW_SECONDS)
        return RabbitLogReader(self._in, self._topology, log, start, self._sick)

    def close(self) -> None:
        self._closed.set()
        self._publisher.close()
        self._out.close()
        self._in.close()

    def _bury(self, topic: str, raw: Raw, reason: str) -> None:
        """Copy a message aside, body as it came, with its reason; returns when the broker has it."""
        headers = {key: value for key, value in raw.headers.items() if not key.startswith("x-")}
        properties = pika.BasicProperties(  # type: ignore[no-untyped-call]
            type=raw.properties.type, delivery_mode=PERSISTENT, headers=headers | {"reason": reason[:500]}
        )
        self._publisher.send([self._to_queue(topic, properties, raw.body)])

    def _waiting(self, seconds: float = ANSWER_SECONDS) -> int:
        """Frames in the work queue, those included that are still on their way there."""
        self._refuse_when_closed()
        waiting = self._asker.ready(self._topology.queue(FRAMES), seconds)
        if waiting is None:
            self._publisher.forget()
        # counted after the answer: whatever was confirmed meanwhile is in it
        to_queue = self._topology.route("detect", "")
        under_way = (parcel for parcel in tuple(self._under_way) if parcel.routing_key.startswith(to_queue))
        return (waiting or 0) + sum(not parcel.confirmed.done() for parcel in under_way)

    def _refuse_when_closed(self) -> None:
        if self._closed.is_set():
            raise BrokerClosed("the broker is closed")

    def _consumer(self, topic: str, prefetch: int) -> Consumer:
        self._refuse_when_closed()
        topology = self._topology
        consumer = Consumer(
            self._in,
            topology.queue(topic),
            lambda channel: topology.declare(channel, topic),
            prefetch,
            sick=self._sick,
        )
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
