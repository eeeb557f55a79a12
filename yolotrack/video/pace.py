"""Sources around sources: one that repeats, one that keeps its own time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event

from yolotrack.video.base import Picture, Source, SourceInfo


class Looped:
    """A source from its beginning again and again; media time goes on."""

    def __init__(self, first: Source, again: Callable[[], Source]) -> None:
        self._source = first
        self._again = again
        self._skipped = 0
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """As of one pass, but without an end."""
        return replace(self._source.info, frame_count=None)

    @property
    def skipped(self) -> int:
        """In all passes so far."""
        return self._skipped + self._source.skipped

    def __iter__(self) -> Iterator[Picture]:
        offset = 0.0
        while not self._closed:
            begin = last = None
            step = float(1 / self.info.rate) if self.info.rate else 0.04
            for picture in self._source:
                begin = picture.media_time if begin is None else begin
                last = picture.media_time
                yield Picture(picture.pixels, offset + picture.media_time)
            if begin is None or last is None or self._closed:
                return
            offset += last - begin + step
            self._skipped += self._source.skipped
            self._source.close()
            self._source = self._again()

    def close(self) -> None:
        """Close the pass that is running."""
        self._closed = True
        self._source.close()


class Paced:
    """A source whose pictures come no earlier than its own clock says, until `stop` is set."""

    def __init__(self, source: Source, stop: Event) -> None:
        self._source = source
        self._stop = stop

    @property
    def info(self) -> SourceInfo:
        """Of the source."""
        return self._source.info

    @property
    def skipped(self) -> int:
        """Of the source."""
        return self._source.skipped

    def __iter__(self) -> Iterator[Picture]:
        started: float | None = None
        for picture in self._source:
            now = time.monotonic()
            started = now - picture.media_time if started is None else started
            self._stop.wait(max(0.0, started + picture.media_time - now))
            yield picture

    def close(self) -> None:
        """Close the source."""
        self._source.close()
