"""Which frames of a run a video shows: those between two times, or those of one track's life."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf, nextafter
from threading import Event

from yolotrack.errors import NotFound
from yolotrack.model import FrameTracks, RunRecord
from yolotrack.roles.compile import Pair
from yolotrack.store.base import Store


@dataclass(frozen=True, slots=True)
class Cut:
    """The frames whose media time is in [`start`, `end`), seconds."""

    start: float = 0.0
    end: float = inf

    def of(self, pairs: Iterable[Pair], stop: Event) -> Iterator[Pair]:
        """The chosen ones of a run's pairs, in order; looks no further than `end`.

        `NotFound` where there are none, unless `stop` was set.
        """
        found, last = False, 0.0
        for frame, outcome in pairs:
            last = outcome.media_time
            if last >= self.end:
                break
            if last >= self.start:
                found = True
                yield frame, outcome
        if not found and not stop.is_set():
            raise self.missed(last)

    def missed(self, last: float) -> NotFound:
        """The error where a run, whose last frame is at that time, has no frame in it."""
        return NotFound(f"the run has no frame {self}: its last one is at {last:.3f} s")

    def __str__(self) -> str:
        return f"from {self.start:g} s on" + ("" if self.end == inf else f" and before {self.end:g} s")


@dataclass(slots=True)
class Life:
    """When a track was seen, media times rising, and where: boxes x1, y1, x2, y2 in pixels."""

    times: list[float] = field(default_factory=list)
    boxes: list[tuple[float, ...]] = field(default_factory=list)

    def cut(self, margin: float) -> Cut:
        """From its first frame to its last, both included, and `margin` seconds before and after."""
        return Cut(max(0.0, self.times[0] - margin), nextafter(self.times[-1] + margin, inf))


def life_in_store(store: Store, run_id: str, track_id: int) -> Life:
    """The life of a track, as the store has it. `NotFound` where the run has no such track."""
    life = Life()
    for seen in store.observations(run_id, track_ids=(track_id,)):
        life.times.append(seen.media_time)
        life.boxes.append(seen.xyxy)
    if not life.times:
        raise _no_track(run_id, track_id, [track.track_id for track in store.tracks(run_id)])
    return life


def life_in_log(ended: Iterable[FrameTracks], run_id: str, track_id: int) -> Life:
    """The life of a track out of all outcomes of its run. `NotFound` where the run has no such track."""
    life, ids = Life(), set[int]()
    for outcome in ended:
        for box, number in zip(outcome.tracks.xyxy, _ids(outcome), strict=True):
            ids.add(number)
            if number == track_id:
                life.times.append(outcome.media_time)
                life.boxes.append(tuple(float(side) for side in box))
    if not life.times:
        raise _no_track(run_id, track_id, sorted(ids))
    return life


def frames_within(store: Store, record: RunRecord, cut: Cut) -> tuple[int, int]:
    """The half-open range of indexes of a run's frames that a cut chooses, of those that have an outcome.

    `NotFound` where it chooses none.
    """
    indexes = range(record.ledger.settled)

    def media_time(index: int) -> float:
        (only,) = store.outcomes(record.run.run_id, (index, index + 1))
        return only.media_time

    if not indexes:
        raise NotFound(f"run {record.run.run_id} has no frames")
    first, end = bisect_left(indexes, cut.start, key=media_time), bisect_left(indexes, cut.end, key=media_time)
    if first == end:
        raise cut.missed(media_time(indexes[-1]))
    return first, end


def _ids(outcome: FrameTracks) -> list[int]:
    ids = outcome.tracks.tracker_id
    return [] if ids is None else [int(number) for number in ids]


def _no_track(run_id: str, track_id: int, ids: list[int]) -> NotFound:
    there = f"its {len(ids)} tracks are {ids[0]} to {ids[-1]}" if ids else "it has none"
    return NotFound(f"run {run_id} has no track {track_id}: {there}")
