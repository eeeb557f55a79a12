"""A publisher is told that nobody is at work: in time, once, and again when that changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.support.waiting import wait_until
from yolotrack.broker.base import FRAMES, Attendance
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import BrokerError
from yolotrack.roles import attendance as role
from yolotrack.roles.attendance import Lookout

pytestmark = pytest.mark.timeout(20)

SHARD = "detections.0"
NOBODY = "64 frames wait, no worker takes any; start `yolotrack work`"


class Attended(MemoryBroker):
    """Says who is there as it is told to; counts the looks."""

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[str, Attendance | None] = {FRAMES: Attendance(0, 0), SHARD: Attendance(0, 0)}
        self.looks = 0
        self.fails = False

    def attendance(self, topic: str) -> Attendance | None:
        if self.fails:
            raise BrokerError("away")
        self.looks += topic == FRAMES
        return self.there[topic]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Attended:
    monkeypatch.setattr(role, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(role, "PATIENCE_SECONDS", 0.1)
    return Attended()


@contextmanager
def told_of(broker: Attended) -> Iterator[list[str]]:
    told: list[str] = []
    with closing(Lookout(broker, SHARD, told.append)):  # type: ignore[arg-type]
        yield told


def look(broker: Attended, times: int = 25) -> None:
    """Many more looks than it takes to lose patience."""
    seen = broker.looks
    wait_until(lambda: broker.looks >= seen + times, "looks")


def test_that_nobody_takes_frames_is_told_once(broker: Attended) -> None:
    with told_of(broker) as told:
        broker.there[FRAMES] = Attendance(64, 0)
        wait_until(lambda: told == [NOBODY], "the line")
        look(broker)
        broker.there[FRAMES] = Attendance(65, 0)
        look(broker)
        assert told == [NOBODY]


def test_it_is_told_again_after_somebody_was_there(broker: Attended) -> None:
    with told_of(broker) as told:
        for _ in range(2):
            broker.there[FRAMES] = Attendance(64, 0)
            wait_until(lambda: told, "the line")
            broker.there[FRAMES] = Attendance(3, 1)
            look(broker, 3)
            assert told == [NOBODY]
            told.clear()


def test_that_nobody_tracks_is_told_too(broker: Attended) -> None:
    with told_of(broker) as told:
        broker.there = {FRAMES: Attendance(2, 1), SHARD: Attendance(7, 0)}
        wait_until(lambda: told, "the line")
        assert told == ["7 messages wait, no worker tracks; start `yolotrack work --role track`"]


def test_where_nobody_is_there_at_all_one_line_is_enough(broker: Attended) -> None:
    with told_of(broker) as told:
        broker.there = {FRAMES: Attendance(64, 0), SHARD: Attendance(2, 0)}
        wait_until(lambda: told, "the line")
        look(broker)
        assert told == [NOBODY]


@pytest.mark.parametrize("there", [Attendance(64, 1), Attendance(0, 0), Attendance(0, 3), None])
def test_whoever_is_looked_after_or_unknown_is_left_alone(broker: Attended, there: Attendance | None) -> None:
    broker.there[FRAMES] = there
    with told_of(broker) as told:
        look(broker)
    assert told == []


def test_a_broker_that_fails_ends_it_without_a_word(broker: Attended) -> None:
    broker.fails = True
    with told_of(broker) as told:
        pass
    assert told == []
