"""How many pictures are on their way: as many as a line needs, and none that would wait."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from yolotrack.web.window import MOST, Window

PERIOD = 0.04
"""Between pictures of a camera."""


@dataclass
class Line:
    """A way to a page and back, in made-up time: each picture holds it up for `busy` seconds, then takes `long`."""

    busy: float
    long: float
    jitter: float = 0.0
    ages: list[float] = field(default_factory=list)
    seconds: float = 60.0

    def run(self) -> Window:
        window, chance = Window(), random.Random(1)
        now = free_at = 0.0
        sent: deque[tuple[float, float]] = deque()  # when each was sent, and is seen
        shown = -1
        while now < self.seconds:
            newest = int(now / PERIOD)
            while sent and sent[0][1] <= now:
                at, seen_at = sent.popleft()
                window.note(seen_at - at, seen_at, waiting=newest > shown)
            if newest > shown and len(sent) < window.size:
                free_at = max(now, free_at) + self.busy
                sent.append((now, free_at + self.long + chance.uniform(0, self.jitter)))
                self.ages.append(sent[-1][1] - newest * PERIOD)
                shown = newest
            now += 0.001
        return window


@pytest.mark.parametrize("round_trip", [0.08, 0.15, 0.25])
def test_a_long_line_carries_every_picture(round_trip: float) -> None:
    line = Line(busy=0.005, long=round_trip, jitter=0.01)
    line.run()
    assert len(line.ages) / line.seconds > 0.95 / PERIOD


def test_beyond_the_most_there_is_no_more() -> None:
    assert Line(busy=0.001, long=1.0).run().size == MOST


@pytest.mark.parametrize("busy", [0.1, 0.5])
def test_on_a_narrow_line_pictures_are_no_later_for_it(busy: float) -> None:
    line = Line(busy=busy, long=0.02, seconds=600.0)
    line.run()
    alone = busy + 0.02 + PERIOD
    late = sum(age > alone + 0.01 for age in line.ages)
    assert late < 0.02 * len(line.ages), "those of a try now and then, less and less often"


def test_near_and_quick_it_stays_at_one() -> None:
    assert Line(busy=0.01, long=0.005, jitter=0.02).run().size == 1


def test_a_line_that_becomes_narrow_gets_fewer() -> None:
    window = Window()
    for step in range(5):
        window.note(0.1, step / 10, waiting=True)
    assert window.size == 6
    for step in range(5):
        window.note(0.4, 1 + step / 10, waiting=True)
    assert window.size == 1
