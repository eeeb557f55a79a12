"""The contracts of a source of pictures and of a sink for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeAlias

from yolotrack.model import FrameTracks, Pixels


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture out of a source."""

    pixels: Pixels
    media_time: float
    """Seconds since the source's first picture, or its start for a file; strictly increasing."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source before its first picture."""

    name: str
    """As the user gave it, credentials masked."""
    stream: str
    """The default name for its stream: a file's stem, `camera-0`, a URL's host and a harmless word
    of its path; always matches STREAM_PATTERN."""
    width: int
    height: int
    """Of the pictures as they will come, rotation applied."""
    rate: Fraction | None
    """Frames per second, exact (30000/1001), after the stride; None where the container does not say."""
    frame_count: int | None
    """How many pictures will come, as far as the container knows; an estimate for progress bars only."""
    live: bool
    """A camera or network stream: it does not wait for us."""


class Source(Protocol):
    """Pictures in order of presentation. Iterate once; close it when done (it is a context manager too)."""

    @property
    def info(self) -> SourceInfo:
        """Known once the source is open."""

    @property
    def skipped(self) -> int:
        """Broken packets or pictures passed over so far."""

    def __iter__(self) -> Iterator[Picture]:
        """A picture that cannot be decoded is skipped and counted. Ends at the end, or where a file is cut off."""

    def close(self) -> None:
        """Give the file or camera back; idempotent; from any thread it ends an iteration at its next picture."""


class Sink(Protocol):
    """Writes pictures as one video. One thread. Nothing that looks complete exists before `close` returns."""

    def write(self, pixels: Pixels, media_time: float) -> None:
        """Append one picture, shown at that time. `OutputError` when it cannot be written (a full disk)."""

    def close(self) -> None:
        """Finish the file and put it in its place; idempotent."""

    def abort(self) -> None:
        """Give up and leave nothing behind; idempotent, and without effect after `close`."""


Draw: TypeAlias = Callable[[Pixels, FrameTracks], Pixels]
"""Gives an annotated copy of a frame's picture; called in frame order, since traces have a past."""
