"""Publishing with confirms, pipelined: a window of messages is under way, and what is unconfirmed goes again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.channel import Channel
from pika.connection import Connection

from yolotrack.broker.rabbitmq.link import Link, log
from yolotrack.broker.rabbitmq.sick import SickQueues
from yolotrack.broker.rabbitmq.trouble import channel_trouble, refusal
from yolotrack.errors import BrokerClosed, BrokerError

RETRY_SECONDS = (0.05, 1.0)
"""First and longest pause before a message goes again that a full queue refused."""
RENEW_SECONDS = (2.0, 60.0)
"""First and longest time without a confirm after which what waits goes again over a new channel: on one that was open
when the leader of a queue died, RabbitMQ 3.10 may refuse every message for that queue, or lose one, for ever."""
CONFIRM_SECONDS = 10.0
"""Longest until the broker confirms or refuses a message, before its queue counts as sick."""
LOOK_SECONDS = 1.0
SILENT = f"no confirm for {CONFIRM_SECONDS:.0f} s"
REOPEN_SECONDS = 0.5
"""Pause after the broker closed the channel: after a restart, a queue may be away for seconds."""


@dataclass(slots=True, eq=False)
class Parcel:
    """One message on its way, and where it goes."""

    exchange: str
    routing_key: str
    properties: pika.BasicProperties
    body: bytes
    declare: Callable[[Channel], None]
    """Declares what the message is routed to."""
    topic: str
    """What `declare` declares; done once a channel."""
    confirmed: Future[None] = field(default_factory=Future)
    posted_at: float = field(default_factory=time.monotonic)
    refused: bool = False

    @property
    def target(self) -> str:
        """What has to take it: a queue, or the queues of a stream."""
        return self.topic if self.exchange else self.routing_key


@dataclass(slots=True)
class _Stall:
    """How long nothing was confirmed that is under way to one target."""

    since: float = field(default_factory=time.monotonic)
    patience: float = RENEW_SECONDS[0]

    @property
    def overdue(self) -> bool:
        return time.monotonic() - self.since > self.patience

    def grow(self) -> None:
        """A new channel was tried: give that more time."""
        self.since, self.patience = time.monotonic(), min(2 * self.patience, RENEW_SECONDS[1])


class Publisher:
    """A part of a link that publishes. `send` may be called from any thread."""

    def __init__(self, link: Link, sick: SickQueues) -> None:
        self._link = link
        self._sick = sick
        self._silent: set[str] = set()
        """What confirms nothing for too long."""
        self._stalls: dict[str, _Stall] = {}
        """By target, of those that something is under way to."""
        self._channel: Channel | None = None
        self._outgoing: deque[Parcel] = deque()
        self._unconfirmed: dict[int, Parcel] = {}
        self._returned: set[int] = set()
        self._refused: dict[int, Parcel] = {}
        """By tag; they go again together, in their order."""
        self._retry_pause = RETRY_SECONDS[0]
        self._next_tag = 1
        self._declared: set[str] = set()
        self._closed = threading.Event()
        link.attach(self)

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Publish in order; returns when the broker has confirmed all, however often it was lost meanwhile.

        Blocks while the broker has no room. `BrokerClosed` after `close`; `BrokerError` when it cannot be.
        """
        self.post(parcels)
        for parcel in parcels:
            self.wait(parcel)

    def post(self, parcels: Sequence[Parcel]) -> None:
        """Publish in order, without waiting; `wait` for each."""
        self._outgoing.extend(parcels)
        self._link.call(self._flush)

    def wait(self, parcel: Parcel) -> None:
        """Return when the broker has confirmed a parcel that was posted; blocks and raises as `send`."""
        while True:
            try:
                return parcel.confirmed.result(timeout=0.2)
            except FutureTimeout:
                if self._closed.is_set():
                    raise BrokerClosed("the broker is closed") from None
                if self._link.failure is not None:
                    raise self._link.failure from None

    def forget(self) -> None:
        """Declare everything again before it is published to: something is gone."""
        self._link.call(self._declared.clear)

    def close(self) -> None:
        """End every `send` that waits."""
        self._closed.set()
        self._link.detach(self)

    # what follows runs in the link's thread

    def start(self, connection: Connection) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def lost(self, error: BrokerError | None) -> None:
        self._channel = None
        again = self._refused | self._unconfirmed
        self._outgoing.extendleft(again[tag] for tag in sorted(again, reverse=True))
        self._refused.clear()
        self._unconfirmed.clear()
        if error is not None:
            while self._outgoing:
                self._outgoing.popleft().confirmed.set_exception(error)

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(
            lambda frame: self._on_confirm(channel, frame), callback=lambda _: self._on_confirming(channel)
        )

    def _on_confirming(self, channel: Channel) -> None:
        self._channel = channel
        self._next_tag = 1
        self._declared.clear()
        self._returned.clear()
        self._look(channel)
        self._flush()

    def _look(self, channel: Channel) -> None:
        """Find what has been without a confirm for too long, where that is not an alarm's doing."""
        if channel is not self._channel:
            return
        if not self._link.blocked:
            self._note_silent()
            overdue = [stall for stall in self._stalled() if stall.overdue]
            if overdue:
                for stall in overdue:
                    stall.grow()
                self._renew(channel)
                return
        self._link.later(LOOK_SECONDS, lambda: self._look(channel))

    def _note_silent(self) -> None:
        overdue = time.monotonic() - CONFIRM_SECONDS
        for parcel in self._unconfirmed.values():
            if parcel.posted_at < overdue and not parcel.refused and parcel.target not in self._silent:
                self._silent.add(parcel.target)
                self._sick.note(parcel.target, SILENT)

    def _stalled(self) -> list[_Stall]:
        """One for each target that something is under way to."""
        waiting = {parcel.target for parcel in (*self._unconfirmed.values(), *self._refused.values())}
        self._stalls = {target: self._stalls.get(target) or _Stall() for target in waiting}
        return list(self._stalls.values())

    def _renew(self, channel: Channel) -> None:
        self.lost(None)
        if channel.is_open:
            channel.close()
        self.start(channel.connection)

    def _is_well(self, target: str) -> None:
        if target in self._silent:
            self._silent.remove(target)
            self._sick.well(target, SILENT)

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel.connection.is_open and channel is self._channel:
            log.warning("cannot publish, trying again error=%s", channel_trouble(reason))
            self.lost(refusal(reason))
            self._link.later(REOPEN_SECONDS, lambda: self._reopen(channel.connection))

    def _reopen(self, connection: Connection) -> None:
        if connection.is_open and self._channel is None:
            self.start(connection)

    def _flush(self) -> None:
        channel = self._channel
        while channel is not None and channel.is_open and self._outgoing:
            parcel = self._outgoing.popleft()
            if parcel.topic not in self._declared:
                parcel.declare(channel)
                self._declared.add(parcel.topic)
            parcel.properties.message_id = str(self._next_tag)
            self._unconfirmed[self._next_tag] = parcel
            self._next_tag += 1
            channel.basic_publish(parcel.exchange, parcel.routing_key, parcel.body, parcel.properties, mandatory=True)

    def _on_return(self, channel: Channel, _method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
        """Nothing took it: the queue was deleted. Declare it again before the message goes again."""
        if channel is not self._channel:
            return
        tag = int(properties.message_id)
        parcel = self._unconfirmed.get(tag)
        if parcel is not None:
            self._declared.discard(parcel.topic)
            self._returned.add(tag)

    def _on_confirm(self, channel: Channel, frame: Any) -> None:
        if channel is not self._channel:
            return
        tags = (
            [tag for tag in self._unconfirmed if tag <= frame.method.delivery_tag]
            if frame.method.multiple
            else [frame.method.delivery_tag]
        )
        nacked = isinstance(frame.method, pika.spec.Basic.Nack)
        for tag in tags:
            parcel = self._unconfirmed.pop(tag, None)
            if parcel is None:
                continue
            self._is_well(parcel.target)
            if nacked or tag in self._returned:
                self._refuse(tag, parcel)
            else:
                self._stalls.pop(parcel.target, None)
                self._retry_pause = RETRY_SECONDS[0]
                parcel.confirmed.set_result(None)

    def _refuse(self, tag: int, parcel: Parcel) -> None:
        parcel.refused = True
        self._returned.discard(tag)
        if not self._refused:
            self._link.later(self._retry_pause, self._send_refused)
            self._retry_pause = min(2 * self._retry_pause, RETRY_SECONDS[1])
        self._refused[tag] = parcel

    def _send_refused(self) -> None:
        self._outgoing.extendleft(self._refused[tag] for tag in sorted(self._refused, reverse=True))
        self._refused.clear()
        self._flush()
