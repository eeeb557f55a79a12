"""RabbitMQ as it is: what is declared, what is given up on and why, logs, leases, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import islice
from threading import Event
from typing import Any

import pika
import pika.exceptions
import pytest

from tests.support.brokers import RUN_ID, Taker, make_frame, note, number_in, read_numbers
from tests.support.rabbit import RabbitNode, fresh_namespace, open_rabbit
from tests.support.waiting import DEADLINE, Background, wait_until
from yolotrack import wire
from yolotrack.broker.base import (
    DEAD,
    FRAMES,
    QUARANTINE,
    RUNS,
    SUSPECTS,
    DeadLetter,
    FramePlace,
    tracks_log,
    video_log,
)
from yolotrack.broker.rabbitmq import RabbitBroker
from yolotrack.broker.rabbitmq.consumer import Consumer
from yolotrack.broker.rabbitmq.topology import FRAME_LIMIT, SUSPECT_LIMIT
from yolotrack.broker.rabbitmq.trouble import refusal
from yolotrack.errors import BrokerError, StreamBusy
from yolotrack.model import Frame, FrameDetections, FrameLost, Message, Outcome, utc_now

pytestmark = pytest.mark.timeout(60)

SHARD = "detections.0"


@pytest.fixture
def namespace() -> str:
    return fresh_namespace()


@pytest.fixture
def broker(rabbit: RabbitNode, namespace: str) -> Iterator[RabbitBroker]:
    with closing(open_rabbit(rabbit.url, namespace)) as opened:
        yield opened


@contextmanager
def raw_channel(rabbit: RabbitNode) -> Iterator[Any]:
    """What an operator's tools do."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbit.url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def put(rabbit: RabbitNode, queue: str, body: bytes, like: Message | None = None) -> None:
    """A message that no publisher of ours would send, with the properties of one that it would."""
    from yolotrack.broker.rabbitmq.broker import _properties

    properties = None if like is None else _properties(like)
    with raw_channel(rabbit) as channel:
        channel.confirm_delivery()
        channel.basic_publish("", queue, body, properties, mandatory=True)


def place_of(frame: Frame) -> FramePlace:
    return FramePlace(frame.run_id, frame.stream, frame.index, frame.media_time, frame.captured_at)


def dead_letters(broker: RabbitBroker, count: int) -> list[DeadLetter]:
    """So many dead letters, each dealt with before the next comes."""
    found: list[DeadLetter] = []
    with closing(broker.dead_letters()) as letters:
        for letter in islice(letters, 200):
            if letter is not None:
                letter.ack()
                found.append(letter)
            if len(found) == count:
                return found
    raise AssertionError(f"only {len(found)} dead letters of {count}")


# What is declared


def test_queues_are_declared_durable_bounded_and_explicit(
    rabbit: RabbitNode, broker: RabbitBroker, namespace: str
) -> None:
    for topic in (FRAMES, SUSPECTS, SHARD, QUARANTINE):
        broker.subscribe(topic, 1)
    broker.publish_frame(make_frame("cam", 0))
    broker.settle()
    broker.publish(tracks_log("cam"), note("cam", 0))
    broker.publish(RUNS, note("cam", 0))
    listed = json.loads(rabbit.control("list_queues", "name", "type", "durable", "arguments", "--formatter", "json"))
    queues = {q["name"].removeprefix(f"{namespace}."): q for q in listed if q["name"].startswith(f"{namespace}.")}
    assert set(queues) == {FRAMES, SUSPECTS, DEAD, QUARANTINE, SHARD, "video.cam", "tracks.cam", RUNS}
    assert all(queue["durable"] for queue in queues.values())
    arguments = {name: _arguments(queue["arguments"]) for name, queue in queues.items()}
    for name in (FRAMES, SUSPECTS, DEAD, QUARANTINE, SHARD):
        assert queues[name]["type"] == "quorum"
        assert arguments[name]["x-delivery-limit"] > 0
        assert arguments[name]["x-max-length"] > 0
    for name in (FRAMES, SUSPECTS, SHARD):
        assert arguments[name]["x-overflow"] == "reject-publish"
        assert arguments[name]["x-dead-letter-strategy"] == "at-least-once"
        assert arguments[name]["x-dead-letter-routing-key"] == f"{namespace}.{DEAD}"
    assert arguments[QUARANTINE]["x-overflow"] == "drop-head"
    assert {name for name in arguments if "x-single-active-consumer" in arguments[name]} == {SHARD}
    for name in ("video.cam", "tracks.cam", RUNS):
        assert queues[name]["type"] == "stream"
        size, segment = arguments[name]["x-max-length-bytes"], arguments[name]["x-stream-max-segment-size-bytes"]
        assert segment <= size / 8


def _arguments(listed: Any) -> dict[str, Any]:
    return listed if isinstance(listed, dict) else {name: value for name, _, value in listed}


def test_declaring_again_by_another_process_changes_nothing(
    rabbit: RabbitNode, broker: RabbitBroker, namespace: str
) -> None:
    broker.publish_frame(make_frame("cam", 0))
    broker.settle()
    with closing(open_rabbit(rabbit.url, namespace)) as other:
        other.publish_frame(make_frame("cam", 1))
        assert Taker(other.subscribe(FRAMES, 2)).numbers(2) == [0, 1]


# What is given up on


@pytest.mark.parametrize(("topic", "limit"), [(FRAMES, FRAME_LIMIT), (SUSPECTS, SUSPECT_LIMIT)])
def test_what_is_returned_too_often_is_dead_lettered_with_its_place(
    broker: RabbitBroker, topic: str, limit: int
) -> None:
    frame = make_frame("cam", 7)
    broker.publish(topic, frame)
    taker = Taker(broker.subscribe(topic, 1))
    for attempt in range(limit + 1):
        (delivery,) = taker.take(1)
        assert delivery.redelivered == (attempt > 0)
        delivery.reject()
    (letter,) = dead_letters(broker, 1)
    assert letter.place == place_of(frame)
    assert letter.reason == "its worker died every time"
    assert taker.gets_nothing()


def test_a_frame_whose_workers_vanish_is_dead_lettered_and_its_neighbour_is_not(
    rabbit: RabbitNode, broker: RabbitBroker, namespace: str
) -> None:
    deadly, neighbour = make_frame("cam", 1), make_frame("cam", 2)
    broker.publish(SUSPECTS, deadly, neighbour)
    for _ in range(SUSPECT_LIMIT + 1):
        with closing(open_rabbit(rabbit.url, namespace)) as worker:  # its end takes the connection along
            (delivery,) = Taker(worker.subscribe(SUSPECTS, 1)).take(1)
            assert delivery.message == deadly
    (letter,) = dead_letters(broker, 1)
    assert letter.place == place_of(deadly)
    assert Taker(broker.subscribe(SUSPECTS, 1)).numbers(1) == [2]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a message: 0 bytes"),
        (b"garbage" * 9, "does not begin with YT"),
        (b"YT\x63" + wire.encode(note("cam", 1))[3:], "message format 99"),
        (wire.encode(note("cam", 1))[:20], "cut off"),
    ],
    ids=["empty", "garbage", "version", "cut"],
)
def test_what_cannot_be_read_is_dead_lettered_with_reason_and_place(
    rabbit: RabbitNode, broker: RabbitBroker, namespace: str, body: bytes, said: str
) -> None:
    taker = Taker(broker.subscribe(FRAMES, 2))
    frame = make_frame("cam", 5)
    put(rabbit, f"{namespace}.{FRAMES}", body, frame)
    broker.publish_frame(make_frame("cam", 6))
    assert taker.numbers(1) == [6]
    (letter,) = dead_letters(broker, 1)
    assert letter.place == place_of(frame)
    assert said in letter.reason


@pytest.mark.parametrize(
    "headers",
    [None, {}, {"index": -1}, {"index": "seven"}, {"stream": "a/b"}, {"run_id": "x"}, {"media_time": "nan"}],
)
def test_a_dead_letter_without_a_sound_place_is_kept_in_quarantine(
    rabbit: RabbitNode, broker: RabbitBroker, namespace: str, headers: dict[str, Any] | None
) -> None:
    from yolotrack.broker.rabbitmq.broker import _properties

    broker.dead_letters().close()
    sound = _properties(make_frame("cam", 5)).headers
    properties = None if headers is None else pika.BasicProperties(headers=(sound | headers) if headers else {})
    with raw_channel(rabbit) as channel:
        channel.basic_publish("", f"{namespace}.{DEAD}", b"mystery", properties)
    for letter in broker.dead_letters():
        if letter is not None:
            assert letter.place is None
            letter.quarantine()
            break
    with raw_channel(rabbit) as channel:
        method, kept, body = channel.basic_get(f"{namespace}.{QUARANTINE}")
        assert body == b"mystery"
        assert kept.headers["reason"]
        channel.basic_ack(method.delivery_tag)


def test_a_dead_letter_that_nobody_answered_comes_again(broker: RabbitBroker) -> None:
    give_up(broker, FRAMES, make_frame("cam", 3), "too dark")
    letters = broker.dead_letters()
    assert next(letter.reason for letter in letters if letter is not None) == "too dark"
    letters.close()
    (again,) = dead_letters(broker, 1)
    assert (again.reason, again.place.index) == ("too dark", 3)  # type: ignore[union-attr]


def give_up(broker: RabbitBroker, topic: str, message: Message, reason: str) -> None:
    broker.publish(topic, message)
    with closing(broker.subscribe(topic, 1)) as subscription:
        (delivery,) = Taker(subscription).take(1)
        delivery.dead_letter(reason)


def test_dead_detections_tell_their_place_too(broker: RabbitBroker) -> None:
    import supervision as sv

    frame = make_frame("cam", 9)
    where = (frame.run_id, frame.stream, frame.index, frame.media_time, frame.captured_at)
    give_up(broker, SHARD, FrameDetections(*where, sv.Detections.empty(), "m", "d"), "why not")
    give_up(broker, SHARD, FrameLost(*where, Outcome.FAILED, ""), "again")
    assert [letter.place for letter in dead_letters(broker, 2)] == [place_of(frame)] * 2


# Room


def test_a_full_queue_holds_publishers_up_and_loses_nothing(rabbit: RabbitNode) -> None:
    with closing(open_rabbit(rabbit.url, max_frames=4)) as broker:
        count = 100
        published: list[int] = []

        def publish() -> None:
            for index in range(count):
                broker.publish_frame(make_frame("cam", index))
                published.append(index)

        publishing = Background(publish)
        wait_until(lambda: not broker.wait_for_room(0), "the queue to fill")
        wait_until(lambda: len(published) >= 16, "the limit")
        assert publishing.running
        assert len(published) < count
        assert set(Taker(broker.subscribe(FRAMES, 4)).numbers(count)) == set(range(count))
        publishing.result()


# Logs


def test_frames_on_their_way_to_the_work_queue_take_room_and_those_for_the_log_alone_do_not(
    broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker._publisher, "post", lambda parcels: None)  # none of them arrives
    for index in range(5):
        broker.publish_frame(make_frame("cam", index), detect=False)
    assert broker.has_room()
    broker.publish_frame(make_frame("cam", 5))
    assert broker.has_room()
    broker.publish_frame(make_frame("cam", 6))
    assert not broker.has_room(), "two, as it was opened with"


def test_a_reader_from_a_position_and_one_from_the_start_agree(broker: RabbitBroker) -> None:
    broker.publish(tracks_log("cam"), *(note("cam", number) for number in range(300)))
    first = broker.read(tracks_log("cam"), "start")
    assert read_numbers(first, 150) == list(range(150))
    rest = [broker.read(tracks_log("cam"), first.position) for _ in range(3)]
    assert [read_numbers(reader, 150) for reader in (first, *rest)] == [list(range(150, 300))] * 4


def test_a_reader_from_a_time_passes_over_what_is_older(broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tracks_log("cam")
    broker.publish(log, *(note("cam", number) for number in range(5)))
    published = utc_now()
    wait_until(lambda: utc_now() - published > timedelta(seconds=2), "another second of the broker's clock")
    since = utc_now()
    broker.publish(log, *(note("cam", number) for number in range(5, 10)))

    assert read_numbers(broker.read(log, since), 10) == list(range(10)), "clocks may differ by minutes"
    monkeypatch.setattr("yolotrack.broker.rabbitmq.broker.CLOCK_SKEW_SECONDS", 0.0)
    assert read_numbers(broker.read(log, since), 5) == list(range(5, 10))


def test_a_body_in_a_log_that_cannot_be_read_is_passed_over(
    rabbit: RabbitNode, broker: RabbitBroker, namespace: str
) -> None:
    broker.publish(tracks_log("cam"), note("cam", 0))
    put(rabbit, f"{namespace}.tracks.cam", b"garbage")
    broker.publish(tracks_log("cam"), note("cam", 1))
    reader = broker.read(tracks_log("cam"), "start")
    assert read_numbers(reader, 2) == [0, 1]
    assert reader.position == 3


def test_a_silent_log_is_opened_again_without_repeats_or_gaps(
    broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolotrack.broker.rabbitmq.reader.WATCHDOG_SECONDS", 0.05)
    reader = broker.read(tracks_log("cam"), "start")
    seen: list[int] = []
    for number in range(5):
        broker.publish(tracks_log("cam"), note("cam", number))
        seen += read_numbers(reader, 1)
        assert [next(iter(reader)) for _ in range(4)] == [None] * 4
    assert seen == [0, 1, 2, 3, 4]
    assert reader._consumer.session > 3


def test_finishing_for_a_publisher_counts_the_frames_of_the_run(broker: RabbitBroker) -> None:
    begin = utc_now()
    other = RUN_ID[:-1] + "2"
    go_on = Event()
    assert broker.finish_publishing(RUN_ID, "cam", begin, stop=go_on) == 0
    for index in range(7):
        broker.publish_frame(make_frame("cam", index, other))
    for index in range(4):
        broker.publish_frame(make_frame("cam", index), detect=index % 2 == 0)
    assert broker.finish_publishing(RUN_ID, "cam", begin, stop=go_on) == 4
    assert broker.finish_publishing(other, "cam", begin - timedelta(days=400), stop=go_on) == 7
    assert broker.finish_publishing(RUN_ID, "elsewhere", begin, stop=go_on) == 0


def test_finishing_for_a_publisher_can_be_stopped(broker: RabbitBroker) -> None:
    stopped = Event()
    stopped.set()
    taker = Taker(broker.subscribe(FRAMES, 100))
    for index in range(40):
        broker.publish_frame(make_frame("cam", index))
    assert taker.numbers(40) == list(range(40))
    assert broker.finish_publishing(RUN_ID, "cam", utc_now(), stop=stopped) is None
    assert taker.gets_nothing(), "nothing is published again for a count that was not made"


def test_frames_that_a_publisher_brought_to_the_log_alone_reach_the_work_queue(broker: RabbitBroker) -> None:
    begin = utc_now()
    taker = Taker(broker.subscribe(FRAMES, 100))
    for index in range(40):
        broker.publish_frame(make_frame("cam", index), detect=index < 39)
    assert taker.numbers(39) == list(range(39))
    assert broker.finish_publishing(RUN_ID, "cam", begin, stop=Event()) == 40
    again = taker.numbers(17)
    assert again == list(range(23, 40))


# Queues that somebody deletes


def is_back(consumer: Consumer) -> bool:
    return consumer.session > 1 and consumer._consuming


@pytest.mark.parametrize("topic", [FRAMES, SHARD])
def test_a_queue_deleted_in_use_comes_back(
    rabbit: RabbitNode, broker: RabbitBroker, namespace: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    publish = (
        (lambda n: broker.publish_frame(make_frame("cam", n)))
        if topic == FRAMES
        else (lambda n: broker.publish(SHARD, note("cam", n)))
    )
    subscription = broker.subscribe(topic, 4)
    taker = Taker(subscription)
    publish(0)
    assert taker.numbers(1) == [0]
    with raw_channel(rabbit) as channel:
        channel.queue_delete(f"{namespace}.{topic}")
    wait_until(lambda: is_back(subscription._consumer), "the queue to come back")
    publish(1)
    assert taker.numbers(1) == [1]
    assert "deleted" in caplog.text


def test_a_queue_deleted_while_nobody_takes_from_it_comes_back(rabbit: RabbitNode, namespace: str) -> None:
    with closing(open_rabbit(rabbit.url, namespace, max_frames=1)) as broker:
        for index in range(2):
            assert broker.wait_for_room(DEADLINE)
            broker.publish_frame(make_frame("cam", index))
            with closing(broker.subscribe(FRAMES, 1)) as subscription:
                assert Taker(subscription).numbers(1) == [index]
            with raw_channel(rabbit) as channel:
                channel.queue_delete(f"{namespace}.{FRAMES}")


def test_a_log_deleted_in_use_begins_anew(rabbit: RabbitNode, broker: RabbitBroker, namespace: str) -> None:
    reader = broker.read(video_log("cam"), "start")
    for index in range(3):
        broker.publish_frame(make_frame("cam", index))
    assert read_numbers(reader, 3) == [0, 1, 2]
    with raw_channel(rabbit) as channel:
        channel.queue_delete(f"{namespace}.video.cam")
    wait_until(lambda: is_back(reader._consumer), "the log to come back")
    broker.publish_frame(make_frame("cam", 3))
    assert read_numbers(reader, 1) == [3]


# One publisher a stream

HOLDER = """
import sys, time
from tests.support.rabbit import open_rabbit
lease = open_rabbit(sys.argv[1], sys.argv[2]).feed("cam")
print("held", flush=True)
time.sleep(600)
"""


def test_a_stream_has_one_publisher(rabbit: RabbitNode, broker: RabbitBroker, namespace: str) -> None:
    with closing(open_rabbit(rabbit.url, namespace)) as other:
        assert not broker.is_fed("cam")
        lease = other.feed("cam")
        assert broker.is_fed("cam")
        assert other.is_fed("cam")
        assert not broker.is_fed("cam-2")
        with pytest.raises(StreamBusy, match="another publisher feeds the stream cam"):
            broker.feed("cam")
        broker.feed("cam-2").close()
        lease.close()
        lease.close()
        assert not broker.is_fed("cam")
        broker.feed("cam").close()


def test_asking_for_many_streams_at_once_finds_none_in_doubt(broker: RabbitBroker) -> None:
    assert [broker.is_fed(f"cam-{number}") for number in range(20)] == [False] * 20


def test_a_killed_publisher_gives_its_stream_free(rabbit: RabbitNode, broker: RabbitBroker, namespace: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, rabbit.url, namespace], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert broker.is_fed("cam")
        finally:
            os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not broker.is_fed("cam"), "the stream to be free")
    broker.feed("cam").close()


# Refusals


@pytest.mark.parametrize(
    ("code", "text", "remedy"),
    [
        (406, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'y.frames'", "; delete that queue, or"),
        (
            406,
            "PRECONDITION_FAILED - message size 20000000 is larger than configured max size 16777216",
            "; publish with",
        ),
        (403, "ACCESS_REFUSED - access to queue 'y.large' in vhost '/' refused for user 'u'", ""),
    ],
)
def test_a_refusal_says_what_helps(code: int, text: str, remedy: str) -> None:
    said = str(refusal(pika.exceptions.ChannelClosedByBroker(code, text)))
    assert said.startswith(f"the broker refuses: {text}{remedy}")
    assert bool(remedy) == (not said.endswith(text))


def test_queues_with_other_arguments_are_refused(rabbit: RabbitNode, broker: RabbitBroker, namespace: str) -> None:
    broker.publish_frame(make_frame("cam", 0))
    broker.settle()
    with closing(open_rabbit(rabbit.url, namespace, max_frames=5)) as other:
        other.publish_frame(make_frame("cam", 1))
        for call in (other.settle, lambda: other.subscribe(FRAMES, 1)):
            with pytest.raises(BrokerError, match="x-max-length") as caught:
                call()
            assert "--namespace" in str(caught.value)
            assert "\n" not in str(caught.value)
        other.publish(RUNS, note("cam", 1))  # that topic is as it was
    assert number_in(Taker(broker.subscribe(FRAMES, 1)).take(1)[0].message) == 0
