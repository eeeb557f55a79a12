"""A database of three runs, and `yolotrack db` asked about it in this process."""

from __future__ import annotations

import csv
import io
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.stores import claimed, lost, make_run, open_file, tracked
from yolotrack.cli import app
from yolotrack.cli.common import exit_code_of
from yolotrack.model import Outcome, Run, RunStatus
from yolotrack.store.base import Batch, Checkpoint

FIRST, SECOND, LATEST = (
    "01a2055b-1c73-7218-a3b9-4f17f13e96a0",
    "01a2055b-1c73-7ad0-a6e8-7ddf86f6dc63",
    "01a2055b-2d22-7d0b-ba4d-6c255744591a",
)


def write_three_runs(path: Path) -> Path:
    """Complete, interrupted, and one that runs, 12 of its frames in flight; the second of another stream."""
    with closing(open_file(path)) as store:
        for number, (run_id, stream, count) in enumerate(
            ((FIRST, "car-detection", 50), (SECOND, "gate-north", 6), (LATEST, "car-detection", 400))
        ):
            run = make_run(stream, minute=number, run_id=run_id)
            claim = claimed(store, run)
            frames = [_frame(run, index) for index in range(count)]
            in_flight = 12 if run_id == LATEST else 0
            checkpoint = Checkpoint(count, count)
            store.commit(
                claim, Batch(tuple(frames), checkpoint, count + in_flight, "d1g", "weights/yolov8n.pt", "bytetrack")
            )
            if run_id != LATEST:
                store.end_run(claim, (RunStatus.COMPLETE, RunStatus.INTERRUPTED)[number], count)
    return path


def _frame(run: Run, index: int) -> Any:
    if index == 4:
        return lost(run, index, Outcome.DROPPED if run.run_id == FIRST else Outcome.FAILED)
    return tracked(run, index, ids=(1, 3, 20), class_id=(2, 0, 7), confidence=(0.9, 0.55, 1 / 3))


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        """Of CSV, which must be the whole answer."""
        assert (self.code, self.err) == (0, "")
        return rows_of(self.out)


@dataclass(frozen=True)
class Asking:
    """`yolotrack db ...` on one database."""

    path: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Answer:
        code = exit_code_of(app, ["db", *map(str, arguments), "--db", f"sqlite:///{self.path}"])
        captured = self.capsys.readouterr()
        return Answer(code, captured.out, captured.err)


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of CSV."""
    return list(csv.DictReader(io.StringIO(text)))
