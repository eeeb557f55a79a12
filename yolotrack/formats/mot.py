"""MOTChallenge's text: boxes by left, top, width and height, frames from 1, and the folder of a sequence.

Layout as TrackEval (https://github.com/JonathonLuiten/TrackEval, docs/MOTChallenge-Official) and `trackers eval` read
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from yolotrack.formats.csv_text import csv_lines

_DECIMALS = 3
"""Of a pixel: no detector is that exact."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """What `seqinfo.ini` says of a run."""

    name: str
    """Of the sequence and its folder."""
    stream: str
    """Of the file of results, as the ground truth of the same video is called."""
    frames: int
    """At least: a run that goes on gets more while it is written."""
    width: int
    height: int
    rate: Fraction | None


class MotWriter:
    """`Writer` of results: `frame,id,left,top,width,height,conf,-1,-1,-1`. Of one run, which the caller sees to."""

    def __init__(self, file: BinaryIO) -> None:
        """Into an open file."""
        self._file = file

    def write(self, batch: pa.RecordBatch) -> None:
        """One line a row."""
        unknown = pa.array([-1] * batch.num_rows, pa.int64())
        self._file.write(csv_lines(_mot(batch, pc.round(batch["confidence"], 6), unknown, unknown, unknown)))

    def close(self) -> None:
        """Nothing comes after the last row."""


def write_sequence(folder: Path, sequence: Sequence, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a run into an empty folder, as results and as ground truth. Raises `OSError`.

    `data/STREAM.txt` has the confidences; `gt/gt.txt` says instead that every row counts, and is of class 1: the
    pedestrians, whom alone those who evaluate look at.
    """
    (folder / "data").mkdir()
    (folder / "gt").mkdir()
    frames = sequence.frames
    with ExitStack() as stack:
        truth = stack.enter_context((folder / "gt" / "gt.txt").open("wb"))
        results = MotWriter(stack.enter_context((folder / "data" / f"{sequence.stream}.txt").open("wb")))
        for batch in batches:
            results.write(batch)
            ones = pa.array([1] * batch.num_rows, pa.int64())
            truth.write(csv_lines(_mot(batch, ones, ones, ones)))
            if batch.num_rows:
                frames = max(frames, pc.max(batch["frame"]).as_py() + 1)
    (folder / "seqinfo.ini").write_text(_seqinfo(replace(sequence, frames=frames)), encoding="utf-8")


def _mot(batch: pa.RecordBatch, *more: pa.Array) -> pa.RecordBatch:
    sides = {name: batch[name].cast(pa.float64()) for name in ("x_min", "y_min", "x_max", "y_max")}
    left, top = sides["x_min"], sides["y_min"]
    size = pc.subtract(sides["x_max"], left), pc.subtract(sides["y_max"], top)
    box = (pc.round(side, _DECIMALS) for side in (left, top, *size))
    columns = [pc.add(batch["frame"], 1), batch["tracker_id"], *box, *more]
    return pa.RecordBatch.from_arrays(columns, [str(number) for number in range(len(columns))])


def _seqinfo(sequence: Sequence) -> str:
    rate = None if sequence.rate is None else f"{float(sequence.rate):.6g}"
    values = {
        "name": sequence.name,
        "imDir": "img1",
        "frameRate": rate,
        "seqLength": sequence.frames,
        "imWidth": sequence.width,
        "imHeight": sequence.height,
        "imExt": ".jpg",
    }
    return "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in values.items() if value is not None)
