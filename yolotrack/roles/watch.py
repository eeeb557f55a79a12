"""watch: one stream for any number of lookers, each at its own pace, drawn once for all of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing
from dataclasses import dataclass
from threading import Condition, Event
from typing import TypeAlias

from yolotrack.broker.base import Broker, tracks_log, video_log
from yolotrack.crew import Crew
from yolotrack.errors import BadPicture
from yolotrack.model import Frame, FrameTracks, Outcome, RunEnded, utc_now
from yolotrack.roles.pairs import Key, Pairs, Shot
from yolotrack.roles.view import Moment

METERED_SECONDS = 5.0
"""What speed and ages are told of."""
METERED_FRAMES = 1000
LINGER_SECONDS = 2.0
"""Pictures are read for so long after somebody last asked for one."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """How a picture is drawn."""

    width: int
    """Pixels at most; smaller pictures keep their size."""
    labels: bool = True
    traces: bool = True
    classes: tuple[str, ...] = ()
    """Names; empty draws all."""


Paint: TypeAlias = Callable[[bytes, FrameTracks], bytes]
"""Draws tracks on a JPEG, frame after frame of a stream; `BadPicture` when it cannot be read. Used by one thread."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as somebody sees it."""

    tracks: FrameTracks
    rendition: Rendition
    jpeg: bytes | None
    """None when the frame's own picture cannot be read."""

    @property
    def key(self) -> Key:
        """Which frame it is."""
        return self.tracks.run_id, self.tracks.index


Deliver: TypeAlias = Callable[[Drawn], None]


@dataclass(frozen=True, slots=True)
class Sight:
    """How a stream goes, now."""

    moment: Moment
    """Of the last `METERED_SECONDS`."""
    run_id: str
    """The run that was heard of last; empty before any was."""
    quiet_seconds: float
    """Since a frame had its outcome; infinite before the first."""
    failed: int
    """Frames of that run since the watch began."""
    dropped: int
    ended: RunEnded | None
    """The end that was heard of last."""


class Watch:
    """Reads a stream's tracks, and its pictures while somebody asks for some. Safe to call from any thread.

    Whoever looks asks for one picture at a time, and gets the newest one that it has not had: one that is slow gets
    fewer of them, none late. A frame is drawn once per rendition, and not at all when nobody asks.
    """

    def __init__(self, broker: Broker, stream: str, open_paint: Callable[[Rendition], Paint]) -> None:
        """Begins at once; `open_paint` is called in a thread of the watch."""
        self._broker = broker
        self._stream = stream
        self._open_paint = open_paint
        self._meter = _Meter(stream)
        self._changed = Condition()
        self._asked: dict[Hashable, _Request] = {}
        self._asked_at = 0.0
        self._pairs = Pairs()
        self._show: Event | None = None
        """While pictures are read; set when they are no longer."""
        self._closed = Event()
        self._crew = Crew()
        self._crew.start(f"watch {stream}", self._read_tracks)

    @property
    def error(self) -> Exception | None:
        """What ended it before its time."""
        return self._crew.error

    def sight(self) -> Sight:
        """How the stream goes."""
        with self._changed:
            return self._meter.sight()

    def ask(self, looker: Hashable, rendition: Rendition, after: Key | None, deliver: Deliver) -> None:
        """The next picture, once: the newest there is, unless it is the frame `after`, and then the next one.

        `deliver` is called in a thread of the watch and must not wait. Asking again replaces what was asked before.
        """
        with self._changed:
            self._asked[looker] = _Request(rendition, after, deliver)
            self._asked_at = time.monotonic()
            if self._show is None and not self._closed.is_set():
                self._start_show()
            self._changed.notify_all()

    def has_newer(self, key: Key) -> bool:
        """Whether another frame than that one is there to be shown."""
        with self._changed:
            newest = self._pairs.newest
            return newest is not None and newest.key != key

    def forget(self, looker: Hashable) -> None:
        """It no longer wants what it asked for."""
        with self._changed:
            self._asked.pop(looker, None)

    def close(self) -> None:
        """Stop reading and drawing; what was asked for does not come. Idempotent, and does not wait."""
        with self._changed:
            self._closed.set()
            self._asked.clear()
            self._changed.notify_all()

    def _read_tracks(self) -> None:
        with closing(self._broker.read(tracks_log(self._stream), "now")) as entries:
            for entry in entries:
                if self._closed.is_set():
                    return
                with self._changed:
                    if isinstance(entry, FrameTracks | RunEnded):
                        self._meter.note(entry)
                    if isinstance(entry, FrameTracks):
                        self._note_tracks(entry)

    def _note_tracks(self, tracks: FrameTracks) -> None:
        if self._show is None:
            self._pairs.pass_by(tracks)
        elif self._pairs.note_tracks(tracks):
            self._changed.notify_all()

    def _start_show(self) -> None:
        show = self._show = Event()
        self._crew.threads[:] = [thread for thread in self._crew.threads if thread.is_alive()]
        self._crew.start(f"pictures {self._stream}", lambda: self._read_pictures(show))
        self._crew.start(f"draw {self._stream}", lambda: self._draw(show))

    def _read_pictures(self, show: Event) -> None:
        with closing(self._broker.read(video_log(self._stream), "now")) as entries:
            for entry in entries:
                with self._changed:
                    if self._closed.is_set() or self._unwanted():
                        return self._end_show(show)
                    if isinstance(entry, Frame) and self._pairs.note_frame(entry):
                        self._changed.notify_all()

    def _end_show(self, show: Event) -> None:
        show.set()
        self._show = None
        self._pairs.drop_waiting()
        self._changed.notify_all()

    def _unwanted(self) -> bool:
        if self._asked:
            self._asked_at = time.monotonic()
        return time.monotonic() - self._asked_at > LINGER_SECONDS

    def _draw(self, show: Event) -> None:
        easel = _Easel(self._open_paint)
        for pair, requests in self._due(show):
            for rendition, delivers in requests.items():
                drawn = easel.drawn(pair, rendition)
                for deliver in delivers:
                    deliver(drawn)

    def _due(self, show: Event) -> Iterator[tuple[Shot, dict[Rendition, list[Deliver]]]]:
        """The newest frame and who wants it how, whenever there are such, until nobody looks any more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: show.is_set() or self._closed.is_set() or self._takers())
                pair = self._pairs.newest
                if show.is_set() or self._closed.is_set() or pair is None:
                    return
                requests: dict[Rendition, list[Deliver]] = {}
                for looker in self._takers():
                    request = self._asked.pop(looker)
                    requests.setdefault(request.rendition, []).append(request.deliver)
                self._asked_at = time.monotonic()
            yield pair, requests

    def _takers(self) -> list[Hashable]:
        newest = self._pairs.newest
        return [] if newest is None else [who for who, request in self._asked.items() if request.after != newest.key]


@dataclass(frozen=True, slots=True)
class _Request:
    rendition: Rendition
    after: Key | None
    deliver: Deliver


class _Easel:
    """Draws each frame once per rendition, and keeps what it needs for renditions that are still wanted."""

    def __init__(self, open_paint: Callable[[Rendition], Paint]) -> None:
        self._open_paint = open_paint
        self._paints: dict[Rendition, tuple[Paint, float]] = {}
        self._done: dict[Rendition, Drawn] = {}
        self._pair: Shot | None = None

    def drawn(self, pair: Shot, rendition: Rendition) -> Drawn:
        if pair is not self._pair:
            self._pair, self._done = pair, {}
        if rendition not in self._done:
            self._done[rendition] = Drawn(pair.tracks, rendition, self._paint(pair, rendition))
        return self._done[rendition]

    def _paint(self, pair: Shot, rendition: Rendition) -> bytes | None:
        now = time.monotonic()
        paint = self._paints[rendition][0] if rendition in self._paints else self._open_paint(rendition)
        self._paints[rendition] = (paint, now)
        self._paints = {r: used for r, used in self._paints.items() if now - used[1] <= LINGER_SECONDS}
        try:
            return paint(pair.jpeg, pair.tracks)
        except BadPicture:
            return None


class _Meter:
    """Counts outcomes."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._recent: deque[tuple[float, float, bool]] = deque(maxlen=METERED_FRAMES)
        """When it was heard, how old it was then, whether it was lost."""
        self._began = time.monotonic()
        self._heard = float("-inf")
        self._run_id = ""
        self._objects = 0
        self._lost = {Outcome.FAILED: 0, Outcome.DROPPED: 0}
        self._ended: RunEnded | None = None

    def note(self, entry: FrameTracks | RunEnded) -> None:
        if isinstance(entry, RunEnded):
            self._ended = entry
            return
        if entry.run_id != self._run_id:
            self._run_id, self._lost = entry.run_id, dict.fromkeys(self._lost, 0)
        self._heard = time.monotonic()
        lost = entry.outcome is not Outcome.TRACKED
        if lost:
            self._lost[entry.outcome] += 1
        else:
            self._objects = len(entry.tracks)
        self._recent.append((self._heard, (utc_now() - entry.captured_at).total_seconds(), lost))

    def sight(self) -> Sight:
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > METERED_SECONDS:
            self._recent.popleft()
        seconds = min(METERED_SECONDS, now - (self._recent[0][0] if self._recent else self._began))
        ages = sorted(age for _, age, _ in self._recent)
        lost = sum(lost for _, _, lost in self._recent)
        fps = len(ages) / seconds if len(ages) > 1 else 0.0
        moment = Moment(self._stream, fps, self._objects, lost, tuple(ages))
        return Sight(
            moment,
            self._run_id,
            now - self._heard,
            self._lost[Outcome.FAILED],
            self._lost[Outcome.DROPPED],
            self._ended,
        )
