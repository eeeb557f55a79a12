"""The times of pictures, and which pictures are taken."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

T = TypeVar("T")

FALLBACK_RATE = Fraction(25)
"""For containers without timestamps or rate, and for folders of images: what FFmpeg assumes as well."""
FASTEST_RATE = 1000
"""A container that claims more names its time base, not its rate."""
RESTART = Fraction(1)
"""A timestamp this many seconds back is a clock that began again, not a picture out of order."""


class Clock:
    """Turns the timestamps of consecutive pictures into media times, which strictly increase.

    A missing timestamp is the one before plus a period; one that does not increase comes a tick after the one
    before; where a stream's clock begins again (joined files, a camera that restarted), time goes on.
    """

    def __init__(self, tick: Fraction, origin: int | None, rate: Fraction | None) -> None:
        """`tick` in seconds; `origin` is the timestamp that counts as 0, None for the first that comes."""
        self._tick = tick
        self._origin = origin
        self._period = 1 / (rate or FALLBACK_RATE)
        self._shift = Fraction(0)
        self._last: Fraction | None = None

    def time(self, timestamp: int | None) -> float:
        """Seconds since the origin of the next picture."""
        now = self._next(timestamp)
        self._last = now
        return float(now)

    def _next(self, timestamp: int | None) -> Fraction:
        if timestamp is None:
            return Fraction(0) if self._last is None else self._last + self._period
        if self._origin is None or (self._last is None and timestamp < self._origin):
            self._origin = timestamp
        now = (timestamp - self._origin) * self._tick + self._shift
        if self._last is None or now > self._last:
            return now
        if self._last - now < RESTART:
            return self._last + self._tick
        self._shift += self._last + self._period - now
        return self._last + self._period


@dataclass(frozen=True, slots=True)
class Selection:
    """Every `stride`-th picture whose media time is in [`start`, `end`)."""

    start: float = 0.0
    end: float | None = None
    stride: int = 1

    def pick(self, timed: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
        """The chosen ones of pairs of media time and anything, in order; looks no further than `end`."""
        number = 0
        for time, item in timed:
            if self.end is not None and time >= self.end:
                return
            if time < self.start:
                continue
            if number % self.stride == 0:
                yield time, item
            number += 1

    def rate(self, rate: Fraction | None) -> Fraction | None:
        """The rate of the chosen pictures."""
        return rate / self.stride if rate else None

    def count(self, frames: int | None, rate: Fraction | None) -> int | None:
        """How many of `frames` pictures at `rate` are chosen, about."""
        if frames is None:
            return None
        first, last = 0, frames
        if rate:
            first = math.ceil(self.start * rate)
            last = frames if self.end is None else min(frames, math.ceil(self.end * rate))
        return max(0, math.ceil((last - first) / self.stride))

    def __str__(self) -> str:
        """A few words to put after `picture`; none where every picture is chosen."""
        since = f" from {self.start:g} s on" if self.start else ""
        return since if self.end is None else f"{since} before {self.end:g} s"
