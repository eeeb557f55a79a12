"""What a batch adds to its tracks: sums that come out the same however frames fell into batches.

Every row of a batch at once, in columns: one by one they would take longer than the database does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from yolotrack.errors import StoreError
from yolotrack.model import FrameTracks

_Number = TypeVar("_Number", np.int64, np.float32)
Integers: TypeAlias = npt.NDArray[np.int64]
Path: TypeAlias = tuple[float, float, float, float, float]
"""Length, entry x and y, exit x and y of a track so far."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Observations in the order of their frames: each array holds a value, or a row, for each."""

    frame: Integers
    media_time: npt.NDArray[np.float64]
    track: Integers
    class_id: Integers
    class_name: npt.NDArray[Any]
    confidence: npt.NDArray[np.float32]
    """As float32, sums of confidences are exact in a double, so they do not depend on how frames fell into batches."""
    box: npt.NDArray[np.float32]
    """Rows of x_min, y_min, x_max, y_max."""


def seen_in(frames: Sequence[FrameTracks]) -> Seen:
    """The observations of some frames, one at least. `StoreError` where a number is none, or infinite."""
    tracks = [frame.tracks for frame in frames]
    counts = [len(each) for each in tracks]
    seen = Seen(
        frame=np.repeat(np.array([frame.index for frame in frames], np.int64), counts),
        media_time=np.repeat(np.array([frame.media_time for frame in frames], np.float64), counts),
        track=_joined([each.tracker_id for each in tracks], np.int64),
        class_id=_joined([each.class_id for each in tracks], np.int64),
        class_name=np.concatenate([each.data["class_name"] for each in tracks]),
        confidence=_joined([each.confidence for each in tracks], np.float32),
        box=_joined([each.xyxy for each in tracks], np.float32),
    )
    usable = np.isfinite(seen.box).all(axis=1) & np.isfinite(seen.confidence)
    if not usable.all():
        raise StoreError(f"a box or confidence in frame {seen.frame[~usable][0]} is no number")
    return seen


def observation_rows(run: int, seen: Seen) -> list[tuple[Any, ...]]:
    """The columns of `observations`, in order; plain numbers, since drivers are slow to bind numpy's."""
    columns = (seen.frame, seen.track, seen.class_id, seen.confidence, *seen.box.T)
    return list(zip(repeat(run), *(column.tolist() for column in columns), strict=False))


def class_names(seen: Seen) -> dict[int, str]:
    """The names of the classes by their ids."""
    ids, first = np.unique(seen.class_id, return_index=True)
    return dict(zip(ids.tolist(), map(str, seen.class_name[first]), strict=True))


def track_rows(run: int, seen: Seen) -> list[tuple[Any, ...]]:
    """The columns of `tracks`, in order: what the observations add, per track and class."""
    order = np.lexsort((seen.class_id, seen.track))  # stable: frames stay in order
    track, class_id = seen.track[order], seen.class_id[order]
    first = _beginnings((np.diff(track) != 0) | (np.diff(class_id) != 0))
    last = _ends(first, len(order))
    columns = (
        track[first],
        class_id[first],
        last - first + 1,
        np.add.reduceat(seen.confidence[order].astype(np.float64), first),
        *(values[order][place] for values in (seen.frame, seen.media_time) for place in (first, last)),
    )
    return list(zip(repeat(run), *(column.tolist() for column in columns), strict=False))


def paths_after(seen: Seen, before: Mapping[int, Path]) -> dict[int, Path]:
    """The paths of all tracks seen, by track, where those of tracks seen earlier were as `before` tells.

    Each step is added on its own, in the order of frames, so the bits depend on nothing else. A square root is
    rounded right on every machine, where a library's `hypot` need not be.
    """
    order = np.argsort(seen.track, kind="stable")
    track = seen.track[order]
    first = _beginnings(np.diff(track) != 0)
    last = _ends(first, len(order))
    box = seen.box[order].astype(np.float64)
    centre = (box[:, :2] + box[:, 2:]) / 2
    ids = track[first].tolist()
    old = np.array([before.get(one) or (0.0, *at, *at) for one, at in zip(ids, centre[first].tolist(), strict=True)])
    came_from = np.roll(centre, 1, axis=0)
    came_from[first] = old[:, 3:]
    dx, dy = (centre - came_from).T
    steps = np.sqrt(dx * dx + dy * dy)
    places = np.arange(len(ids))
    lengths = np.bincount(  # adds one after the other, unlike numpy's sums
        np.concatenate([places, np.repeat(places, last - first + 1)]), np.concatenate([old[:, 0], steps])
    )
    paths = np.column_stack([lengths, old[:, 1:3], centre[last]])
    return dict(zip(ids, map(tuple, paths.tolist()), strict=True))


def _joined(columns: Sequence[Any], kind: type[_Number]) -> npt.NDArray[_Number]:
    return np.concatenate(columns, dtype=kind)


def _beginnings(changes: npt.NDArray[np.bool_]) -> Integers:
    """Where groups begin among sorted rows, from where a row differs from the one before it."""
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _ends(beginnings: Integers, count: int) -> Integers:
    return np.append(beginnings[1:], count) - 1
