"""Tables for people, on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SHORTEST_ID = 13
"""A run id's first 13 characters are its start to the millisecond."""
_ROWS_AT_ONCE = 500
_UNITS = ((1, "kB"), (2, "MB"), (3, "GB"), (4, "TB"))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table for people."""

    name: str
    width: int = 0
    """At least; parts of one long table only line up when their values fit in it."""
    right: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], title: str = "", *, gap: int = 2) -> int:
    """A table, printed part by part. Returns how many rows it had; prints nothing for none."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    count = 0
    for part in _parts(rows):
        if title and not count:
            console.print(Text(title, style="bold"))
        console.print(build_table(columns, part, header=not count, gap=gap))
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


def clock(seconds: float, places: int = 3) -> str:
    """`0:01:10.250`."""
    minutes, seconds = divmod(round(seconds, places), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:0{places + 3}.{places}f}"


def size_text(size: float) -> str:
    """`417.8 MB`, as disks are sold."""
    if size < 1000:
        return f"{size:.0f} B"
    unit, name = next((1000.0**power, name) for power, name in _UNITS if size < 1000 ** (power + 1) or name == "TB")
    return f"{size / unit:.1f} {name}"


def _parts(rows: Iterable[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    rows = iter(rows)
    while part := list(islice(rows, _ROWS_AT_ONCE)):
        yield part
