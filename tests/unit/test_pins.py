"""Which model a run is detected with: the first offered, for every worker."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier as Gate
from threading import Event

import pytest

from tests.support.brokers import RUN_ID, Taker, make_frame, number_in
from tests.support.scripted import ScriptedDetector
from yolotrack.broker.base import FRAMES, RUNS
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import ModelMismatch
from yolotrack.model import ModelPinned
from yolotrack.roles.detect import DetectRole
from yolotrack.roles.pin import Pins

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    opened = MemoryBroker(capacity=256, retain=256)
    yield opened
    opened.close()


def offers(broker: MemoryBroker) -> list[str]:
    found = []
    for message in broker.read(RUNS, "start"):
        if message is None:
            return found
        if isinstance(message, ModelPinned):
            found.append(message.digest)
    return found


def test_the_first_offer_holds_and_another_model_is_refused(broker: MemoryBroker) -> None:
    frame = make_frame("cam", 0)
    Pins(broker, "a.pt", "aaaa").check(frame)
    Pins(broker, "renamed.pt", "aaaa").check(frame)
    other = Pins(broker, "b.pt", "bbbb")
    for _ in range(2):
        with pytest.raises(ModelMismatch, match=r"cam is detected with a\.pt \(aaaa\).*this worker has b\.pt"):
            other.check(frame)


def test_every_run_has_its_own(broker: MemoryBroker) -> None:
    other = RUN_ID[:-1] + "2"
    first, second = Pins(broker, "a.pt", "aaaa"), Pins(broker, "b.pt", "bbbb")
    first.check(make_frame("cam", 0))
    second.check(make_frame("cam", 0, other))
    with pytest.raises(ModelMismatch):
        first.check(make_frame("cam", 1, other))
    first.check(make_frame("cam", 1))


def test_what_was_seen_once_is_not_asked_again(broker: MemoryBroker) -> None:
    pins = Pins(broker, "a.pt", "aaaa")
    for index in range(5):
        pins.check(make_frame("cam", index))
    assert offers(broker) == ["aaaa"]


@pytest.mark.parametrize("attempt", range(5))
def test_in_a_race_all_agree_on_one(broker: MemoryBroker, attempt: int) -> None:
    gate = Gate(6)

    def offer(digest: str) -> bool:
        gate.wait()
        try:
            Pins(broker, digest, digest).check(make_frame("cam", attempt))
        except ModelMismatch:
            return False
        return True

    digests = ["aaaa", "bbbb", "cccc"] * 2
    with ThreadPoolExecutor(6) as pool:
        agreed = list(pool.map(offer, digests))
    assert agreed == [digest == offers(broker)[0] for digest in digests]


def test_a_worker_with_another_model_ends_and_hands_its_frame_back(broker: MemoryBroker) -> None:
    Pins(broker, "a.pt", "aaaa").check(make_frame("cam", 0))
    broker.publish_frame(make_frame("cam", 0))
    detector = ScriptedDetector(capacity=1, digest="bbbb")
    role = DetectRole(broker, detector, "b.pt", lambda _: "detections.0", pins=Pins(broker, "b.pt", "bbbb"))
    with pytest.raises(ModelMismatch):
        role.run(Event())
    detector.close()
    (delivery,) = Taker(broker.subscribe(FRAMES, 1)).take(1)
    assert number_in(delivery.message) == 0
    assert not delivery.redelivered, "or the frame would look deadly"
