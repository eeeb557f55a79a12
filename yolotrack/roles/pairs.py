"""A frame's picture and its tracks, which come by two logs, brought together."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from yolotrack.model import Frame, FrameTracks, Outcome

HELD_FRAMES = 1500
HELD_BYTES = 64_000_000
"""Of pictures that wait for their tracks; beyond either the oldest are not shown."""

Key: TypeAlias = tuple[str, int]
"""Run and index of a frame."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame to show: its picture as published, and its tracks."""

    jpeg: bytes
    tracks: FrameTracks

    @property
    def key(self) -> Key:
        """Which frame it is."""
        return self.tracks.run_id, self.tracks.index


class Pairs:
    """Brings pictures and tracks together, whichever comes first, and keeps the newest pair."""

    def __init__(self) -> None:
        self.newest: Shot | None = None
        self._frames: OrderedDict[Key, bytes] = OrderedDict()
        self._tracks: OrderedDict[Key, FrameTracks] = OrderedDict()
        self._bytes = 0

    def note_frame(self, frame: Frame) -> bool:
        """Whether it makes a new pair."""
        key = (frame.run_id, frame.index)
        if not isinstance(frame.picture, bytes) or key in self._frames:
            return False
        self._frames[key] = frame.picture
        self._bytes += len(frame.picture)
        while len(self._frames) > HELD_FRAMES or self._bytes > HELD_BYTES:
            self._bytes -= len(self._frames.popitem(last=False)[1])
        return self._pair(key)

    def note_tracks(self, tracks: FrameTracks) -> bool:
        """Whether they make a new pair; frames that were not tracked make none."""
        if tracks.outcome is not Outcome.TRACKED:
            return False
        key = (tracks.run_id, tracks.index)
        self._tracks[key] = tracks
        while len(self._tracks) > HELD_FRAMES:
            self._tracks.popitem(last=False)
        return self._pair(key)

    def pass_by(self, tracks: FrameTracks) -> None:
        """A frame whose picture nobody reads: where it is one to show, the newest pair is the newest no more."""
        if tracks.outcome is Outcome.TRACKED:
            self.newest = None

    def drop_waiting(self) -> None:
        """Forget all but the newest pair."""
        self._frames.clear()
        self._tracks.clear()
        self._bytes = 0

    def _pair(self, key: Key) -> bool:
        if key not in self._frames or key not in self._tracks:
            return False
        self.newest = Shot(self._frames[key], self._tracks[key])
        for older in _up_to(self._frames, key):
            self._bytes -= len(self._frames.pop(older))
        for older in _up_to(self._tracks, key):
            del self._tracks[older]
        return True


def _up_to(entries: OrderedDict[Key, bytes] | OrderedDict[Key, FrameTracks], last: Key) -> list[Key]:
    """The keys from the oldest to `last`."""
    keys = list(entries)
    return keys[: keys.index(last) + 1]
