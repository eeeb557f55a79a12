"""Columns as text has them: moments in ISO 8601, floats as short as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def with_iso_times(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its moments, UTC, as `2026-01-01T12:00:00.000001+00:00`."""
    columns = [_iso(column) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def plain_rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Rows of Python's own values, as JSON knows them."""
    columns = with_iso_times(batch).columns
    return zip(*(_shortest(column).to_pylist() for column in columns), strict=True)


def _iso(moments: pa.Array) -> pa.Array:
    """Each different moment is put into words once: all tracks of a frame share theirs."""
    encoded = moments.cast(pa.timestamp("us")).dictionary_encode()
    texts = pc.binary_replace_slice(encoded.dictionary.cast(pa.string()), start=10, stop=11, replacement="T")
    return pc.binary_join_element_wise(texts, "+00:00", "").take(encoded.indices)


def _shortest(column: pa.Array) -> pa.Array:
    """float32 as the double that is written as shortly: 0.3, and not 0.30000001192092896."""
    if not pa.types.is_float32(column.type):
        return column
    return column.cast(pa.string()).cast(pa.float64())
