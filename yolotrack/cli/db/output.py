"""Where rows go: a table for people, any other form into a pipe or, finished or not at all, into a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from yolotrack.cli.common import PLAIN_SECONDS
from yolotrack.cli.listing import Column, print_table
from yolotrack.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from yolotrack.model import RunRecord

    Cells: TypeAlias = Callable[[pa.RecordBatch], Iterator[tuple[str, ...]]]

Format: TypeAlias = Literal["table", "csv", "json", "jsonl", "parquet"]

FORMAT_HELP = "Default: a table on a terminal, CSV into a pipe, what its name says for a file."
FormatOption = Annotated[Format | None, typer.Option("--format", help=FORMAT_HELP)]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a file instead of standard output.")
]

_STREAM = Column("stream", 8)
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Shown:
    """How rows look in a table for people."""

    columns: Sequence[Column]
    cells: Cells
    title: str = ""
    gap: int = 2

    @classmethod
    def of(cls, records: Sequence[RunRecord], columns: Sequence[Column], cells: Cells) -> Shown:
        """Under the name of the run that they are of; where there are several, each with its stream."""
        if len(records) == 1:
            (record,) = records
            return cls(columns, cells, f"{record.run.stream}, run {record.run.run_id}")

        def with_stream(batch: pa.RecordBatch) -> Iterator[tuple[str, ...]]:
            streams = batch["stream"].to_pylist()
            return ((stream, *row) for stream, row in zip(streams, cells(batch), strict=True))

        return cls((_STREAM, *columns), with_stream, f"{len(records)} runs", gap=1)


@dataclass(frozen=True, slots=True)
class Output:
    """What `--format`, `-o` and `--overwrite` ask for."""

    style: str
    path: Path | None = None
    overwrite: bool = False

    @classmethod
    def asked(cls, style: str | None, path: Path | None, overwrite: bool) -> Output:
        """With what was left out told from the rest. `UsageError` for what makes no sense."""
        if overwrite and path is None:
            raise UsageError("--overwrite needs -o FILE")
        if style is None:
            style = named_style(path, _SUFFIXES) if path else "table" if sys.stdout.isatty() else "csv"
        if style == "parquet" and path is None and sys.stdout.isatty():
            raise UsageError("parquet is nothing for a terminal: name a file with -o")
        if style == "table" and path is not None:
            raise UsageError("a table is for a terminal: choose another --format for a file")
        return cls(style, path, overwrite)

    def print(self, batches: Iterable[pa.RecordBatch], shown: Shown) -> int:
        """Every row as a table, or as `write` does; returns how many there were."""
        if self.style != "table":
            return self.write(batches)
        counted = Counted(batches)
        rows = (row for batch in counted for row in shown.cells(batch))
        print_table(shown.columns, rows, shown.title, gap=shown.gap)
        return counted.rows

    def write(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Every row in a form for programs; returns how many there were."""
        from yolotrack.draft import writing_file
        from yolotrack.formats.writers import write_rows

        counted = Counted(batches)
        if self.path is None:
            write_rows(self.style, sys.stdout.buffer, counted)
            sys.stdout.buffer.flush()
            return counted.rows
        with writing_file(self.path, overwrite=self.overwrite) as file, showing_progress(counted):
            write_rows(self.style, file, counted)
        print(self.path)
        return counted.rows


class Counted:
    """Batches, and how many rows went by."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.rows = 0
        self.on_rows: Callable[[int], None] = lambda rows: None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            yield batch
            self.rows += batch.num_rows
            self.on_rows(self.rows)


@contextmanager
def showing_progress(counted: Counted) -> Iterator[None]:
    """How many rows went by, on standard error: a line that changes on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        counted.on_rows = _Lines()
        yield
        return
    with Progress(SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        counted.on_rows = lambda rows: bar.update(task, completed=rows)
        yield


class _Lines:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, rows: int) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_SECONDS:
            self._last = now
            print(f"{rows:,} rows", file=sys.stderr, flush=True)


def named_style(path: Path, suffixes: Mapping[str, str]) -> str:
    """The form that the name of a file says, by how it ends. `UsageError` where it says none."""
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"-o {path}: name the form with --format, or end the name in {', '.join(suffixes)}")
    return suffixes[path.suffix.lower()]
