"""Finding a run in the log of runs, and giving dead frames an outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from tests.support.runs import BEGIN, make_run
from tests.support.waiting import Background
from yolotrack.broker.base import RUNS, FramePlace
from yolotrack.broker.memory import MemoryBroker
from yolotrack.errors import NotFound
from yolotrack.model import FrameLost, Message, Outcome, RunStarted
from yolotrack.roles.deadletters import entomb
from yolotrack.roles.runs import find_run
from yolotrack.roles.track import NO_SUCH_RUN


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    opened = MemoryBroker(capacity=64, retain=64)
    yield opened
    opened.close()


# -- runs


def test_the_newest_run_of_a_stream_is_found(broker: MemoryBroker) -> None:
    runs = [make_run(stream) for stream in ("gate", "yard", "gate", "roof")]
    broker.publish(RUNS, *map(RunStarted, runs))

    def find(stream: str | None, run: str | None) -> Any:
        return find_run(broker, stream, run, seconds=0, stop=Event())  # reading what is there costs no patience

    assert find("gate", None) == runs[2]
    assert find("yard", None) == runs[1]
    assert find(None, None) == runs[3]
    assert find(None, runs[0].run_id) == runs[0]
    assert find("gate", runs[0].run_id) == runs[0]


def test_a_run_that_is_to_come_is_waited_for(broker: MemoryBroker) -> None:
    broker.publish(RUNS, RunStarted(make_run("yard")))
    finding = Background(lambda: find_run(broker, "gate", None, seconds=60, stop=Event()))
    run = make_run("gate")
    broker.publish(RUNS, RunStarted(run))
    assert finding.result(60) == run


@pytest.mark.parametrize(
    ("stream", "run", "told"),
    [("gate", None, "no run of the stream gate"), ("gate", "0198", "no run 0198"), (None, None, "no run was")],
)
def test_what_was_never_published_is_not_found(
    broker: MemoryBroker, stream: str | None, run: str | None, told: str
) -> None:
    with pytest.raises(NotFound, match=told):
        find_run(broker, stream, run, seconds=0, stop=Event())


def test_a_stop_ends_the_looking(broker: MemoryBroker) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(NotFound):
        find_run(broker, "gate", None, seconds=3600, stop=stop)


# -- dead letters


@dataclass
class Letter:
    """Remembers how it was answered."""

    place: FramePlace | None
    reason: str
    answers: list[str] = field(default_factory=list)

    def ack(self) -> None:
        self.answers.append("ack")

    def quarantine(self) -> None:
        self.answers.append("quarantine")


class Dead:
    """A share of a dead-letter queue that holds these letters, then idles; and a broker of it."""

    def __init__(self, *letters: Letter) -> None:
        self.letters, self.stop = letters, Event()
        self.published: list[tuple[str, Message, list[list[str]]]] = []
        self.closed = False

    def dead_letters(self) -> Dead:
        return self

    def __iter__(self) -> Iterator[Letter | None]:
        yield from self.letters
        self.stop.set()
        yield None
        raise AssertionError("it went on after the stop")

    def close(self) -> None:
        self.closed = True

    def publish(self, topic: str, message: Message) -> None:
        self.published.append((topic, message, [[*letter.answers] for letter in self.letters]))


def place(index: int) -> FramePlace:
    return FramePlace("0198f2c1", "gate", index, index / 25, BEGIN)


def entombed(*letters: Letter) -> Dead:
    dead = Dead(*letters)
    entomb(dead, lambda stream: f"shard of {stream}", stop=dead.stop)  # type: ignore[arg-type]
    assert dead.closed
    return dead


def test_a_dead_frame_fails_and_is_answered_after_that() -> None:
    letter = Letter(place(7), "delivered 3 times in vain")
    dead = entombed(letter)
    lost = FrameLost("0198f2c1", "gate", 7, 7 / 25, BEGIN, Outcome.FAILED, "delivered 3 times in vain")
    assert dead.published == [("shard of gate", lost, [[]])], "not answered before it is published"
    assert letter.answers == ["ack"]


@pytest.mark.parametrize(("about", "reason"), [(None, "bad header"), (place(3), NO_SUCH_RUN)])
def test_what_no_tombstone_helps_is_kept_for_people(about: FramePlace | None, reason: str) -> None:
    letter, other = Letter(about, reason), Letter(place(4), "rejected")
    dead = entombed(letter, other)
    assert letter.answers == ["quarantine"]
    assert other.answers == ["ack"]
    assert [message.index for _, message, _ in dead.published] == [4]
