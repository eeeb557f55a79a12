"""compile: merge a run's two logs by index, draw, write one video."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from threading import Event
from typing import TypeAlias

from yolotrack.broker.base import LogReader
from yolotrack.errors import BadPicture, BrokerClosed, LogCut, SourceError, Stalled
from yolotrack.model import Frame, FrameTracks, Pixels, RunEnded
from yolotrack.video.base import Draw, Sink, Source

MISSING_SECONDS = 5.0
"""A frame is in the video log before it can have an outcome; after so long it was never readable there."""

SAME_TIME = 0.0005
"""Seconds that two times of the same picture may differ."""

Pair: TypeAlias = "tuple[Frame | None, FrameTracks]"
"""A frame of a run and how it ended; None for the frame when the video log holds nothing readable for it."""
Decode: TypeAlias = Callable[[bytes], Pixels]


def outcomes(
    tracks: LogReader, run_id: str, *, stop: Event, patience: float | None = None
) -> Generator[FrameTracks, None, RunEnded | None]:
    """The outcome of every frame of a run, once, in index order, until the run ends or `stop` is set.

    Returns the end of the run, None when it was stopped. Raises `BrokerClosed` when the log ends before the run does,
    `Stalled` when nothing of the run comes for `patience` seconds, `LogCut` when the log no longer holds all of it.
    Closes the reader.
    """
    expected = 0
    heard = time.monotonic()
    with closing(tracks):
        for message in tracks:
            if stop.is_set():
                return None
            if isinstance(message, RunEnded) and message.run_id == run_id:
                _require(message.frame_count <= expected, expected, message.stream)
                return message
            if isinstance(message, FrameTracks) and message.run_id == run_id and message.index >= expected:
                _require(message.index == expected, expected, message.stream)
                yield message  # an index below was published again after a takeover
                expected += 1
                heard = time.monotonic()
            elif message is not None and not expected:
                heard = time.monotonic()  # what lies before the run in the log
            elif patience is not None and time.monotonic() - heard > patience:
                raise Stalled(f"nothing new for {patience:.0f} s, and the run has not ended: {expected} frames came")
    raise BrokerClosed("the tracks log was closed before the run ended")


def _require(whole: bool, expected: int, stream: str) -> None:
    if not whole:
        raise LogCut(
            f"the tracks log of {stream} no longer holds frame {expected}: compile from file and database with --source"
        )


def merge(
    video: LogReader, tracks: LogReader, run_id: str, *, stop: Event, patience: float | None = None
) -> Generator[Pair, None, None]:
    """Every frame of a run with its outcome, in index order, until the run ends or `stop` is set. Closes both.

    Errors are those of `outcomes`.
    """
    ended = outcomes(tracks, run_id, stop=stop, patience=patience)
    with closing(_Frames(video, run_id)) as frames, closing(ended):
        for outcome in ended:
            yield frames.at(outcome.index), outcome


def pairs_of_file(source: Source, outcomes: Iterable[FrameTracks], *, stop: Event) -> Iterator[Pair]:
    """Every frame of a run with its outcome, the pictures out of the file that the run was made from.

    Pictures and frames find each other by their media time, so the source may hold more pictures than the run.
    `SourceError` where none of them find each other.
    """
    pictures = iter(source)
    picture = next(pictures, None)
    frames = found = 0
    for outcome in outcomes:
        if stop.is_set():
            return
        while picture is not None and picture.media_time < outcome.media_time - SAME_TIME:
            picture = next(pictures, None)
        shown = picture is not None and picture.media_time < outcome.media_time + SAME_TIME
        frames, found = frames + 1, found + shown
        yield (_frame(outcome, picture.pixels) if picture is not None and shown else None), outcome
    if frames and not found:
        raise SourceError(
            f"{source.info.name} has no picture at any time of the run: name the file that it was made of"
        )


def _frame(outcome: FrameTracks, pixels: Pixels) -> Frame:
    return Frame(outcome.run_id, outcome.stream, outcome.index, outcome.media_time, outcome.captured_at, pixels)


class _Frames:
    """The frames of a run, asked for by rising index."""

    def __init__(self, video: LogReader, run_id: str) -> None:
        self._video = video
        self._entries = self._read(run_id)
        self._ahead: Frame | None = None
        self._patience = MISSING_SECONDS

    def at(self, index: int) -> Frame | None:
        """The frame with that index; None when the log holds none."""
        deadline = time.monotonic() + self._patience
        while self._ahead is None or self._ahead.index < index:
            self._ahead = next(self._entries)
            if self._ahead is None and time.monotonic() > deadline:
                self._patience = 0.0  # what waited once in vain does not wait so for each of a thousand frames
                return None
            if self._ahead is not None:
                self._patience = MISSING_SECONDS
        return self._ahead if self._ahead.index == index else None

    def close(self) -> None:
        self._video.close()

    def _read(self, run_id: str) -> Iterator[Frame | None]:
        for message in self._video:
            if message is None or (isinstance(message, Frame) and message.run_id == run_id):
                yield message
        raise BrokerClosed("the video log was closed before the run ended")


def compile_video(
    pairs: Iterable[Pair], draw: Draw, sink: Sink | None, *, decode: Decode | None = None, blank: Pixels | None = None
) -> None:
    """Draw and write every pair, or only draw. The video appears when all are written, or not at all.

    A frame without a readable picture shows the one before it, `blank` at the beginning: the video has as many
    frames as were published. A run that stalls ends the video there: what came is finished, and `Stalled` raised.
    """
    picture = blank
    try:
        for frame, tracks in pairs:
            picture = _picture(frame, decode, picture)
            if picture is None:
                continue
            drawn = draw(picture, tracks)
            if sink is not None:
                sink.write(drawn, tracks.media_time)
        if sink is not None:
            sink.close()
    except Stalled:
        if sink is not None:
            sink.close()
        raise
    except BaseException:
        if sink is not None:
            sink.abort()
        raise


def _picture(frame: Frame | None, decode: Decode | None, before: Pixels | None) -> Pixels | None:
    if frame is None:
        return before
    if not isinstance(frame.picture, bytes):
        return frame.picture
    try:
        return decode(frame.picture) if decode else before
    except BadPicture:
        return before
