"""A queue that hangs while its broker is well: it is named, tried again, and holds up nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.brokers import Taker, note, read_numbers
from tests.support.ports import Port, deaf_to
from tests.support.rabbit import RabbitNode, fresh_namespace, open_rabbit
from tests.support.waiting import wait_until
from yolotrack.broker.base import FRAMES, SUSPECTS, tracks_log
from yolotrack.broker.rabbitmq import RabbitBroker

pytestmark = pytest.mark.timeout(60)

SHARD = "detections.0"


@pytest.fixture
def hanging() -> set[str]:
    """Names of queues that hang."""
    return set()


@pytest.fixture
def broker(rabbit: RabbitNode, hanging: set[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[RabbitBroker]:
    """One that loses its patience quickly."""
    monkeypatch.setattr("yolotrack.broker.rabbitmq.consumer.ANSWER_SECONDS", 1.0)
    monkeypatch.setattr("yolotrack.broker.rabbitmq.consumer.ATTACH_SECONDS", 0.2)
    monkeypatch.setattr("yolotrack.broker.rabbitmq.consumer.RETRY_SECONDS", (0.2, 0.4))
    with Port(deaf_to(hanging, rabbit.port)) as port:
        url = f"amqp://guest:guest@127.0.0.1:{port.number}/"
        with closing(open_rabbit(url, fresh_namespace(), patience=60)) as opened:
            yield opened


def name_of(broker: RabbitBroker, topic: str) -> str:
    return broker._topology.queue(topic)


@pytest.mark.parametrize("topic", [FRAMES, SUSPECTS, SHARD])
def test_a_queue_that_hangs_is_named_and_taken_up_again(
    topic: str, broker: RabbitBroker, hanging: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    hanging.add(name_of(broker, topic))
    taker = Taker(broker.subscribe(topic, 2))
    wait_until(lambda: broker.sick, "it to be noticed")
    (sick,) = broker.sick
    assert (sick.queue, sick.reason) == (name_of(broker, topic), "no answer for 10 s")
    broker.publish(topic, note("cam", 1))
    assert taker.gets_nothing(20)
    hanging.clear()
    assert taker.numbers(1) == [1]
    assert broker.sick == ()
    lines = [record.getMessage() for record in caplog.records if name_of(broker, topic) in record.getMessage()]
    assert len(lines) == 2, "it fell sick, and is well, however often it was tried"
    assert "queue does not answer" in lines[0]
    assert "queue answers again" in lines[1]


def test_a_log_that_hangs_is_read_from_its_place_afterwards(broker: RabbitBroker, hanging: set[str]) -> None:
    log = tracks_log("cam")
    broker.publish(log, *(note("cam", number) for number in range(9)))
    hanging.add(name_of(broker, log))
    reader = broker.read(log, 4)
    wait_until(lambda: broker.sick, "it to be noticed")
    hanging.clear()
    assert read_numbers(reader, 5) == [4, 5, 6, 7, 8]


def test_others_go_on_meanwhile(broker: RabbitBroker, hanging: set[str]) -> None:
    others = {topic: Taker(broker.subscribe(topic, 2)) for topic in (SUSPECTS, SHARD)}
    reader = broker.read(tracks_log("cam"), "start")
    hanging.add(name_of(broker, FRAMES))
    broker.subscribe(FRAMES, 2)
    for number in range(3):
        if number:
            wait_until(lambda: broker.sick, "it to be noticed")
        for topic, taker in others.items():
            broker.publish(topic, note("cam", number))
            (delivery,) = taker.take(1)
            assert not delivery.redelivered
            delivery.ack()
        broker.publish(tracks_log("cam"), note("cam", number))
        assert read_numbers(reader, 1) == [number]


def test_one_that_falls_sick_in_the_middle_loses_nothing(
    rabbit: RabbitNode, broker: RabbitBroker, hanging: set[str]
) -> None:
    broker.publish(SHARD, *(note("cam", number) for number in range(4)))
    taker = Taker(broker.subscribe(SHARD, 2))
    first, second = taker.take(2)
    hanging.add(name_of(broker, SHARD))
    rabbit.control("close_all_connections", "a test")
    wait_until(lambda: broker.sick, "it to be noticed")
    first.ack()
    second.ack()  # both of a session that is over
    hanging.clear()
    again = taker.take(2)
    assert all(delivery.session > first.session for delivery in again)
    for delivery in again:
        delivery.ack()
    assert sorted(taker.numbers(2)) == [2, 3]


@pytest.mark.usefixtures("every_thread_ends")
def test_closing_does_not_wait_for_one_that_hangs(rabbit: RabbitNode, hanging: set[str], broker: RabbitBroker) -> None:
    hanging.add(name_of(broker, FRAMES))
    subscription = broker.subscribe(FRAMES, 2)
    wait_until(lambda: broker.sick, "it to be noticed")
    subscription.close()
    assert broker.sick == ()
    broker.subscribe(FRAMES, 2)
    wait_until(lambda: broker.sick, "it to be noticed")
    broker.close()
