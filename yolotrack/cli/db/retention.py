"""`yolotrack db prune` and `yolotrack db vacuum`: what is forgotten, and its room."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common
from yolotrack.cli.db.ranges import parse_age
from yolotrack.cli.db.runs import Line, lines_of, print_lines
from yolotrack.cli.listing import size_text
from yolotrack.errors import UsageError

if TYPE_CHECKING:
    from yolotrack.store.base import Store


def prune(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Runs that ended so long ago: 30d, 12h, 2w.")
    ] = None,
    keep_runs: Annotated[
        int | None, typer.Option("--keep-runs", min=0, metavar="N", help="All but the newest N of each stream.")
    ] = None,
    stream: Annotated[str | None, typer.Option("--stream", metavar="NAME", help="Only runs of this stream.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """Forget runs with all their tracks; prints which. A running run is never forgotten.

    With both --older-than and --keep-runs, what goes is old and not among the newest. `yolotrack db vacuum` gives the
    room back to the disk.
    """
    if older_than is None and keep_runs is None:
        raise UsageError("say what goes: --older-than 30d, --keep-runs 10, or both")
    age = None if older_than is None else parse_age(older_than)
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError("nobody is there to be asked: say --yes, or --dry-run")
    from yolotrack.store.sql import open_existing, open_store

    settings = common.settings_from(config, db, log_level)
    database = settings.database
    with closing(open_store(database, read_only=True) if dry_run else open_existing(database)) as store:
        lines = _chosen(store, age, keep_runs, stream)
        if not lines:
            print("nothing to forget", file=sys.stderr)
            return
        _list(lines)
        if dry_run:
            return
        if not yes:
            typer.confirm(f"forget {_runs(len(lines))}?", abort=True, err=True)
        for line in lines:
            store.prune([line.record.run.run_id])
    print(f"forgot {_runs(len(lines))}; `yolotrack db vacuum` gives their room back to the disk", file=sys.stderr)


def vacuum(
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """Give the room of forgotten runs back to the disk; workers wait meanwhile. Prints the size before and after."""
    from yolotrack.store.sql import open_existing

    settings = common.settings_from(config, db, log_level)
    with closing(open_existing(settings.database)) as store:
        before = store.size()
        store.vacuum()
        print(f"{size_text(before)} before, {size_text(store.size())} now")


def doomed(lines: Sequence[Line], now: datetime, age: timedelta | None, keep: int | None) -> Iterator[Line]:
    """Those of `lines`, oldest first, that ended so long ago and are not among the newest `keep` of their stream."""
    newer = Counter(line.record.run.stream for line in lines)
    for line in lines:
        newer[line.record.run.stream] -= 1
        ended = line.record.ended_at
        if ended is None or (age is not None and now - ended < age):
            continue
        if keep is None or newer[line.record.run.stream] >= keep:
            yield line


def _chosen(store: Store, age: timedelta | None, keep: int | None, stream: str | None) -> list[Line]:
    from yolotrack.model import utc_now

    if stream is not None:
        store.find_run("latest", stream=stream)  # refuses a stream that is not there
    lines = [line for line in lines_of(store, store.size()) if stream in (None, line.record.run.stream)]
    return list(doomed(lines, utc_now(), age, keep))


def _list(lines: Sequence[Line]) -> None:
    if sys.stdout.isatty():
        return print_lines(lines)
    for line in lines:
        print(line.record.run.run_id)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
