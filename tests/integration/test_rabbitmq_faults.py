"""RabbitMQ that goes away, comes back, or says stop: everything arrives, by itself and in time."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.brokers import Taker, make_frame, note, number_in, read_numbers
from tests.support.rabbit import RabbitNode, free_port, open_rabbit, rabbit_node
from tests.support.waiting import Background, wait_until
from yolotrack.broker.base import FRAMES, tracks_log, video_log
from yolotrack.broker.rabbitmq import RabbitBroker
from yolotrack.errors import BrokerError

pytestmark = pytest.mark.timeout(150)

SHARD = "detections.0"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """One that these tests may stop, kill and alarm, as long as they leave it running."""
    with rabbit_node(tmp_path_factory.mktemp("own-rabbitmq")) as own:
        yield own


@pytest.fixture
def broker(node: RabbitNode) -> Iterator[RabbitBroker]:
    with closing(open_rabbit(node.url, patience=90)) as opened:
        yield opened


class Traffic:
    """Frames, notes on a shard and entries of a log, published one by one until told to stop, and what arrived."""

    def __init__(self, broker: RabbitBroker) -> None:
        self.broker = broker
        self.published = 0
        self.frames: list[int] = []
        self.notes: list[int] = []
        self.entries: list[int] = []
        self.positions: list[int] = []
        self._stop = threading.Event()
        self._taking = [
            Background(lambda: self._take(FRAMES, self.frames)),
            Background(lambda: self._take(SHARD, self.notes)),
            Background(self._read),
        ]
        self._publishing = Background(self._publish)

    def wait_for(self, more: int, seconds: float = 60.0) -> None:
        """Return once so many more of everything were published from now, and arrived."""
        goal = self.published + more
        wait_until(
            lambda: self.published >= goal and min(len(set(s)) for s in self._arrived()) >= goal,
            f"{goal} of everything; there are {self.published} and {[len(set(s)) for s in self._arrived()]}",
            seconds,
        )

    def end(self) -> None:
        """Stop publishing; all that was published arrives, nothing else, the log in order."""
        self._stop.set()
        self._publishing.result(60)
        everything = set(range(self.published))
        wait_until(lambda: all(set(arrived) >= everything for arrived in self._arrived()), "the rest", 30)
        assert set(self.frames) | set(self.notes) | set(self.entries) == everything
        assert self.positions == sorted(set(self.positions)), "no entry of a log is read twice"
        newest = -1
        for number in self.entries:
            assert number <= newest + 1, "no gap"
            newest = max(newest, number)
        self.broker.close()
        for taking in self._taking:
            taking.result()

    def _arrived(self) -> tuple[list[int], list[int], list[int]]:
        return self.frames, self.notes, self.entries

    def _publish(self) -> None:
        while not self._stop.is_set():
            if self.broker.wait_for_room(0.2):
                self.broker.publish_frame(make_frame("cam", self.published))
                self.broker.publish(SHARD, note("cam", self.published))
                self.broker.publish(tracks_log("cam"), note("cam", self.published))
                self.published += 1

    def _take(self, topic: str, into: list[int]) -> None:
        for delivery in self.broker.subscribe(topic, 8):
            if delivery is not None:
                into.append(number_in(delivery.message))
                delivery.ack()

    def _read(self) -> None:
        reader = self.broker.read(tracks_log("cam"), "start")
        for message in reader:
            if message is not None:
                self.entries.append(number_in(message))
                self.positions.append(reader.position)


def close_all(node: RabbitNode) -> None:
    node.control("close_all_connections", "test")


def stop_and_start(node: RabbitNode) -> None:
    node.stop()
    node.start()


def kill_and_start(node: RabbitNode) -> None:
    # RabbitMQ 3.10 forgets what was declared in its last seconds, and says nothing of when it no longer will:
    # a stream that young never comes back from a kill
    time.sleep(8)
    node.control("eval", "mnesia:sync_log().")
    node.kill()
    node.start()


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (close_all, 5),
        # a whole cluster goes through these two in tests/acceptance/test_faults.py
        pytest.param(stop_and_start, 30, marks=pytest.mark.nightly),
        pytest.param(kill_and_start, 30, marks=pytest.mark.nightly),
    ],
)
def test_everything_arrives_though_the_broker_goes_away(
    node: RabbitNode, broker: RabbitBroker, fault: Callable[[RabbitNode], None], seconds: float
) -> None:
    lease = broker.feed("cam")
    traffic = Traffic(broker)
    traffic.wait_for(20)
    fault(node)
    traffic.wait_for(20, seconds)
    assert broker.is_fed("cam")
    lease.close()
    assert not broker.is_fed("cam")
    traffic.end()


def test_a_lost_connection_begins_a_session_and_stale_answers_are_harmless(
    node: RabbitNode, broker: RabbitBroker
) -> None:
    broker.publish(SHARD, *(note("cam", number) for number in range(3)))
    taker = Taker(broker.subscribe(SHARD, 3))
    held = taker.take(3)
    close_all(node)
    again = taker.take(3)
    assert {delivery.session for delivery in again} == {held[0].session + 1}
    assert sorted(number_in(delivery.message) for delivery in again) == [0, 1, 2]
    assert all(delivery.redelivered for delivery in again)
    held[0].ack()
    held[1].reject()
    held[2].ack()
    again[0].ack()
    again[1].reject()
    again[2].ack()
    assert taker.numbers(1) == [number_in(again[1].message)]
    assert taker.gets_nothing()


def test_the_next_in_line_takes_over_when_connections_break(node: RabbitNode, broker: RabbitBroker) -> None:
    with closing(open_rabbit(node.url, broker._topology.namespace)) as other:
        first = broker.subscribe(SHARD, 4)
        second = other.subscribe(SHARD, 4)
        broker.publish(SHARD, *(note("cam", number) for number in range(4)))
        assert len(Taker(first).take(4)) == 4
        broker.close()
        assert sorted(Taker(second).numbers(4)) == [0, 1, 2, 3]


def test_a_memory_alarm_holds_publishers_up_and_nobody_else(
    node: RabbitNode, broker: RabbitBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    publish_frames(broker, range(10))
    taker = Taker(broker.subscribe(FRAMES, 2))
    with memory_alarm(node):
        publishing = Background(lambda: publish_frames(broker, range(10, 20)))
        wait_until(lambda: "blocked" in caplog.text, "the alarm")
        assert taker.numbers(10) == list(range(10))
        assert read_numbers(broker.read(video_log("cam"), "start"), 10) == list(range(10))
        assert publishing.running
    publishing.result()
    assert taker.numbers(10) == list(range(10, 20))


def publish_frames(broker: RabbitBroker, indexes: range) -> None:
    for index in indexes:
        broker.publish_frame(make_frame("cam", index))
    broker.settle()


@contextmanager
def memory_alarm(node: RabbitNode) -> Iterator[None]:
    node.control("set_vm_memory_high_watermark", "0.0001")
    try:
        yield
    finally:
        node.control("set_vm_memory_high_watermark", "0.6")


def test_a_broker_that_stays_away_ends_everything(node: RabbitNode) -> None:
    gate = Gate(node.port)
    broker = open_rabbit(f"amqp://guest:guest@127.0.0.1:{gate.port}/", patience=1)
    subscription = broker.subscribe(FRAMES, 1)
    taking = Background(lambda: list(subscription))
    gate.close()
    for call in (taking.result, lambda: broker.publish(SHARD, note("cam", 1)), lambda: broker.wait_for_room(9)):
        with pytest.raises(
            BrokerError,
            match=rf"no connection to the broker for \d+ s: 127.0.0.1:{gate.port}: connection refused; is it up",
        ):
            call()
    broker.close()


class Gate:
    """A port that leads to the node until it is closed."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._process = subprocess.Popen([*_FORWARD, str(self.port), str(port)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


_FORWARD = (
    shutil.which("python3") or "python3",
    "-c",
    """
import asyncio, sys
async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data); await writer.drain()
    writer.close()
async def serve(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("listening", flush=True)
    await server.serve_forever()
asyncio.run(main())
""",
)
