"""The embedded broker: one process, values instead of bytes, everything bounded.

It backs `yolotrack run`, and the contract suite holds it against the other brokers.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from yolotrack.broker.base import FRAMES, Start, is_log, video_log
from yolotrack.errors import BrokerClosed
from yolotrack.model import Frame, Message

IDLE_SECONDS = 0.1
DELIVERY_LIMIT = 3
"""Times a message is handed out before it is dead-lettered, as on the other brokers."""
LIVE_BACKLOG = 2
"""Frames that may wait for a detector before a live publisher skips. Small, for freshness; and well below the
capacity, since the video log of a stream that is drawn holds every frame that waits, and would block first."""
SHARD_CAPACITY = 1024
"""Detections are small, so their queues may be long."""


@dataclass(slots=True)
class _Entry:
    message: Message
    deliveries: int = 0


@dataclass(slots=True)
class _Queue:
    capacity: int
    exclusive: bool
    changed: threading.Condition
    ready: deque[_Entry] = field(default_factory=deque)
    subscriptions: list[MemorySubscription] = field(default_factory=list)


@dataclass(slots=True)
class _Log:
    changed: threading.Condition
    entries: deque[Message] = field(default_factory=deque)
    first: int = 0
    """Position of `entries[0]`."""
    readers: list[MemoryLogReader] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.entries)

    def held_from(self) -> int:
        """The oldest position that a reader which must miss nothing still wants."""
        return min((r.position for r in self.readers if r.lossless), default=self.end)


class MemoryDelivery:
    """A message on loan from a queue."""

    __slots__ = ("_entry", "_subscription")

    def __init__(self, entry: _Entry, subscription: MemorySubscription) -> None:
        self._entry = entry
        self._subscription = subscription

    @property
    def message(self) -> Message:
        return self._entry.message

    @property
    def redelivered(self) -> bool:
        return self._entry.deliveries > 1

    @property
    def session(self) -> int:
        return 0

    def ack(self) -> None:
        self._subscription._settle(self._entry)

    def reject(self) -> None:
        if self._entry.deliveries >= DELIVERY_LIMIT:
            self.dead_letter("delivered too often")
        else:
            self._subscription._settle(self._entry, requeue=True)

    def dead_letter(self, reason: str) -> None:
        self._subscription._settle(self._entry, reason=reason)


class MemorySubscription:
    """One subscriber of a queue."""

    def __init__(self, broker: MemoryBroker, queue: _Queue, prefetch: int) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._on_loan: dict[int, _Entry] = {}
        """By identity, in the order handed out."""
        self._closed = False

    @property
    def ready(self) -> bool:
        with self._queue.changed:
            return not self._closed and self._may_take()

    def __iter__(self) -> Iterator[MemoryDelivery | None]:
        while not self._closed:
            yield self._next()

    def _next(self) -> MemoryDelivery | None:
        with self._queue.changed:
            self._queue.changed.wait_for(lambda: self._closed or self._may_take(), IDLE_SECONDS)
            if self._closed or not self._may_take():
                return None
            entry = self._queue.ready.popleft()
            entry.deliveries += 1
            self._on_loan[id(entry)] = entry
            self._queue.changed.notify_all()
            return MemoryDelivery(entry, self)

    def _may_take(self) -> bool:
        active = not self._queue.exclusive or self._queue.subscriptions[0] is self
        return active and bool(self._queue.ready) and len(self._on_loan) < self._prefetch

    def _settle(self, entry: _Entry, *, requeue: bool = False, reason: str | None = None) -> None:
        with self._queue.changed:
            if self._on_loan.pop(id(entry), None) is None:
                return  # answered before, or closed meanwhile: it went back to the queue already
            if requeue:
                self._queue.ready.appendleft(entry)
            if reason is not None:
                self._broker.dead_letters.append((entry.message, reason))
            self._queue.changed.notify_all()

    def close(self) -> None:
        with self._queue.changed:
            if self._closed:
                return
            self._closed = True
            self._queue.ready.extendleft(reversed(self._on_loan.values()))
            self._on_loan.clear()
            self._queue.subscriptions.remove(self)
            self._queue.changed.notify_all()


class MemoryLogReader:
    """One reader of a log."""

    def __init__(self, broker: MemoryBroker, log: _Log, start: Start) -> None:
        self._broker = broker
        self._log = log
        self._closed = False
        self.lossless = start != "now"
        self.position = log.end if start == "now" else max(start, log.first) if isinstance(start, int) else log.first

    def __iter__(self) -> Iterator[Message | None]:
        while not self._closed:
            yield self._next()

    def _next(self) -> Message | None:
        with self._log.changed:
            self._log.changed.wait_for(lambda: self._closed or self.position < self._log.end, IDLE_SECONDS)
            if self._closed or self.position >= self._log.end:
                return None
            self.position = max(self.position, self._log.first)
            message = self._log.entries[self.position - self._log.first]
            self.position += 1
            self._broker._forget(self._log)
            self._log.changed.notify_all()
            return message

    def close(self) -> None:
        with self._log.changed:
            if self._closed:
                return
            self._closed = True
            self._log.readers.remove(self)
            self._broker._forget(self._log)
            self._log.changed.notify_all()


class MemoryBroker:
    """A broker inside one process.

    `capacity` bounds the work queue and how far a lossless reader may lag behind its log before publishing
    waits for it; `retain` entries of a log stay for readers that come later.
    """

    def __init__(self, capacity: int = 32, retain: int = 0) -> None:
        self._capacity = capacity
        self._retain = retain
        self._lock = threading.RLock()
        self._queues: dict[str, _Queue] = {}
        self._logs: dict[str, _Log] = {}
        self._closed = False
        self.dead_letters: deque[tuple[Message, str]] = deque(maxlen=1000)

    def publish(self, topic: str, *messages: Message) -> None:
        with self._lock:
            for message in messages:
                if is_log(topic):
                    self._append(self._log(topic), message)
                else:
                    self._enqueue(self._queue(topic), message)

    def publish_frame(self, frame: Frame, *, detect: bool = True) -> None:
        with self._lock:
            self._append(self._log(video_log(frame.stream)), frame)
            if detect:
                self._enqueue(self._queue(FRAMES), frame)

    def settle(self) -> None:
        """Nothing is under way: publishing puts a frame where it belongs."""

    def has_room(self) -> bool:
        with self._lock:
            return len(self._queue(FRAMES).ready) < min(LIVE_BACKLOG, self._capacity)

    def wait_for_room(self, seconds: float) -> bool:
        with self._lock:
            queue = self._queue(FRAMES)
            room = queue.changed.wait_for(lambda: self._closed or len(queue.ready) < queue.capacity, seconds)
            self._refuse_when_closed()
            return room

    def subscribe(self, topic: str, prefetch: int) -> MemorySubscription:
        with self._lock:
            self._refuse_when_closed()
            queue = self._queue(topic)
            subscription = MemorySubscription(self, queue, prefetch)
            queue.subscriptions.append(subscription)
            return subscription

    def read(self, log: str, start: Start) -> MemoryLogReader:
        with self._lock:
            self._refuse_when_closed()
            reader = MemoryLogReader(self, self._log(log), start)
            reader._log.readers.append(reader)
            return reader

    def close(self) -> None:
        with self._lock:
            self._closed = True
            topics: list[_Queue | _Log] = [*self._queues.values(), *self._logs.values()]
            for topic in topics:
                topic.changed.notify_all()
            subscriptions = [s for queue in self._queues.values() for s in queue.subscriptions]
            readers = [r for log in self._logs.values() for r in log.readers]
        for part in itertools.chain[MemorySubscription | MemoryLogReader](subscriptions, readers):
            part.close()

    def _queue(self, topic: str) -> _Queue:
        if topic not in self._queues:
            shared = topic == FRAMES
            capacity = self._capacity if shared else SHARD_CAPACITY
            self._queues[topic] = _Queue(capacity, not shared, threading.Condition(self._lock))
        return self._queues[topic]

    def _log(self, topic: str) -> _Log:
        if topic not in self._logs:
            self._logs[topic] = _Log(threading.Condition(self._lock))
        return self._logs[topic]

    def _enqueue(self, queue: _Queue, message: Message) -> None:
        self._wait(queue.changed, lambda: len(queue.ready) < queue.capacity)
        queue.ready.append(_Entry(message))
        queue.changed.notify_all()

    def _append(self, log: _Log, message: Message) -> None:
        self._wait(log.changed, lambda: log.end - log.held_from() < self._capacity)
        log.entries.append(message)
        self._forget(log)
        log.changed.notify_all()

    def _forget(self, log: _Log) -> None:
        """Drop entries that nobody needs. A reader from "now" that lags is served the oldest left."""
        keep_from = min(log.held_from(), max(log.end - max(self._retain, 1), 0))
        while log.first < keep_from:
            log.entries.popleft()
            log.first += 1

    def _wait(self, changed: threading.Condition, ready: Callable[[], bool]) -> None:
        changed.wait_for(lambda: self._closed or ready())
        self._refuse_when_closed()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise BrokerClosed("the broker is closed")
