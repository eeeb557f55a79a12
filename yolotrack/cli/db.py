"""`yolotrack db`: questions to the database of tracks. Nothing here writes to it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolotrack.cli import common
from yolotrack.cli.listing import (
    Column,
    Format,
    build_table,
    default_format,
    fits,
    print_csv,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from yolotrack.model import Observation, RunRecord

app = typer.Typer(help="Ask the database of tracks.", no_args_is_help=True, rich_markup_mode=None)

FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Default: a table on a terminal, CSV into a pipe or file."),
]

OBSERVATION_NAMES = (
    "x_min",
    "y_min",
    "x_max",
    "y_max",
    "class_id",
    "confidence",
    "tracker_id",
    "class_name",
    "frame",
    "media_time",
    "captured_at",
    "stream",
    "run_id",
)
"""What programs get of an observation; the first seven are those of supervision's CSVSink."""
RUN_NAMES = (
    "run_id",
    "stream",
    "source",
    "status",
    "published",
    "tracked",
    "failed",
    "dropped",
    "in_flight",
    "tracks",
    "started_at",
    "duration",
    "model",
    "tracker",
)
"""What programs get of a run; times in UTC, the duration in seconds."""

_OBSERVATION_COLUMNS = (
    Column("frame", 6, right=True),
    Column("time", 11, right=True),
    Column("track", 5, right=True),
    Column("conf", 4, right=True),
    Column("x_min", 6, right=True),
    Column("y_min", 6, right=True),
    Column("x_max", 6, right=True),
    Column("y_max", 6, right=True),
    Column("class"),
)
_LEDGER_COLUMNS = tuple(
    Column(name, right=True) for name in ("published", "tracked", "failed", "dropped", "in\nflight", "tracks")
)
_WIDE_COLUMNS = (
    Column("run"),
    Column("stream"),
    Column("source"),
    Column("status"),
    *_LEDGER_COLUMNS,
    Column("started (UTC)"),
    Column("duration", right=True),
    Column("model"),
    Column("tracker"),
)
_NARROW_COLUMNS = (Column("run"), Column("status"), *_LEDGER_COLUMNS)
_SHORTEST_ID = 13
"""A run id's first 13 characters are its start to the millisecond."""
_LONGEST_NAME = 28


@app.command(short_help="Print observations: one track in one frame a row.")
def query(
    track_id: Annotated[
        list[int] | None, typer.Option("--track-id", metavar="N", help="Only this track; may be repeated.")
    ] = None,
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Id, beginning of an id, or latest.")] = "latest",
    format_: FormatOption = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """Print the observations of a run: one track in one frame a row, by frame, then track."""
    from yolotrack.store.sql import open_store

    settings = common.settings_from(config, db, log_level)
    wanted = tuple(track_id or ())
    with closing(open_store(settings.database, read_only=True)) as store:
        record = store.find_run(run)
        rows = store.observations(record.run.run_id, track_ids=wanted)
        if not _print_observations(record, rows, format_ or default_format()):
            print(_nothing_found(record, wanted), file=sys.stderr)


@app.command(short_help="List runs with what became of their frames.")
def runs(
    format_: FormatOption = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """List every run, oldest first, with what became of its frames.

    published = tracked + failed + dropped + in flight, at every moment.
    """
    from yolotrack.store.sql import open_store

    settings = common.settings_from(config, db, log_level)
    with closing(open_store(settings.database, read_only=True)) as store:
        records = list(store.runs())
    if not _print_runs(records, format_ or default_format()):
        print("the database holds no runs yet: `yolotrack run` makes one", file=sys.stderr)


def _print_observations(record: RunRecord, rows: Iterable[Observation], style: Format) -> int:
    if style == "table":
        title = f"{record.run.stream}, run {record.run.run_id}"
        return print_table(_OBSERVATION_COLUMNS, map(_observation_cells, rows), title)
    write = print_csv if style == "csv" else print_json
    return write(OBSERVATION_NAMES, map(_observation_values, rows))


def _observation_values(row: Observation) -> tuple[Any, ...]:
    x_min, y_min, x_max, y_max = row.xyxy
    return (
        round(x_min, 4),
        round(y_min, 4),
        round(x_max, 4),
        round(y_max, 4),
        row.class_id,
        round(row.confidence, 6),
        row.track_id,
        row.class_name,
        row.frame,
        round(row.media_time, 6),
        row.captured_at.isoformat(timespec="microseconds"),
        row.stream,
        row.run_id,
    )


def _observation_cells(row: Observation) -> tuple[str, ...]:
    box = (f"{side:.1f}" for side in row.xyxy)
    return str(row.frame), _clock(row.media_time), str(row.track_id), f"{row.confidence:.2f}", *box, row.class_name


def _nothing_found(record: RunRecord, track_ids: Sequence[int]) -> str:
    run = f"run {record.run.run_id} ({record.run.stream}, {record.tracks} tracks)"
    if not track_ids:
        return f"no observations in {run}"
    plural = "tracks" if len(track_ids) > 1 else "track"
    return f"no observations of {plural} {', '.join(map(str, track_ids))} in {run}"


def _print_runs(records: Sequence[RunRecord], style: Format) -> int:
    if style == "table":
        return _print_runs_table(records)
    write = print_csv if style == "csv" else print_json
    return write(RUN_NAMES, map(_run_values, records))


def _run_values(record: RunRecord) -> tuple[Any, ...]:
    duration = _duration(record)
    return (
        record.run.run_id,
        record.run.stream,
        record.run.source,
        record.status.value,
        *_ledger_values(record),
        record.run.started_at.isoformat(timespec="microseconds"),
        None if duration is None else round(duration.total_seconds(), 3),
        record.model,
        record.tracker,
    )


def _ledger_values(record: RunRecord) -> tuple[int, ...]:
    ledger = record.ledger
    return (ledger.published, ledger.tracked, ledger.failed, ledger.dropped, ledger.in_flight, record.tracks)


def _print_runs_table(records: Sequence[RunRecord]) -> int:
    """One line a run where the terminal is wide enough, else two, and the rest left to other formats."""
    from rich.console import Console

    if not records:
        return 0
    console = Console(highlight=False)
    length = _unique_length([record.run.run_id for record in records])
    wide = build_table(_WIDE_COLUMNS, (_wide_cells(record, length) for record in records))
    if fits(console, wide):
        console.print(wide)
    else:
        console.print(build_table(_NARROW_COLUMNS, (_narrow_cells(record, length) for record in records), gap=1))
        console.print("a wider terminal, csv and json also show source, start, model and tracker", style="dim")
    return len(records)


def _wide_cells(record: RunRecord, length: int) -> tuple[str, ...]:
    return (
        record.run.run_id[:length],
        record.run.stream,
        _short(record.run.source),
        record.status.value,
        *map(str, _ledger_values(record)),
        f"{record.run.started_at:%Y-%m-%d %H:%M}",
        _duration_text(record),
        _short(record.model),
        record.tracker,
    )


def _narrow_cells(record: RunRecord, length: int) -> tuple[str, ...]:
    return (
        f"{record.run.run_id[:length]}\n{record.run.stream}",
        f"{record.status.value}\n{_duration_text(record)}",
        *map(str, _ledger_values(record)),
    )


def _unique_length(run_ids: Sequence[str]) -> int:
    """How many characters of every id suffice to name each run."""
    longest = max(map(len, run_ids))
    lengths = range(_SHORTEST_ID, longest)
    return next((n for n in lengths if len({name[:n] for name in run_ids}) == len(run_ids)), longest)


def _short(name: str) -> str:
    """A file's name without its folders, or a URL; cut where it would take too much of a line."""
    text = name if "://" in name else PurePath(name).name
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def _duration(record: RunRecord) -> timedelta | None:
    return None if record.ended_at is None else record.ended_at - record.run.started_at


def _duration_text(record: RunRecord) -> str:
    duration = _duration(record)
    return "-" if duration is None else _clock(duration.total_seconds(), places=1)


def _clock(seconds: float, places: int = 3) -> str:
    """`0:01:10.250`."""
    minutes, seconds = divmod(round(seconds, places), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:0{places + 3}.{places}f}"
