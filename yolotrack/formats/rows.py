"""Rows of Python's own values as columns, and columns in another order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa

_ROWS_A_BATCH = 10_000
_KINDS = {int: pa.int64(), float: pa.float64(), str: pa.string(), datetime: pa.timestamp("us", "UTC")}


def batches_of(rows: Iterable[Sequence[Any]], columns: Mapping[str, type]) -> Iterator[pa.RecordBatch]:
    """Batches of these columns, of int, float, str or datetime; None is allowed. At least one, empty for no rows."""
    schema = pa.schema([(name, _KINDS[kind]) for name, kind in columns.items()])
    rows, found = iter(rows), False
    while part := list(islice(rows, _ROWS_A_BATCH)):
        found = True
        arrays = [pa.array(values, field.type) for values, field in zip(zip(*part, strict=True), schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
    if not found:
        yield pa.RecordBatch.from_pylist([], schema=schema)


def arranged(batches: Iterable[pa.RecordBatch], order: Sequence[str], limit: int | None) -> Iterator[pa.RecordBatch]:
    """Ordered by columns, "-" before one that descends, or as they come; at most `limit` rows. At least one batch.

    An order needs every row in memory, as columns; without one memory is flat.
    """
    if order:
        keys = [(key.removeprefix("-"), "descending" if key.startswith("-") else "ascending") for key in order]
        table = pa.Table.from_batches(batches).sort_by(keys)
        batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
    for batch in batches:
        yield batch if limit is None else batch.slice(0, limit)
        limit = None if limit is None else limit - batch.num_rows
        if limit is not None and limit <= 0:
            break
