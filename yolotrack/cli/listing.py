"""Rows on standard output: a table for people, CSV or JSON for programs. All but the runs' table in flat memory."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Format: TypeAlias = Literal["table", "csv", "json"]

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table for people."""

    name: str
    width: int = 0
    """At least; parts of one long table only line up when their values fit in it."""
    right: bool = False


def default_format() -> Format:
    """A table on a terminal, CSV into a pipe or file."""
    return "table" if sys.stdout.isatty() else "csv"


def print_csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """A line of names, then one a row; what is None stays empty. Returns how many rows there were."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        writer.writerow(row)
    return count


def print_json(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """One array of objects, one a line. Returns how many there were."""
    count = 0
    for count, row in enumerate(rows, 1):
        opening = "[\n" if count == 1 else ",\n"
        sys.stdout.write(opening + json.dumps(dict(zip(names, row, strict=True))))
    print("\n]" if count else "[]")
    return count


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], title: str = "") -> int:
    """A table, printed part by part. Returns how many rows it had; prints nothing for none."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    count = 0
    for part in _parts(rows):
        if title and not count:
            console.print(Text(title, style="bold"))
        console.print(build_table(columns, part, header=not count))
        count += len(part)
    return count


def build_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, header: bool = True, gap: int = 2
) -> Table:
    """Columns `gap` spaces apart, without lines; cells are taken as they are, without markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, show_header=header, header_style="dim")
    for column in columns:
        table.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            min_width=max(column.width, len(column.name)) if column.width else None,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def fits(console: Console, table: Table) -> bool:
    """Whether the terminal is wide enough for every column to stand on one line."""
    from rich.measure import Measurement

    unlimited = console.options.update(max_width=10_000)
    return Measurement.get(console, unlimited, table).maximum <= console.width


def _parts(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    rows = iter(rows)
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        yield part
