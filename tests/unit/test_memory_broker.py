"""What the embedded broker promises beyond the contract: values as they are, exact bounds, dead letters to look at."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.support.brokers import Taker, make_frame, note, number_in, read_numbers
from tests.support.scripted import Census, make_picture
from tests.support.waiting import Background, wait_until
from yolotrack.broker.base import FRAMES, tracks_log, video_log
from yolotrack.broker.memory import DELIVERY_LIMIT, LIVE_BACKLOG, MemoryBroker
from yolotrack.errors import BrokerClosed
from yolotrack.model import Frame, utc_now

pytestmark = pytest.mark.timeout(60)

CAPACITY = 6
LOG = tracks_log("s")


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    opened = MemoryBroker(CAPACITY)
    yield opened
    opened.close()


class Publishing(Background):
    """Notes to a log, or frames to the queue, for ever; counts those that the broker took."""

    def __init__(self, broker: MemoryBroker, log: str | None = None) -> None:
        self.taken = 0
        self._broker = broker
        self._log = log
        super().__init__(self._publish)

    def _publish(self) -> None:
        while True:
            if self._log is None:
                self._broker.publish_frame(make_frame("s", self.taken))
            else:
                self._broker.publish(self._log, note("s", self.taken))
            self.taken += 1

    def blocks_at(self, count: int) -> bool:
        """True when `count` messages were taken, and the next one waits."""
        wait_until(lambda: self.taken == count, f"{count} messages to be taken")
        return (
            self.running
            and Taker(self._broker.subscribe("detections.idle", 1)).gets_nothing()
            and (self.taken == count)
        )


def test_values_pass_as_they_are(broker: MemoryBroker) -> None:
    frame = Frame("run", "s", 0, 0.0, utc_now(), make_picture(3))
    reader = broker.read(video_log("s"), "start")
    broker.publish_frame(frame)
    assert next(iter(reader)) is frame
    (delivery,) = Taker(broker.subscribe(FRAMES, 1)).take(1)
    assert delivery.message is frame


def test_the_work_queue_holds_its_capacity_and_no_more(broker: MemoryBroker) -> None:
    publishing = Publishing(broker)
    assert publishing.blocks_at(CAPACITY)
    taker = Taker(broker.subscribe(FRAMES, 2))
    taker.take(2)
    assert publishing.blocks_at(CAPACITY + 2)
    broker.close()
    with pytest.raises(BrokerClosed):
        publishing.result()


def test_a_live_publisher_is_told_to_skip_long_before_it_would_wait(broker: MemoryBroker) -> None:
    for index in range(LIVE_BACKLOG):
        assert broker.has_room()
        broker.publish_frame(make_frame("s", index))
    assert not broker.has_room()
    assert LIVE_BACKLOG < CAPACITY
    Taker(broker.subscribe(FRAMES, 1)).take(1)
    assert broker.has_room()


def test_a_lossless_reader_holds_the_publisher(broker: MemoryBroker) -> None:
    reader = broker.read(LOG, "start")
    publishing = Publishing(broker, LOG)
    assert publishing.blocks_at(CAPACITY)
    assert read_numbers(reader, 2) == [0, 1]
    assert publishing.blocks_at(CAPACITY + 2)
    broker.close()
    with pytest.raises(BrokerClosed):
        publishing.result()


def test_the_slowest_lossless_reader_decides(broker: MemoryBroker) -> None:
    slow, quick = broker.read(LOG, "start"), broker.read(LOG, 0)
    publishing = Publishing(broker, LOG)
    assert read_numbers(quick, CAPACITY) == list(range(CAPACITY))
    assert publishing.blocks_at(CAPACITY)
    slow.close()
    assert publishing.blocks_at(2 * CAPACITY)
    broker.close()


def test_a_reader_that_leaves_lets_the_publisher_go_on(broker: MemoryBroker) -> None:
    reader = broker.read(LOG, "start")
    publishing = Publishing(broker, LOG)
    assert publishing.blocks_at(CAPACITY)
    reader.close()
    wait_until(lambda: publishing.taken > 10 * CAPACITY, "the publisher to go on")
    broker.close()


def test_a_position_that_is_gone_begins_at_the_oldest_entry(broker: MemoryBroker) -> None:
    for number in range(50):
        broker.publish(LOG, note("s", number))
    reader = broker.read(LOG, 3)
    assert reader.position == 49
    publishing = Publishing(broker, LOG)
    assert publishing.blocks_at(CAPACITY - 1), "a reader from a position misses nothing from there on"
    assert read_numbers(reader, 1) == [49]
    broker.close()


def test_logs_forget_what_everybody_has_read() -> None:
    broker, census = MemoryBroker(CAPACITY, retain=3), Census()
    reader = broker.read(video_log("s"), "start")
    for index in range(100):
        frame = Frame("run", "s", index, 0.0, utc_now(), census.register(make_picture(index)))
        broker.publish_frame(frame, detect=False)
        del frame
        read_numbers(reader, 1)
    gc.collect()
    assert census.alive == 3
    assert census.most <= 5
    assert read_numbers(broker.read(video_log("s"), "start"), 3) == [97, 98, 99]
    broker.close()


def test_dead_letters_are_kept_with_their_reason(broker: MemoryBroker) -> None:
    for number in range(2):
        broker.publish("detections.0", note("s", number))
    first, second = Taker(broker.subscribe("detections.0", 2)).take(2)
    first.dead_letter("of no use")
    second.dead_letter("")
    assert [(number_in(message), reason) for message, reason in broker.dead_letters] == [(0, "of no use"), (1, "")]


def test_what_is_rejected_too_often_is_dead_lettered(broker: MemoryBroker) -> None:
    broker.publish("detections.0", note("s", 7))
    taker = Taker(broker.subscribe("detections.0", 1))
    for _ in range(DELIVERY_LIMIT):
        taker.take(1)[0].reject()
    assert [(number_in(message), reason) for message, reason in broker.dead_letters] == [(7, "delivered too often")]
    assert taker.gets_nothing()


def test_only_the_first_answer_counts(broker: MemoryBroker) -> None:
    broker.publish("detections.0", note("s", 0))
    taker = Taker(broker.subscribe("detections.0", 1))
    (delivery,) = taker.take(1)
    delivery.ack()
    delivery.reject()
    delivery.dead_letter("too late")
    assert taker.gets_nothing()
    assert not broker.dead_letters
