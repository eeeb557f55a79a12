"""How a running pipeline and its end are shown: bars and tables on a terminal, plain lines or JSON elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from yolotrack.cli.common import PLAIN_SECONDS

if TYPE_CHECKING:
    from rich.progress import Task

    from yolotrack.pipeline import Progress as RunProgress
    from yolotrack.pipeline import RunSummary

STOPPING = "stopping: what is under way is finished first; Ctrl-C again leaves at once"


class _Fps(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} fps" if speed else "-- fps", style="progress.data.speed")


class ProgressReporter:
    """Takes `RunProgress` values of one thread and shows them on standard error. A context manager."""

    def __init__(self, *, quiet: bool) -> None:
        self._stopping = False
        self._console = Console(stderr=True)
        self._quiet = quiet
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Fps(),
            TextColumn("{task.fields[objects]} objects"),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started = time.monotonic()
        self._last_line = self._started

    def __enter__(self) -> ProgressReporter:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, progress: RunProgress) -> None:
        """Show how far a run is."""
        stream = progress.run.stream
        if stream not in self._tasks:
            self._tasks[stream] = self._bars.add_task(stream, total=progress.expected, objects=0)
        self._bars.update(self._tasks[stream], completed=progress.frames, objects=progress.objects)
        self._plain(progress)
        if self._stopping and not self._quiet:
            self._stopping = False
            self._console.print(STOPPING, soft_wrap=True)

    def announce_stop(self) -> None:
        """The user asked to stop: with the next progress, say what is being waited for. Safe in a signal handler."""
        self._stopping = True

    def _plain(self, progress: RunProgress) -> None:
        now = time.monotonic()
        if self._quiet or self._console.is_terminal or now - self._last_line < PLAIN_SECONDS:
            return
        self._last_line = now
        total = f"/{progress.expected}" if progress.expected else ""
        fps = progress.frames / (now - self._started)
        print(  # a plain line: rich would wrap it
            f"{progress.run.stream}: {progress.frames}{total} frames, {fps:.1f} fps, {progress.objects} objects",
            file=self._console.file,
            flush=True,
        )


def print_summaries(summaries: Sequence[RunSummary], database: str, *, as_json: bool) -> None:
    """What came of every run, on standard output. `database` is already masked."""
    if as_json:
        print(json.dumps([as_dict(summary, database) for summary in summaries], indent=2))
        return
    console = Console()
    if not console.is_terminal:
        for summary in summaries:
            print("\n".join(f"{name}: {value}" for name, value in _rows(summary, database)), end="\n\n")
        return
    for summary in summaries:
        table = Table(show_header=False, box=None, title=summary.run.stream, title_justify="left", title_style="bold")
        for name, value in _rows(summary, database):
            table.add_row(name, Text(value, overflow="fold"))
        console.print(table)


def _rows(summary: RunSummary, database: str) -> list[tuple[str, str]]:
    ledger = summary.ledger
    lost = f", {ledger.failed} failed, {ledger.dropped} dropped" if ledger.failed or ledger.dropped else ""
    skipped = f", {summary.skipped} unreadable in the source" if summary.skipped else ""
    by_class = ", ".join(f"{count} {name}" for name, count in sorted(summary.tracks_by_class.items()))
    rows = [
        ("run", f"{summary.run.run_id} ({summary.status.value})"),
        ("frames", f"{ledger.published} published, {ledger.tracked} tracked{lost}{skipped}"),
        ("speed", f"{summary.fps:.1f} fps, {summary.seconds:.1f} s"),
        ("tracks", f"{sum(summary.tracks_by_class.values())}" + (f": {by_class}" if by_class else "")),
        ("database", database),
    ]
    return [*rows, ("video", str(summary.output))] if summary.output else rows


def as_dict(summary: RunSummary, database: str) -> dict[str, Any]:
    """A summary as JSON has it."""
    return {
        "run_id": summary.run.run_id,
        "stream": summary.run.stream,
        "source": summary.run.source,
        "status": summary.status.value,
        "published": summary.ledger.published,
        "tracked": summary.ledger.tracked,
        "failed": summary.ledger.failed,
        "dropped": summary.ledger.dropped,
        "skipped": summary.skipped,
        "seconds": round(summary.seconds, 3),
        "fps": round(summary.fps, 2),
        "tracks": summary.tracks_by_class,
        "database": database,
        "video": str(summary.output) if summary.output else None,
    }
