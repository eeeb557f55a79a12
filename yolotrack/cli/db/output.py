"""Where rows go: a table for people, any other form into a pipe or, finished or not at all, into a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, TypeAlias

import typer

from yolotrack.cli.listing import Column, print_table
from yolotrack.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Format: TypeAlias = Literal["table", "csv", "json", "jsonl", "parquet"]

FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Default: a table on a terminal, CSV into a pipe, what its name says for a file."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a file instead of standard output.")
]

PLAIN_SECONDS = 5.0
"""Between two lines of progress where there is no terminal."""
_SUFFIXES = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Shown:
    """How rows look in a table for people."""

    columns: Sequence[Column]
    cells: Callable[[pa.RecordBatch], Iterable[Sequence[str]]]
    title: str = ""
    gap: int = 2


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
            style = _default(path)
        if style == "parquet" and path is None and sys.stdout.isatty():
            raise UsageError("parquet is nothing for a terminal: name a file with -o")
        if style == "table" and path is not None:
            raise UsageError("a table is for a terminal: choose another --format for a file")
        return cls(style, path, overwrite)

    def print(self, batches: Iterable[pa.RecordBatch], shown: Shown) -> int:
        """Write every row; returns how many there were."""
        counted = Counted(batches)
        if self.style == "table":
            rows = (row for batch in counted for row in shown.cells(batch))
            print_table(shown.columns, rows, shown.title, gap=shown.gap)
            return counted.rows
        if self.path is None:
            self._write(sys.stdout.buffer, counted)
            return counted.rows
        from yolotrack.draft import writing_file

        with writing_file(self.path, overwrite=self.overwrite) as file, showing_progress(counted):
            self._write(file, counted)
        print(self.path)
        return counted.rows

    def _write(self, file: BinaryIO, batches: Iterable[pa.RecordBatch]) -> None:
        from yolotrack.formats.writers import WRITERS

        writer = WRITERS[self.style](file)
        for batch in batches:
            writer.write(batch)
        writer.close()
        file.flush()


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


def _default(path: Path | None) -> str:
    if path is None:
        return "table" if sys.stdout.isatty() else "csv"
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"-o {path}: name the form with --format, or end the name in {', '.join(_SUFFIXES)}")
    return _SUFFIXES[path.suffix.lower()]
