"""compile: merge a run's two logs by index, draw, write one video."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from threading import Event

from yolotrack.broker.base import LogReader
from yolotrack.errors import BrokerClosed
from yolotrack.model import Frame, FrameTracks, RunEnded
from yolotrack.video.base import Draw, Sink


def outcomes(tracks: LogReader, run_id: str, *, stop: Event) -> Generator[FrameTracks, None, None]:
    """The outcome of every frame of a run, once, in index order, until the run ends or `stop` is set.

    Raises `BrokerClosed` when the log ends before the run does. Closes the reader.
    """
    expected = 0
    with closing(tracks):
        for message in tracks:
            if stop.is_set():
                return
            if isinstance(message, RunEnded) and message.run_id == run_id:
                return
            if isinstance(message, FrameTracks) and message.run_id == run_id and message.index == expected:
                yield message  # an index below was published again after a takeover
                expected += 1
    raise BrokerClosed("the tracks log was closed before the run ended")


def frames(video: LogReader, run_id: str, *, stop: Event) -> Generator[Frame, None, None]:
    """The frames of a run, once, in index order, until `stop` is set. Closes the reader."""
    expected = 0
    with closing(video):
        for message in video:
            if stop.is_set():
                return
            if isinstance(message, Frame) and message.run_id == run_id and message.index == expected:
                yield message
                expected += 1
    raise BrokerClosed("the video log was closed before the run ended")


def merge(
    video: LogReader, tracks: LogReader, run_id: str, *, stop: Event
) -> Generator[tuple[Frame, FrameTracks], None, None]:
    """Every frame of a run with its outcome, in index order, until the run ends or `stop` is set. Closes both."""
    with closing(video), closing(tracks):
        pictures = frames(video, run_id, stop=stop)
        for outcome in outcomes(tracks, run_id, stop=stop):
            picture = next(pictures, None)
            if picture is None:
                return
            yield picture, outcome


def compile_video(pairs: Iterable[tuple[Frame, FrameTracks]], draw: Draw, sink: Sink | None) -> None:
    """Draw and write every pair, or only draw. The video appears when all are written, or not at all."""
    try:
        for frame, tracks in pairs:
            assert not isinstance(frame.picture, bytes)  # noqa: S101
            drawn = draw(frame.picture, tracks)
            if sink is not None:
                sink.write(drawn, frame.media_time)
        if sink is not None:
            sink.close()
    except BaseException:
        if sink is not None:
            sink.abort()
        raise
