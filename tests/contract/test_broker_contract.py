"""The contract of brokers, as `broker/base.py` words it, over every implementation."""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.support.brokers import Taker, make_frame, note, number_in, read_numbers, read_until
from tests.support.rabbit import open_rabbit
from tests.support.waiting import Background, wait_until
from yolotrack.broker.base import FRAMES, Broker, Subscription, shard_topic, tracks_log, video_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import BrokerClosed
from yolotrack.model import utc_now

pytestmark = pytest.mark.timeout(60)

CAPACITY = 64
"""Messages that every broker under test takes before publishing blocks."""
RETAINED = 64
"""Entries that its logs keep at least."""


@pytest.fixture(params=["memory", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A fresh broker."""
    if request.param == "memory":
        opened: Broker = MemoryBroker(CAPACITY, retain=RETAINED)
    else:
        opened = open_rabbit(request.getfixturevalue("rabbit").url, max_frames=CAPACITY // 4, live_frames=8)
    yield opened
    opened.close()


@pytest.fixture
def stream() -> str:
    """A name that no other test uses."""
    return f"s-{uuid4().hex[:12]}"


@pytest.fixture
def shard(stream: str) -> str:
    return shard_topic(stream, 4)


def publish_frames(broker: Broker, stream: str, count: int, first: int = 0) -> None:
    for index in range(first, first + count):
        broker.publish_frame(make_frame(stream, index))
    broker.settle()


def publish_notes(broker: Broker, topic: str, stream: str, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        broker.publish(topic, note(stream, number))


# Topics


def test_a_stream_has_the_same_shard_everywhere() -> None:
    assert shard_topic("cam", 7) == f"detections.{zlib.crc32(b'cam') % 7}"
    assert {shard_topic(f"cam-{n}", 3) for n in range(50)} == {"detections.0", "detections.1", "detections.2"}


# Work queues


def test_one_subscriber_gets_everything_in_order(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 20)
    assert Taker(broker.subscribe(FRAMES, 4)).numbers(20) == list(range(20))


def test_a_frame_arrives_as_it_was_published(broker: Broker, stream: str) -> None:
    frame = make_frame(stream, 7)
    broker.publish_frame(frame)
    (delivery,) = Taker(broker.subscribe(FRAMES, 1)).take(1)
    assert delivery.message == frame


def test_competing_subscribers_share_without_duplicates(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 12)
    takers = [Taker(broker.subscribe(FRAMES, 4)) for _ in range(3)]
    shares = [taker.numbers(4, ack=False) for taker in takers]
    assert sorted(number for share in shares for number in share) == list(range(12))


def test_a_slow_subscriber_does_not_keep_work_from_the_others(broker: Broker, stream: str) -> None:
    slow, quick = (Taker(broker.subscribe(FRAMES, 1)) for _ in range(2))
    publish_frames(broker, stream, 10)
    held = slow.numbers(1, ack=False)
    assert sorted(held + quick.numbers(9)) == list(range(10))


def test_prefetch_bounds_what_is_unanswered(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 6)
    taker = Taker(broker.subscribe(FRAMES, 3))
    held = taker.take(3)
    assert taker.gets_nothing()
    held[1].ack()
    assert taker.numbers(1, ack=False) == [3]
    assert taker.gets_nothing()


def test_a_subscription_tells_whether_more_is_at_hand(broker: Broker, stream: str) -> None:
    subscription = broker.subscribe(FRAMES, 2)
    assert not subscription.ready
    publish_frames(broker, stream, 3)
    wait_until(lambda: subscription.ready, "a delivery at hand")
    first, _ = Taker(subscription).take(2)
    assert not subscription.ready, "though one waits at the broker: two have no answer"
    first.ack()
    wait_until(lambda: subscription.ready, "the third at hand")


def test_what_is_acknowledged_never_comes_again(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 5)
    subscription = broker.subscribe(FRAMES, 5)
    for delivery in Taker(subscription).take(3):
        delivery.ack()
    subscription.close()
    after = Taker(broker.subscribe(FRAMES, 5))
    assert after.numbers(2) == [3, 4]
    assert after.gets_nothing()


def test_what_is_rejected_comes_again(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 3)
    taker = Taker(broker.subscribe(FRAMES, 1))
    taker.take(1)[0].reject()
    assert sorted(taker.numbers(3)) == [0, 1, 2]
    assert taker.gets_nothing()


def test_a_rejected_message_may_go_to_another_subscriber(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 1)
    first = broker.subscribe(FRAMES, 1)
    (delivery,) = Taker(first).take(1)
    other = Taker(broker.subscribe(FRAMES, 1))
    delivery.reject()
    assert other.numbers(1) == [0]


def test_rejecting_again_and_again_ends(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 2)
    taker = Taker(broker.subscribe(FRAMES, 1))
    seen: Counter[int] = Counter()
    while not seen[1]:
        (delivery,) = taker.take(1)
        seen[number_in(delivery.message)] += 1
        if number_in(delivery.message) == 0:
            delivery.reject()
            assert seen[0] <= 20, "a poisonous message must not come for ever"
        else:
            delivery.ack()
    assert seen[0] > 1
    assert taker.gets_nothing()


def test_what_is_dead_lettered_never_comes_again(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 3)
    subscription = broker.subscribe(FRAMES, 3)
    taker = Taker(subscription)
    first, *_ = taker.take(1)
    first.dead_letter("not a picture")
    assert taker.numbers(2, ack=False) == [1, 2]
    subscription.close()
    after = Taker(broker.subscribe(FRAMES, 3))
    assert after.numbers(2) == [1, 2]
    assert after.gets_nothing()


def test_closing_returns_the_unanswered_marked(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 6)
    subscription = broker.subscribe(FRAMES, 4)
    held = Taker(subscription).take(4)
    assert not any(delivery.redelivered for delivery in held)
    held[1].ack()
    subscription.close()
    back = Taker(broker.subscribe(FRAMES, 9)).take(5)
    marked = {number_in(delivery.message): delivery.redelivered for delivery in back}
    assert sorted(marked) == [0, 2, 3, 4, 5]
    assert marked[0]
    assert marked[2]
    assert marked[3]
    assert not marked[5], "it was not on its way to the first"


def test_an_answer_after_closing_has_no_effect(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 2)
    subscription = broker.subscribe(FRAMES, 2)
    acked, rejected = Taker(subscription).take(2)
    subscription.close()
    acked.ack()
    rejected.reject()
    after = Taker(broker.subscribe(FRAMES, 9))
    assert after.numbers(2) == [0, 1]
    assert after.gets_nothing()


def test_answers_may_come_from_another_thread(broker: Broker, stream: str) -> None:
    publish_frames(broker, stream, 3)
    taker = Taker(broker.subscribe(FRAMES, 1))
    for expected in range(3):
        (delivery,) = taker.take(1)
        assert number_in(delivery.message) == expected
        Background(delivery.ack).result()


@pytest.mark.parametrize("topic", [FRAMES, "detections.0"])
def test_closing_a_subscription_ends_its_iteration(broker: Broker, topic: str) -> None:
    subscription = broker.subscribe(topic, 1)
    iteration = Background(Taker(subscription).drain)
    subscription.close()
    subscription.close()
    iteration.result()


# Shards


def test_a_shard_has_one_active_subscriber(broker: Broker, stream: str, shard: str) -> None:
    publish_notes(broker, shard, stream, 6)
    active, waiting = (Taker(broker.subscribe(shard, 3)) for _ in range(2))
    held = active.take(3)
    assert waiting.gets_nothing(), "though the active one has no room left"
    for delivery in held:
        delivery.ack()
    assert active.numbers(3) == [3, 4, 5]
    publish_notes(broker, shard, stream, 1, first=6)
    assert waiting.gets_nothing()


def test_the_next_subscriber_takes_over_what_is_unanswered_and_the_rest(
    broker: Broker, stream: str, shard: str
) -> None:
    publish_notes(broker, shard, stream, 8)
    first = broker.subscribe(shard, 5)
    second = Taker(broker.subscribe(shard, 9))
    held = Taker(first).take(5)
    held[0].ack()
    held[3].ack()
    first.close()
    taken = second.take(6)
    marked = {number_in(delivery.message): delivery.redelivered for delivery in taken}
    assert sorted(marked) == [1, 2, 4, 5, 6, 7]
    assert marked[1]
    assert marked[2]
    assert marked[4]
    assert not marked[7], "it was not on its way to the first"


def test_closing_a_waiting_subscriber_changes_nothing(broker: Broker, stream: str, shard: str) -> None:
    active = Taker(broker.subscribe(shard, 9))
    broker.subscribe(shard, 9).close()
    publish_notes(broker, shard, stream, 3)
    assert active.numbers(3) == [0, 1, 2]


def test_shards_are_apart(broker: Broker, stream: str) -> None:
    broker.publish("detections.1", note(stream, 1))
    broker.publish("detections.2", note(stream, 2))
    assert Taker(broker.subscribe("detections.2", 9)).numbers(1) == [2]
    assert Taker(broker.subscribe("detections.1", 9)).numbers(1) == [1]


# Logs


def test_every_reader_sees_everything_once_and_in_order(broker: Broker, stream: str) -> None:
    log = tracks_log(stream)
    readers = [broker.read(log, "start") for _ in range(3)]
    publish_notes(broker, log, stream, 20)
    assert [read_numbers(reader, 20) for reader in readers] == [list(range(20))] * 3
    assert [next(iter(reader)) for reader in readers] == [None] * 3


def test_a_late_reader_starts_at_the_oldest_entry(broker: Broker, stream: str) -> None:
    log = tracks_log(stream)
    publish_notes(broker, log, stream, 10)
    assert read_numbers(broker.read(log, "start"), 10) == list(range(10))


def test_a_reader_follows_for_longer_than_is_sent_at_once(broker: Broker, stream: str) -> None:
    """A broker sends so many entries, then waits for an answer."""
    log = tracks_log(stream)
    reader = broker.read(log, "start")
    for _ in range(10):
        publish_notes(broker, log, stream, 30)
        assert read_numbers(reader, 30) == list(range(30))


def test_a_reader_from_now_sees_what_comes_next(broker: Broker, stream: str) -> None:
    log = tracks_log(stream)
    publish_notes(broker, log, stream, 5)
    reader = broker.read(log, "now")
    publish_notes(broker, log, stream, 1, first=5)
    assert read_numbers(reader, 1) == [5]


def test_a_reader_from_a_time_misses_nothing_since(broker: Broker, stream: str) -> None:
    log = tracks_log(stream)
    publish_notes(broker, log, stream, 5)
    since = utc_now()
    publish_notes(broker, log, stream, 5, first=5)
    found = read_until(broker.read(log, since), lambda number: number == 9)
    assert found[-5:] == [5, 6, 7, 8, 9]


def test_a_reader_goes_on_where_another_stopped(broker: Broker, stream: str) -> None:
    log = tracks_log(stream)
    publish_notes(broker, log, stream, 10)
    first = broker.read(log, "start")
    assert read_numbers(first, 4) == [0, 1, 2, 3]
    position = first.position
    first.close()
    second = broker.read(log, position)
    assert second.position == position
    assert read_numbers(second, 6) == [4, 5, 6, 7, 8, 9]


def test_iterating_a_reader_again_does_not_repeat(broker: Broker, stream: str) -> None:
    log = tracks_log(stream)
    publish_notes(broker, log, stream, 4)
    reader = broker.read(log, "start")
    assert read_numbers(reader, 2) + read_numbers(reader, 2) == [0, 1, 2, 3]


def test_a_slow_reader_from_now_holds_nobody(broker: Broker, stream: str) -> None:
    log, last = tracks_log(stream), 4 * CAPACITY - 1
    slow = broker.read(log, "now")
    keen = broker.read(log, "start")
    publishing = Background(lambda: publish_notes(broker, log, stream, last + 1))
    assert read_numbers(keen, last + 1) == list(range(last + 1))
    publishing.result()
    seen = read_until(slow, lambda number: number == last)
    assert seen == sorted(set(seen)), "in order, without repeats"


def test_closing_a_reader_is_not_noticed_by_the_others(broker: Broker, stream: str) -> None:
    log = tracks_log(stream)
    leaving, staying = (broker.read(log, "start") for _ in range(2))
    publish_notes(broker, log, stream, 3)
    assert read_numbers(leaving, 1) == [0]
    leaving.close()
    publish_notes(broker, log, stream, 3, first=3)
    assert read_numbers(staying, 6) == list(range(6))


def test_closing_a_reader_ends_its_iteration(broker: Broker, stream: str) -> None:
    reader = broker.read(tracks_log(stream), "start")
    iteration = Background(lambda: list(reader))
    reader.close()
    reader.close()
    assert set(iteration.result()) <= {None}


def test_logs_are_apart(broker: Broker, stream: str) -> None:
    broker.publish(tracks_log(stream), note(stream, 1))
    broker.publish(tracks_log(f"{stream}-2"), note(stream, 2))
    assert read_numbers(broker.read(tracks_log(f"{stream}-2"), "start"), 1) == [2]


# Frames, room, the end


def test_a_frame_goes_to_the_queue_and_to_the_log(broker: Broker, stream: str) -> None:
    reader = broker.read(video_log(stream), "start")
    publish_frames(broker, stream, 3)
    assert read_numbers(reader, 3) == [0, 1, 2]
    assert Taker(broker.subscribe(FRAMES, 9)).numbers(3) == [0, 1, 2]


def test_a_frame_not_to_detect_goes_to_the_log_only(broker: Broker, stream: str) -> None:
    reader = broker.read(video_log(stream), "start")
    broker.publish_frame(make_frame(stream, 0), detect=False)
    broker.publish_frame(make_frame(stream, 1))
    assert read_numbers(reader, 2) == [0, 1]
    assert Taker(broker.subscribe(FRAMES, 9)).numbers(1) == [1]


def test_has_room_tells_when_frames_pile_up(broker: Broker, stream: str) -> None:
    assert broker.has_room()
    index = 0
    while broker.has_room():
        assert index < CAPACITY, "the queue has a limit, and publishing would block there"
        broker.publish_frame(make_frame(stream, index))
        index += 1
    assert Taker(broker.subscribe(FRAMES, 4)).numbers(index) == list(range(index))
    wait_until(broker.has_room, "room after the queue was emptied")


def test_idle_ticks_come_often(broker: Broker, stream: str, shard: str) -> None:
    for idle in (broker.subscribe(FRAMES, 1), broker.subscribe(shard, 1), broker.read(tracks_log(stream), "now")):
        items = iter(idle)
        begin = time.monotonic()
        assert [next(items) for _ in range(5)] == [None] * 5
        assert time.monotonic() - begin < 5, "0.2 s each at most, and a busy machine"


def test_closing_the_broker_ends_every_iteration(broker: Broker, stream: str, shard: str) -> None:
    parts = [broker.subscribe(FRAMES, 1), broker.subscribe(shard, 1), broker.subscribe(shard, 1)]
    iterations = [Background(Taker(part).drain) for part in parts]
    reader = broker.read(tracks_log(stream), "start")
    reading = Background(lambda: list(reader))
    broker.close()
    broker.close()
    for iteration in (*iterations, reading):
        iteration.result()


def test_a_blocked_publisher_ends_when_the_broker_closes(broker: Broker, stream: str) -> None:
    def publish_for_ever() -> None:
        for index in range(10**9):
            broker.publish_frame(make_frame(stream, index))

    publishing = Background(publish_for_ever)
    wait_until(lambda: not broker.has_room(), "the queue to fill up")
    broker.close()
    with pytest.raises(BrokerClosed):
        publishing.result()


def test_a_closed_broker_refuses_everything(broker: Broker, stream: str, shard: str) -> None:
    broker.close()
    calls: list[Callable[[], object]] = [
        lambda: broker.publish(shard, note(stream, 0)),
        lambda: broker.publish(tracks_log(stream), note(stream, 0)),
        lambda: broker.publish_frame(make_frame(stream, 0)),
        lambda: broker.subscribe(FRAMES, 1),
        lambda: broker.read(tracks_log(stream), "start"),
    ]
    for call in calls:
        with pytest.raises(BrokerClosed):
            call()


# Load


def test_under_load_everything_is_acknowledged_exactly_once(broker: Broker, stream: str) -> None:
    publishers, each = 3, 200
    acked: Counter[int] = Counter()
    lock = threading.Lock()

    def work(subscription: Subscription) -> None:
        for number, delivery in enumerate(subscription):
            if delivery is None:
                continue
            if number % 7 == 0 and not delivery.redelivered:
                delivery.reject()
                continue
            delivery.ack()
            with lock:
                acked[number_in(delivery.message)] += 1

    subscriptions = [broker.subscribe(FRAMES, 5) for _ in range(4)]
    workers = [Background(lambda s=s: work(s)) for s in subscriptions]
    firsts = [publisher * each for publisher in range(publishers)]
    publishing = [Background(lambda first=first: publish_frames(broker, stream, each, first)) for first in firsts]
    for publisher in publishing:
        publisher.result()
    wait_until(lambda: sum(acked.values()) >= publishers * each, "everything to be acknowledged")
    for subscription in subscriptions:
        subscription.close()
    for worker in workers:
        worker.result()
    assert acked == Counter(range(publishers * each))


def test_subscribers_that_come_and_go_lose_nothing(broker: Broker, stream: str, shard: str) -> None:
    count = 300
    seen: list[int] = []
    publishing = Background(lambda: publish_notes(broker, shard, stream, count))
    while len(set(seen)) < count:
        subscription = broker.subscribe(shard, 8)
        held = Taker(subscription).take(min(8, count - len(set(seen))))
        for delivery in held[:5]:
            seen.append(number_in(delivery.message))
            delivery.ack()
        subscription.close()
    publishing.result()
    assert sorted(seen) == list(range(count)), "each once"
