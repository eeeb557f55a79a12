"""How many pictures of a stream may be on their way to a page at once."""

from __future__ import annotations

from math import inf

MOST = 8
STEADY = 1.25
"""Up to so many times the least time that a picture took, nothing queues."""
LATE, JITTER_SECONDS = 1.5, 0.02
"""Beyond so many times that, and a little that means nothing, pictures wait for each other."""
REFRAIN_SECONDS = (10.0, 320.0)
"""Before it is tried again whether one more would do; twice as long after each time that it would not."""


class Window:
    """Of one stream and page; as TCP Vegas does it (Brakmo and Peterson, 1995). Used by one thread.

    A single picture is seen as early as can be, but on a long line only one comes in each round trip. More are sent
    while each takes no longer for that; where it does, the line is narrow or the page slow, and they would only queue.
    """

    def __init__(self) -> None:
        self.size = 1
        self._least = inf
        self._refrain = REFRAIN_SECONDS[0]
        self._refrain_until = -inf

    def note(self, took: float, now: float, *, waiting: bool) -> None:
        """A picture was seen `took` seconds after it was sent; `waiting`: a newer one was there by then."""
        self._least = min(self._least, took)
        if took > LATE * self._least + JITTER_SECONDS:
            if self.size > 1:
                self.size -= 1
            if now >= self._refrain_until:
                self._refrain_until = now + self._refrain
                self._refrain = min(2 * self._refrain, REFRAIN_SECONDS[1])
        elif waiting and took <= STEADY * self._least and now >= self._refrain_until:
            self.size = min(self.size + 1, MOST)
