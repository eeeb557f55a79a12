"""detect over the embedded broker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from tests.support.brokers import Taker, all_in, left_in, note, number_in, publish_pictures
from tests.support.runs import FailingBroker
from tests.support.scripted import ScriptedDetector, make_picture, number_of
from tests.support.waiting import Background
from yolotrack.broker.base import FRAMES
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import BrokerClosed, BrokerError, ModelError
from yolotrack.model import (
    Frame,
    FrameDetections,
    FrameLost,
    Message,
    Outcome,
    utc_now,
)
from yolotrack.roles.detect import DetectRole

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("every_thread_ends")]

SHARD = "detections.0"


class Detecting:
    """The detect role at work."""

    def __init__(
        self, broker: MemoryBroker, detector: ScriptedDetector, shard_of: Callable[[str], str] = lambda _: SHARD
    ) -> None:
        self.stop = Event()
        self._detector = detector
        role = DetectRole(broker, detector, "model", shard_of)
        self._call = Background(lambda: role.run(self.stop))

    def end(self) -> None:
        """Stop it; raises what it raises."""
        self.stop.set()
        self.join()

    def join(self) -> None:
        try:
            self._call.result()
        finally:
            self._detector.close()


def detected(broker: MemoryBroker, count: int) -> list[Message]:
    taken = Taker(broker.subscribe(SHARD, 10_000)).take(count)
    return [delivery.message for delivery in taken]


def test_detect_publishes_in_the_order_fed_though_the_device_finishes_in_another(broker: MemoryBroker) -> None:
    overtaken = Event()

    def before(number: int) -> None:
        if number == 10:
            assert overtaken.wait(10)
        if number == 13:
            overtaken.set()

    detecting = Detecting(broker, ScriptedDetector(capacity=4, before=before))
    publish_pictures(broker, 30)
    results = detected(broker, 30)
    detecting.end()
    assert [message.index for message in results] == list(range(30))
    assert all(isinstance(message, FrameDetections) for message in results)
    assert left_in(broker, FRAMES) == []


def test_detect_keeps_as_many_in_flight_as_the_device_takes(broker: MemoryBroker) -> None:
    together = threading.Barrier(3)
    detecting = Detecting(broker, ScriptedDetector(capacity=3, before=lambda _: together.wait(10)))
    publish_pictures(broker, 9)
    assert len(detected(broker, 9)) == 9
    detecting.end()


def test_detect_passes_on_what_belongs_to_a_frame(broker: MemoryBroker) -> None:
    frame = Frame("run", "cam", 3, 1.25, utc_now(), make_picture(40), motion=(1.0, 0.0, 2.0, 0.0, 1.0, 3.0))
    broker.publish_frame(frame)
    detecting = Detecting(broker, ScriptedDetector(digest="abc"))
    (message,) = detected(broker, 1)
    detecting.end()
    for name in ("run_id", "stream", "index", "media_time", "captured_at", "motion"):
        assert getattr(message, name) == getattr(frame, name)
    assert (message.model, message.model_digest) == ("model", "abc")
    assert len(message.detections) == 4


@pytest.mark.parametrize("when", ["in its future", "at once"])
def test_detect_loses_a_frame_that_the_detector_refuses_and_no_other(broker: MemoryBroker, when: str) -> None:
    def refuse(number: int) -> None:
        if number == 5:
            raise ModelError("five is right out")

    class RefusesAtOnce(ScriptedDetector):
        def submit(self, image):
            refuse(number_of(image))
            return super().submit(image)

    detector = RefusesAtOnce() if when == "at once" else ScriptedDetector(before=refuse)
    detecting = Detecting(broker, detector)
    publish_pictures(broker, 10)
    results = detected(broker, 10)
    detecting.end()
    assert [message.index for message in results] == list(range(10))
    assert [message.index for message in results if not isinstance(message, FrameDetections)] == [5]
    assert isinstance(results[5], FrameLost)
    assert (results[5].outcome, results[5].reason) == (Outcome.FAILED, "five is right out")


def test_detect_finishes_what_is_in_flight_when_stopped(broker: MemoryBroker) -> None:
    gate, begun = Event(), threading.Semaphore(0)

    def before(number: int) -> None:
        begun.release()
        assert gate.wait(10)

    publish_pictures(broker, 50)
    detecting = Detecting(broker, ScriptedDetector(capacity=4, before=before))
    for _ in range(4):
        assert begun.acquire(timeout=10)
    detecting.stop.set()
    gate.set()
    detecting.join()
    done = [message.index for message in all_in(broker, SHARD)]
    left = [number for number, _ in left_in(broker, FRAMES)]
    assert 4 <= len(done) < 50
    assert done + left == list(range(50)), "each once: finished, or back in the queue"


def test_detect_ends_with_an_unexpected_error_and_leaves_its_frames_unanswered(broker: MemoryBroker) -> None:
    def before(number: int) -> None:
        if number == 6:
            raise RuntimeError("a defect")

    publish_pictures(broker, 20)
    detecting = Detecting(broker, ScriptedDetector(capacity=2, before=before))
    with pytest.raises(RuntimeError, match="a defect"):
        detecting.join()
    assert [message.index for message in all_in(broker, SHARD)] == list(range(6))
    left = left_in(broker, FRAMES)
    assert [number for number, _ in left] == list(range(6, 20))
    assert left[0] == (6, True)


def test_detect_finishes_the_others_when_submitting_fails(broker: MemoryBroker) -> None:
    class Defective(ScriptedDetector):
        def submit(self, image):
            if number_of(image) == 6:
                raise RuntimeError("a defect")
            return super().submit(image)

    publish_pictures(broker, 20)
    detecting = Detecting(broker, Defective())
    with pytest.raises(RuntimeError, match="a defect"):
        detecting.join()
    assert [message.index for message in all_in(broker, SHARD)] == list(range(6))
    assert [number for number, _ in left_in(broker, FRAMES)] == list(range(6, 20))


def test_detect_acknowledges_after_publishing() -> None:
    def before(topic: str, message: Message) -> None:
        if isinstance(message, FrameDetections) and message.index == 3:
            raise BrokerError("no")

    broker = FailingBroker(before)
    publish_pictures(broker, 8)
    detecting = Detecting(broker, ScriptedDetector())
    with pytest.raises(BrokerError):
        detecting.join()
    assert [message.index for message in all_in(broker, SHARD)] == [0, 1, 2]
    left = [number for number, _ in left_in(broker, FRAMES)]
    assert left == list(range(left[0], 8)), "in their order"
    assert left[0] <= 3, "what was published together with it may come again"


class Distant(MemoryBroker):
    """A broker whose confirms are late at first; `sent` is what came in one call each."""

    def __init__(self) -> None:
        super().__init__(capacity=256, retain=256)
        self.sent: list[tuple[str, list[int]]] = []
        self.confirms = Event()

    def publish(self, topic: str, *messages: Message) -> None:
        self.sent.append((topic, [number_in(message) for message in messages]))
        assert self.confirms.wait(10)
        super().publish(topic, *messages)


class Telling(ScriptedDetector):
    """A detector that tells what it found."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.found = threading.Semaphore(0)

    def submit(self, image):
        future = super().submit(image)
        future.add_done_callback(lambda _: self.found.release())
        return future


def test_detect_publishes_together_what_was_found_while_the_broker_was_slow() -> None:
    broker, capacity, count = Distant(), 6, 40
    for index in range(count):
        stream = "even" if index % 2 == 0 else "odd"
        broker.publish_frame(Frame("run", stream, index, index / 25, utc_now(), make_picture(index)))
    detector = Telling(capacity=capacity)
    detecting = Detecting(broker, detector, lambda stream: f"detections.{stream}")
    for _ in range(capacity + 1):
        assert detector.found.acquire(timeout=10)
    broker.confirms.set()
    for stream, first in (("even", 0), ("odd", 1)):
        taken = Taker(broker.subscribe(f"detections.{stream}", count)).take(count // 2)
        assert [number_in(delivery.message) for delivery in taken] == list(range(first, count, 2))
    detecting.end()
    assert 1 < max(len(indexes) for _, indexes in broker.sent) <= 2 * capacity
    assert left_in(broker, FRAMES) == []


def test_detect_ends_when_the_broker_closes(broker: MemoryBroker) -> None:
    detecting = Detecting(broker, ScriptedDetector())
    publish_pictures(broker, 3)
    detected(broker, 3)
    broker.close()
    detecting.join()


def test_detect_leaves_no_thread_behind_on_a_closed_broker(broker: MemoryBroker) -> None:
    broker.close()
    with pytest.raises(BrokerClosed):
        Detecting(broker, ScriptedDetector()).join()


def test_detect_sets_aside_what_is_no_frame(broker: MemoryBroker) -> None:
    broker.publish(FRAMES, note("cam", 99))
    publish_pictures(broker, 2)
    detecting = Detecting(broker, ScriptedDetector())
    assert [message.index for message in detected(broker, 2)] == [0, 1]
    detecting.end()
    assert [number_in(message) for message, _ in broker.dead_letters] == [99]
    assert left_in(broker, FRAMES) == []
