"""`yolotrack db runs`: the ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from yolotrack.cli import common, options
from yolotrack.cli.db.output import FormatOption, Output, OutputOption
from yolotrack.cli.listing import SHORTEST_ID, Column, build_table, clock, fits, size_text
from yolotrack.cli.signals import leaving
from yolotrack.model import utc_now

if TYPE_CHECKING:
    from yolotrack.model import RunRecord
    from yolotrack.store.base import Store

_LEDGER = ("published", "tracked", "failed", "dropped", "in_flight", "tracks")
RUN_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("run_id", "stream", "source", "status"), str),
    **dict.fromkeys(_LEDGER, int),
    "started_at": datetime,
    "duration": float,
    "model": str,
    "tracker": str,
    "fps": float,
    "observations": int,
    "estimated_bytes": int,
    "last_outcome_at": datetime,
}
"""What programs get of a run: times in UTC, the duration in seconds, `fps` frames done a second of it, the run's share
of the database by its rows, and when frames of it last got their outcome."""

_LEDGER_COLUMNS = tuple(Column(name.replace("_", "\n"), right=True) for name in _LEDGER)
_WIDE_COLUMNS = (
    Column("run"),
    Column("stream"),
    Column("source"),
    Column("status"),
    *_LEDGER_COLUMNS,
    Column("started (UTC)"),
    Column("duration", right=True),
    Column("fps", right=True),
    Column("size", right=True),
    Column("model"),
    Column("tracker"),
)
_NARROW_COLUMNS = (Column("run"), Column("status"), *_LEDGER_COLUMNS)
_LONGEST_NAME = 28
_QUIET_SECONDS = 60.0
"""A run that is running, and of which no frame got its outcome for so long, is said to stand still."""


@dataclass(frozen=True, slots=True)
class Line:
    """A run, and what the database says of it besides."""

    record: RunRecord
    observations: int
    estimated_bytes: int

    @property
    def duration(self) -> timedelta | None:
        """From start to end; None while it runs."""
        return None if self.record.ended_at is None else self.record.ended_at - self.record.run.started_at

    @property
    def fps(self) -> float | None:
        """Frames done a second, over the whole run; None while it runs."""
        duration = self.duration
        return self.record.ledger.settled / duration.total_seconds() if duration else None


def runs(
    format_: FormatOption = None,
    output: OutputOption = None,
    overwrite: options.Overwrite = False,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """List every run, oldest first, with what became of its frames.

    published = tracked + failed + dropped + in flight, at every moment. The size of a run is estimated: its share of
    the database by its rows.
    """
    target = Output.asked(format_, output, overwrite)

    from yolotrack.formats.rows import batches_of
    from yolotrack.store.sql import open_store

    settings = common.settings_from(config, db, log_level)
    with leaving(), closing(open_store(settings.database, read_only=True)) as store:
        size = store.size()
        lines = lines_of(store, size)
        if target.style == "table":
            print_lines(lines, f"the database takes {size_text(size)}; sizes of runs are estimates")
        else:
            target.write(batches_of(map(_values, lines), RUN_COLUMNS))
    if not lines:
        print("the database holds no runs yet: `yolotrack run` makes one", file=sys.stderr)


def lines_of(store: Store, size: int) -> list[Line]:
    """Every run, oldest first, with its share of `size`."""
    records, counts = list(store.runs()), store.observation_counts()
    rows = {record.run.run_id: _rows(record, counts) for record in records}
    share = size / max(1, sum(rows.values()))
    return [
        Line(record, counts.get(record.run.run_id, 0), round(rows[record.run.run_id] * share)) for record in records
    ]


def print_lines(lines: Sequence[Line], note: str = "") -> None:
    """One line a run where the terminal is wide enough, else two, and the rest left to other formats."""
    from rich.console import Console
    from rich.text import Text

    if not lines:
        return
    console = Console(highlight=False)
    length = _unique_length([line.record.run.run_id for line in lines])
    wide = build_table(_WIDE_COLUMNS, (_wide_cells(line, length) for line in lines))
    notes = [note] if note else []
    if fits(console, wide):
        console.print(wide)
    else:
        console.print(build_table(_NARROW_COLUMNS, (_narrow_cells(line, length) for line in lines), gap=1))
        notes.append("a wider terminal, csv and json show source, start, fps, size and model too")
    for text in notes:
        console.print(Text(text, style="dim"))


def _rows(record: RunRecord, counts: Mapping[str, int]) -> int:
    return counts.get(record.run.run_id, 0) + record.ledger.published


def _values(line: Line) -> tuple[Any, ...]:
    record, duration = line.record, line.duration
    return (
        record.run.run_id,
        record.run.stream,
        record.run.source,
        record.status.value,
        *_ledger_values(record),
        record.run.started_at,
        None if duration is None else round(duration.total_seconds(), 3),
        record.model,
        record.tracker,
        None if line.fps is None else round(line.fps, 2),
        line.observations,
        line.estimated_bytes,
        record.last_outcome_at,
    )


def _ledger_values(record: RunRecord) -> tuple[int, ...]:
    ledger = record.ledger
    return (ledger.published, ledger.tracked, ledger.failed, ledger.dropped, ledger.in_flight, record.tracks)


def _wide_cells(line: Line, length: int) -> tuple[str, ...]:
    record = line.record
    return (
        record.run.run_id[:length],
        record.run.stream,
        _short(record.run.source),
        _status_text(record),
        *map(str, _ledger_values(record)),
        f"{record.run.started_at:%Y-%m-%d %H:%M}",
        _duration_text(line),
        "-" if line.fps is None else f"{line.fps:.1f}",
        size_text(line.estimated_bytes),
        _short(record.model),
        record.tracker,
    )


def _narrow_cells(line: Line, length: int) -> tuple[str, ...]:
    record = line.record
    return (
        f"{record.run.run_id[:length]}\n{record.run.stream}",
        f"{_status_text(record)}\n{_duration_text(line)}",
        *map(str, _ledger_values(record)),
    )


def _unique_length(run_ids: Iterable[str]) -> int:
    """How many characters of every id suffice to name each run."""
    names = list(run_ids)
    longest = max(map(len, names))
    lengths = range(SHORTEST_ID, longest)
    return next((n for n in lengths if len({name[:n] for name in names}) == len(names)), longest)


def _status_text(record: RunRecord) -> str:
    quiet = record.quiet_seconds(utc_now())
    if quiet < _QUIET_SECONDS:
        return record.status.value
    return f"{record.status.value}, still\nfor {clock(quiet, places=1)}"


def _short(name: str) -> str:
    """A file's name without its folders, or a URL; cut where it would take too much of a line."""
    text = name if "://" in name else PurePath(name).name
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def _duration_text(line: Line) -> str:
    return "-" if line.duration is None else clock(line.duration.total_seconds(), places=1)
