"""How good tracks are against ground truth: HOTA, CLEAR and IDF1, and the reader of the MOT text that truth comes in.

The numbers are TrackEval's (`trackers.eval` keeps parity with it): HOTA of Luiten et al. 2020, averaged over
the overlaps 0.05 to 0.95; CLEAR of Bernardin and Stiefelhagen 2008; identity of Ristani et al. 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment  # type: ignore[attr-defined]
from trackers.eval import box_iou, compute_clear_metrics, compute_hota_metrics, compute_identity_metrics

from yolotrack.errors import SourceError
from yolotrack.vision.base import Tracker

if TYPE_CHECKING:
    import pyarrow as pa
    import supervision as sv

_Ids: TypeAlias = npt.NDArray[np.int64]

_IGNORE_OVERLAP = 0.5
"""MOTChallenge's own, whatever overlap is evaluated at."""


@dataclass(frozen=True, slots=True, eq=False)
class MotBoxes:
    """The boxes of one sequence, a row each, in any order."""

    frame: _Ids
    """From 0, as everywhere but in MOT text."""
    track_id: _Ids
    xyxy: npt.NDArray[np.float64]
    """n x 4, pixels."""
    confidence: npt.NDArray[np.float64]
    """0-1; in ground truth, 0 marks a row to ignore."""

    @property
    def frames(self) -> int:
        """How many there are from frame 0 to the last with a box."""
        return int(self.frame.max(initial=-1)) + 1

    @classmethod
    def selected(cls, batches: Iterable[pa.RecordBatch]) -> MotBoxes:
        """The boxes that `Store.select` found."""
        import pyarrow as pa

        table = pa.Table.from_batches(batches)
        frame, track_id = (table[name].to_numpy().astype(np.int64) for name in ("frame", "tracker_id"))
        sides = [table[name].to_numpy().astype(np.float64) for name in ("x_min", "y_min", "x_max", "y_max")]
        return cls(frame, track_id, np.stack(sides, axis=1), table["confidence"].to_numpy().astype(np.float64))

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[float]]) -> MotBoxes:
        """From `frame, track_id, x1, y1, x2, y2, confidence`, a row each."""
        table = np.array(rows, dtype=np.float64).reshape(-1, 7)
        return cls(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:6], table[:, 6])


@dataclass(frozen=True, slots=True)
class Scores:
    """How good tracks are. Ratios are 1.0 at best; `mota` has no floor; the rest are counts."""

    hota: float
    """Geometric mean of `deta` and `assa`, averaged over overlaps."""
    deta: float
    """Are the objects found?"""
    assa: float
    """Do they keep their identity?"""
    mota: float
    """1 - (misses + false positives + identity switches) / boxes of the ground truth."""
    motp: float
    """Mean overlap (IoU) of the matched boxes."""
    idf1: float
    idp: float
    idr: float
    recall: float
    precision: float
    id_switches: int
    fragmentations: int
    false_positives: int
    misses: int
    mostly_tracked: int
    """Objects tracked for more than 80 % of their life."""
    mostly_lost: int
    """Objects tracked for less than 20 % of it."""


def evaluate(ground_truth: MotBoxes | Path, tracks: MotBoxes | Path, iou: float = 0.5) -> Scores:
    """Compare tracks with the truth; `iou` is the overlap that counts as found, for all but HOTA's numbers.

    Ground truth with confidence 0 is ignored as MOTChallenge does: it is no miss, and a track box that matches
    it (overlap 0.5 or more, in an assignment over all of the frame's ground truth) is no false positive.
    Classes are not looked at: filter both sides before. `SourceError` when a file cannot be used, or when an
    id is twice in one frame.
    """
    truth, found = _loaded(ground_truth), _loaded(tracks)
    matched = _matched(truth, found)
    clear = compute_clear_metrics(matched.truth, matched.found, matched.overlap, threshold=iou)
    identity = compute_identity_metrics(matched.truth, matched.found, matched.overlap, threshold=iou)
    hota = compute_hota_metrics(matched.truth, matched.found, matched.overlap)
    return _scores(clear, identity, hota)


def follow(detections: Iterable[sv.Detections], tracker: Tracker, rate: float) -> MotBoxes:
    """What a fresh tracker makes of consecutive frames, `rate` of them a second; the first is frame 0."""
    rows: list[tuple[float, ...]] = []
    for frame, seen in enumerate(detections):
        found = tracker.update(seen, frame / rate)
        columns = (found.tracker_id, found.xyxy, found.confidence)
        rows += [(frame, track_id, *box, score) for track_id, box, score in zip(*columns, strict=True)]  # type: ignore[arg-type]
    return MotBoxes.from_rows(rows)


def as_frames(boxes: MotBoxes, frames: int) -> list[sv.Detections]:
    """Boxes as a detector of one class gives them, `frames` frames from 0; ids are not looked at."""
    import supervision as sv

    return [
        sv.Detections(
            xyxy=boxes.xyxy[here].astype(np.float32),
            confidence=boxes.confidence[here].astype(np.float32),
            class_id=np.zeros(len(here), dtype=int),
            data={"class_name": np.full(len(here), "object")},
        )
        for here in _rows(boxes, frames)
    ]


def read_mot(path: Path) -> MotBoxes:
    """MOT text: `frame,id,left,top,width,height[,confidence,...]`, frames from 1. An empty file has no boxes."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    return MotBoxes.from_rows(
        [_parsed(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    )


def _parsed(line: str, place: str) -> tuple[float, ...]:
    try:
        numbers = [float(part) for part in line.strip().rstrip(",").split(",")]
        frame, track_id, left, top, width, height, confidence = (*numbers, 1.0)[:7]
    except ValueError:
        raise SourceError(f"{place}: expected frame,id,left,top,width,height,... but found {line!r}") from None
    if not all(map(math.isfinite, numbers)) or frame < 1:
        raise SourceError(f"{place}: numbers must be finite and frames count from 1, but found {line!r}")
    return frame - 1, track_id, left, top, left + width, top + height, confidence


def _loaded(boxes: MotBoxes | Path) -> MotBoxes:
    name, boxes = (f"{boxes}: ", read_mot(boxes)) if isinstance(boxes, Path) else ("", boxes)
    keys, counts = np.unique(np.stack([boxes.frame, boxes.track_id]), axis=1, return_counts=True)
    for frame, track_id in keys[:, counts > 1].T:
        raise SourceError(f"{name}id {track_id} is there more than once in frame {frame} (counted from 0)")
    return boxes


@dataclass(frozen=True, slots=True)
class _Matched:
    """What `trackers.eval` computes on: for each frame, ids from 0 without gaps, and overlaps truth x found."""

    truth: list[_Ids]
    found: list[_Ids]
    overlap: list[npt.NDArray[np.float64]]


def _matched(truth: MotBoxes, found: MotBoxes) -> _Matched:
    frames = max(truth.frames, found.frames)
    truth_ids, found_ids = _dense(truth.track_id), _dense(found.track_id)
    result = _Matched([], [], [])
    for there, seen in zip(_rows(truth, frames), _rows(found, frames), strict=True):
        overlap = box_iou(truth.xyxy[there], found.xyxy[seen])
        counts = truth.confidence[there] != 0
        scored = ~_on_ignored(overlap, counts)
        result.truth.append(truth_ids[there[counts]])
        result.found.append(found_ids[seen[scored]])
        result.overlap.append(overlap[np.ix_(counts, scored)])
    return result


def _dense(ids: _Ids) -> _Ids:
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


def _rows(boxes: MotBoxes, frames: int) -> list[npt.NDArray[np.intp]]:
    """The rows of each frame."""
    order = np.argsort(boxes.frame, kind="stable")
    return np.split(order, np.searchsorted(boxes.frame[order], np.arange(1, frames)))


def _on_ignored(overlap: npt.NDArray[np.float64], counts: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of the found boxes match ground truth that does not count."""
    overlap = np.where(overlap >= _IGNORE_OVERLAP, overlap, 0.0)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    ignored = ~counts[rows] & (overlap[rows, columns] > 0)
    return np.isin(np.arange(overlap.shape[1]), columns[ignored])


def _scores(clear: dict[str, Any], identity: dict[str, Any], hota: dict[str, Any]) -> Scores:
    return Scores(
        hota=hota["HOTA"],
        deta=hota["DetA"],
        assa=hota["AssA"],
        mota=clear["MOTA"],
        motp=clear["MOTP"],
        idf1=identity["IDF1"],
        idp=identity["IDP"],
        idr=identity["IDR"],
        recall=clear["CLR_Re"],
        precision=clear["CLR_Pr"],
        id_switches=clear["IDSW"],
        fragmentations=clear["Frag"],
        false_positives=clear["CLR_FP"],
        misses=clear["CLR_FN"],
        mostly_tracked=clear["MT"],
        mostly_lost=clear["ML"],
    )
