"""Taking from a broker with deadlines, and small messages to put in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tests.support.scripted import make_picture
from tests.support.waiting import DEADLINE
from yolotrack.broker.base import Broker, Delivery, LogReader, Subscription
from yolotrack.model import Frame, Message, RunEnded, RunStatus, utc_now

RUN_ID = "01920000-0000-7000-8000-000000000001"
"""Of the messages here, unless told otherwise."""


def note(stream: str, number: int) -> RunEnded:
    """A small message that carries a number."""
    return RunEnded(RUN_ID, stream, number, RunStatus.COMPLETE)


def number_in(message: Message) -> int:
    """The number of a `note` or of a frame."""
    return message.frame_count if isinstance(message, RunEnded) else message.index  # type: ignore[union-attr]


def make_frame(stream: str, index: int, run_id: str = RUN_ID) -> Frame:
    """A frame whose picture is some bytes, since that is what every broker carries."""
    return Frame(run_id, stream, index, index / 25, utc_now(), f"picture {index}".encode())


class Taker:
    """Takes from one subscription, in one thread."""

    def __init__(self, subscription: Subscription) -> None:
        self._items: Iterator[Delivery | None] = iter(subscription)

    def take(self, count: int, seconds: float = DEADLINE) -> list[Delivery]:
        """The next `count` deliveries; fails when they do not come in time."""
        return _collect(self._items, count, seconds)

    def numbers(self, count: int, *, ack: bool = True) -> list[int]:
        """The numbers in the next `count` deliveries, which are acknowledged one by one unless told otherwise."""
        found = []
        for _ in range(count):
            (delivery,) = self.take(1)
            found.append(number_in(delivery.message))
            if ack:
                delivery.ack()
        return found

    def gets_nothing(self, ticks: int = 2) -> bool:
        """True when only idle ticks come."""
        return all(next(self._items, None) is None for _ in range(ticks))

    def drain(self) -> None:
        """Iterate to the end, which only a close brings."""
        for _ in self._items:
            pass


def read_numbers(reader: LogReader, count: int, seconds: float = DEADLINE) -> list[int]:
    """The numbers in the next `count` entries."""
    return [number_in(message) for message in _collect(iter(reader), count, seconds)]


def read_until(reader: LogReader, done: Callable[[int], bool], seconds: float = DEADLINE) -> list[int]:
    """The numbers in the entries up to the first for which `done` holds."""
    deadline = time.monotonic() + seconds
    found: list[int] = []
    for message in reader:
        if message is not None:
            found.append(number_in(message))
            if done(found[-1]):
                return found
        assert time.monotonic() < deadline, f"only {found} within {seconds} s"
    raise AssertionError(f"the log ended after {found}")


def left_in(broker: Broker, topic: str) -> list[tuple[int, bool]]:
    """Number, or type, and redelivered flag of all that waits in a queue, taken without an answer."""
    left = []
    for delivery in broker.subscribe(topic, 10_000):
        if delivery is None:
            break
        left.append((number_in(delivery.message), delivery.redelivered))
    return left


def publish_pictures(broker: Broker, count: int, run_id: str = "run") -> None:
    """Frames with the numbered pictures, to the log and the queue."""
    for index in range(count):
        broker.publish_frame(Frame(run_id, "cam", index, index / 25, utc_now(), make_picture(index)))


def all_in(broker: Broker, topic: str) -> list[Message]:
    """Every message that waits in a queue, taken without an answer."""
    found: list[Message] = []
    for delivery in broker.subscribe(topic, 10_000):
        if delivery is None:
            return found
        found.append(delivery.message)
    return found


def _collect(items: Iterator[Message | Delivery | None], count: int, seconds: float) -> list:
    deadline = time.monotonic() + seconds
    found: list = []
    while len(found) < count:
        item = next(items)
        if item is not None:
            found.append(item)
        assert time.monotonic() < deadline, f"only {len(found)} of {count} within {seconds} s"
    return found
