"""Sources around sources: endless ones, and ones that keep their own time."""

from __future__ import annotations

import time
from itertools import islice
from threading import Event

import pytest

from tests.support.scripted import ScriptedSource, number_of
from yolotrack.video.pace import Looped, Paced


def passes(*counts: int) -> tuple[Looped, list[ScriptedSource]]:
    """A loop over sources of so many pictures, the last of them for ever; and those that were opened."""
    opened = [ScriptedSource(counts[0], skipped=1)]

    def again() -> ScriptedSource:
        opened.append(ScriptedSource(counts[min(len(opened), len(counts) - 1)], skipped=1))
        return opened[-1]

    return Looped(opened[0], again), opened


def test_a_loop_begins_again_and_its_time_goes_on() -> None:
    loop, opened = passes(4)
    pictures = list(islice(loop, 11))
    assert [number_of(picture.pixels) for picture in pictures] == [0, 1, 2, 3] * 2 + [0, 1, 2]
    assert [picture.media_time for picture in pictures] == pytest.approx([index / 25 for index in range(11)])
    assert [source.closed for source in opened] == [True, True, False]
    assert (loop.skipped, loop.info.frame_count) == (3, None)


def test_closing_a_loop_ends_it() -> None:
    loop, opened = passes(4)
    seen = []
    for picture in loop:
        seen.append(number_of(picture.pixels))
        if len(seen) == 6:
            loop.close()
    assert len(seen) == 6
    assert [source.closed for source in opened] == [True, True]


def test_a_source_without_pictures_is_not_opened_for_ever() -> None:
    loop, opened = passes(3, 0)
    assert len(list(loop)) == 3
    assert len(opened) == 2


def test_pictures_come_no_earlier_than_their_time() -> None:
    began, arrived = time.monotonic(), []
    for picture in Paced(ScriptedSource(8), Event()):
        arrived.append((time.monotonic(), picture.media_time))
    assert len(arrived) == 8
    assert all(now - began >= media_time - 0.001 for now, media_time in arrived), "an event may wake a hair early"


def test_a_late_consumer_is_not_made_to_wait() -> None:
    """The clock is the source's own: who lost time gets the next pictures at once."""
    waited: list[float] = []

    class Watched(Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return super().wait(timeout)

    pictures = iter(Paced(ScriptedSource(4), Watched()))
    next(pictures)
    late = time.monotonic() + 0.2
    while time.monotonic() < late:
        pass
    assert len(list(pictures)) == 3
    assert waited[1:] == [0.0, 0.0, 0.0]


def test_a_stop_ends_the_waiting() -> None:
    stop = Event()
    stop.set()
    began = time.monotonic()
    assert len(list(Paced(ScriptedSource(10_000), stop))) == 10_000
    assert time.monotonic() - began < 200, "the source is 400 seconds long"


def test_a_pace_is_otherwise_its_source() -> None:
    source = ScriptedSource(5, skipped=2)
    paced = Paced(source, Event())
    assert (paced.info, paced.skipped) == (source.info, 2)
    paced.close()
    assert source.closed
