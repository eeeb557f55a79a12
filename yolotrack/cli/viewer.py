"""The window of `yolotrack view`: what it shows, and what its keys do. Imported when a window is wanted."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from threading import Event

import cv2

from yolotrack.broker.base import SharedBroker
from yolotrack.draft import writing_file
from yolotrack.errors import BadPicture, OutputError
from yolotrack.model import FrameTracks, Pixels, utc_now
from yolotrack.roles.pairs import Shot
from yolotrack.roles.show import Feed, Live, Replay
from yolotrack.roles.streams import Streams
from yolotrack.video.draw import Annotator, Style
from yolotrack.video.jpeg import decode
from yolotrack.video.overlay import HELD, LIVE, OVER, Color, Overlay, card, fitted, write
from yolotrack.video.window import Window

NAME = "yolotrack"
KEYS = (
    ("q, Esc", "quit"),
    ("space", "pause, go on"),
    ("s", "save the picture"),
    ("l", "labels"),
    ("t", "traces"),
    ("n", "next stream"),
    ("?", "this help"),
)
INSTEAD = "`yolotrack view --web` shows it in a browser, `--headless` prints how it goes"
QUIET_SECONDS = 2.0
"""Without a frame for so long, a stream is not live."""
HINT_SECONDS = 5.0
NOTICE_SECONDS = 3.0
METERED_SECONDS = 2.0
MOST_CLASSES = 8


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants to see."""

    stream: str | None
    """None for the one that began last of those that are running."""
    replay: bool
    """The newest run from its beginning, rather than what is now."""
    once: bool
    """Until a run ends."""
    style: Style


class Viewer:
    """Shows one stream at a time until `stop` is set, which its window does too. Used by the main thread."""

    def __init__(self, broker: SharedBroker, window: Window, wish: Wish, stop: Event) -> None:
        self._broker = broker
        self._wish = wish
        self._stop = stop
        self._window = window
        window.on_key = self._press
        self._streams = Streams(broker)
        self._stream = wish.stream
        self._feed: Feed | None = None
        self._picture = _Picture(wish.style)
        self._paused = False
        self._help = False
        self._notice = ("", 0.0)
        self._since = time.monotonic()

    def run(self) -> None:
        """Show, and do what keys say. `BrokerError` when the broker is gone for good."""
        self._open(self._stream or self._streams.chosen(replay=self._wish.replay))
        while not self._stop.is_set():
            self._step()
            self._window.show_as(NAME, f"{NAME} - {self._stream}" if self._stream else NAME, self._canvas())

    def close(self) -> None:
        """Stop reading."""
        if self._feed is not None:
            self._feed.close()
        self._streams.close()

    def _open(self, stream: str | None) -> None:
        """Turn to a stream, if there is one."""
        if stream is None:
            return
        if self._feed is not None:
            self._feed.close()
        run = self._streams.newest(stream) if self._wish.replay else None
        self._feed = Live(self._broker, stream) if run is None else Replay(self._broker, run)
        self._stream, self._paused, self._since = stream, False, time.monotonic()
        self._picture.clear()

    def _step(self) -> None:
        if self._feed is None:
            self._open(self._streams.started())
        elif self._paused:
            self._feed.rest()
        elif (shot := self._feed.look()) is not None:
            self._picture.see(shot)
        elif self._feed.going().ended:
            self._finish(self._feed)

    def _finish(self, feed: Feed) -> None:
        if self._wish.once:
            self._stop.set()
        elif feed.replayed and self._stream is not None:
            feed.close()
            self._feed = Live(self._broker, self._stream)

    # keys

    def _press(self, key: str) -> None:
        actions = {
            " ": self._pause,
            "s": self._save,
            "l": self._label,
            "t": self._trace,
            "n": self._turn,
            "?": self._explain,
            "h": self._explain,
        }
        actions.get(key.lower(), lambda: None)()

    def _pause(self) -> None:
        self._paused = not self._paused and self._picture.drawn is not None

    def _explain(self) -> None:
        self._help = not self._help

    def _label(self) -> None:
        style = self._picture.style
        self._picture.restyle(replace(style, labels=not style.labels))
        self._tell("no labels" if style.labels else "labels")

    def _trace(self) -> None:
        style = self._picture.style
        self._picture.restyle(replace(style, traces=not style.traces))
        self._tell("no traces" if style.traces else "traces")

    def _turn(self) -> None:
        other = self._streams.after(self._stream or "")
        if other is None:
            self._tell("no other stream is running")
        else:
            self._open(other)

    def _save(self) -> None:
        if self._picture.drawn is None or self._picture.tracks is None:
            return
        try:
            path = save_picture(Path(), self._picture.tracks, self._picture.drawn)
        except OutputError as error:
            print(f"error: {error}", file=sys.stderr)
            self._tell(str(error))
        else:
            print(path, flush=True)
            self._tell(f"saved {path}")

    def _tell(self, notice: str) -> None:
        self._notice = (notice, time.monotonic() + NOTICE_SECONDS)

    # what is seen

    def _canvas(self) -> Pixels:
        canvas = card() if self._picture.drawn is None else fitted(self._picture.drawn)
        write(canvas, self._overlay())
        return canvas

    def _overlay(self) -> Overlay:
        state, color = self._state()
        notice, until = self._notice
        if time.monotonic() > until:
            notice = self._hint()
        rows = self._rows() if self._picture.drawn is not None else ()
        return Overlay(self._stream or NAME, state, color, rows, notice, KEYS if self._help else ())

    def _state(self) -> tuple[str, Color]:
        if self._feed is None or self._picture.drawn is None:
            return f"waiting for {self._stream or 'a stream'}", HELD
        going = self._feed.going()
        if self._paused:
            return "paused", HELD
        if going.ended:
            return "ended", OVER
        if self._feed.replayed:
            return "replay", LIVE
        if going.quiet_seconds > QUIET_SECONDS:
            return f"nothing for {told_age(self._picture.quiet_seconds)}", HELD
        return "live", LIVE

    def _hint(self) -> str:
        if self._picture.drawn is not None:
            ended = self._feed is not None and self._feed.going().ended
            return f"waiting for the next run of {self._stream}" if ended else ""
        waited = time.monotonic() - self._since > HINT_SECONDS
        return "`yolotrack publish` sends frames, `yolotrack work` tracks them" if waited else ""

    def _rows(self) -> tuple[tuple[str, str], ...]:
        tracks, feed = self._picture.tracks, self._feed
        if tracks is None or feed is None:
            return ()
        if feed.replayed:
            when = ("time", told_time(tracks.media_time))
        else:
            when = ("age", told_age((utc_now() - tracks.captured_at).total_seconds()))
        speeds = (("in", f"{feed.going().fps:.1f} fps"), ("shown", f"{self._picture.fps:.1f} fps"))
        return (*speeds, when, *_objects(tracks))


class _Picture:
    """The picture that is seen, drawn."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.tracks: FrameTracks | None = None
        self.drawn: Pixels | None = None
        self._pixels: Pixels | None = None
        self._annotator: tuple[tuple[str, int, int], Annotator] | None = None
        """Of a run and a size: another run's tracks have nothing to do with this one's."""
        self._shown: deque[float] = deque()
        self._seen_at = 0.0

    @property
    def fps(self) -> float:
        """Pictures shown a second, of late."""
        now = time.monotonic()
        while self._shown and now - self._shown[0] > METERED_SECONDS:
            self._shown.popleft()
        return len(self._shown) / METERED_SECONDS

    @property
    def quiet_seconds(self) -> float:
        """Since it changed."""
        return time.monotonic() - self._seen_at

    def see(self, shot: Shot) -> None:
        """Draw another one; one that cannot be read changes nothing."""
        try:
            self._pixels = decode(shot.jpeg)
        except BadPicture:
            return
        self.tracks = shot.tracks
        self._seen_at = time.monotonic()
        self._shown.append(self._seen_at)
        self._draw()

    def restyle(self, style: Style) -> None:
        """Draw it again."""
        self.style = style
        self._draw()

    def clear(self) -> None:
        """Nothing is seen."""
        self.tracks = self.drawn = self._pixels = None
        self._shown.clear()

    def _draw(self) -> None:
        if self._pixels is None or self.tracks is None:
            return
        height, width = self._pixels.shape[:2]
        key = (self.tracks.run_id, width, height)
        if self._annotator is None or self._annotator[0] != key:
            self._annotator = (key, Annotator(width, height, self.style))
        annotator = self._annotator[1]
        annotator.style = self.style
        self.drawn = annotator(self._pixels, self.tracks)


def _objects(tracks: FrameTracks) -> tuple[tuple[str, str], ...]:
    """How many there are of each class, the most first."""
    names = tracks.tracks.data.get("class_name", ())
    counts = sorted(Counter(map(str, names)).items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in counts[MOST_CLASSES:])
    shown = [(name, str(number)) for name, number in counts[:MOST_CLASSES]]
    return (*shown, *([("others", str(rest))] if rest else []))


def told_age(seconds: float) -> str:
    """`62 ms`, `1.4 s`, `12 s`, `3 min`, `5 h`."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def told_time(seconds: float) -> str:
    """`1:02:03.4`; without hours where there are none."""
    minutes, tenths = divmod(round(10 * seconds), 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def save_picture(folder: Path, tracks: FrameTracks, drawn: Pixels) -> Path:
    """Write a PNG whose name says stream, run and frame; what is there already is kept, and the new one numbered.

    `OutputError` where it cannot be written; nothing is left then.
    """
    stem = f"{tracks.stream}-{tracks.run_id}-{tracks.index:06d}"
    paths = (folder / f"{stem}.png" if n == 1 else folder / f"{stem}-{n}.png" for n in count(1))
    path = next(path for path in paths if not path.exists())
    with writing_file(path, overwrite=False) as file:
        file.write(cv2.imencode(".png", drawn)[1].tobytes())
    return path
