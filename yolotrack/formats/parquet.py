"""Apache Parquet, with the types of the columns: float32 boxes, moments in UTC."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_A_GROUP = 131_072
"""Readers skip and spread over groups of rows; larger than a batch, or their heads outweigh the rows."""


class _Abandonable(pq.ParquetWriter):  # type: ignore[misc]  # pyarrow has no types
    """Given up, it is silent: the original then writes the end of a file that is closed already, and complains."""

    def __del__(self) -> None:
        """Nothing."""


class ParquetWriter:
    """`Writer` of one Parquet file, compressed with zstd. Holds one group of rows in memory."""

    def __init__(self, file: BinaryIO) -> None:
        """Into an open file."""
        self._file = file
        self._writer: _Abandonable | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Rows are written group by group."""
        if self._writer is None:
            self._writer = _Abandonable(self._file, batch.schema, compression="zstd")
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROWS_A_GROUP:
            self._write_group(self._writer)

    def close(self) -> None:
        """The last group, and the index."""
        if self._writer is not None:
            self._write_group(self._writer)
            self._writer.close()

    def _write_group(self, writer: pq.ParquetWriter) -> None:
        writer.write_table(pa.Table.from_batches(self._waiting))
        self._waiting.clear()
        self._rows = 0
