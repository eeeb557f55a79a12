"""CSV (RFC 4180, lines end in LF): a line of names, then one a row; what is missing stays empty."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from yolotrack.formats.plain import with_iso_times

_BARE = WriteOptions(include_header=False, quoting_style="none", batch_size=8192)
_QUOTED = WriteOptions(include_header=False, quoting_style="needed", batch_size=8192)


class CsvWriter:
    """`Writer` of CSV. float32 is written as shortly as it can be read back exactly."""

    def __init__(self, file: BinaryIO) -> None:
        """Into an open file."""
        self._file = file
        self._begun = False

    def write(self, batch: pa.RecordBatch) -> None:
        """Names first, then rows."""
        if not self._begun:
            self._begun = True
            self._file.write(",".join(batch.schema.names).encode() + b"\n")
        self._file.write(csv_lines(batch))

    def close(self) -> None:
        """Nothing comes after the last row."""


def csv_lines(batch: pa.RecordBatch) -> memoryview:
    """The rows alone."""
    columns = with_iso_times(batch)
    try:
        return _lines(columns, _BARE)
    except pa.ArrowInvalid:  # a text with a comma, quote or line end: then all texts of the batch are quoted
        return _lines(columns, _QUOTED)


def _lines(batch: pa.RecordBatch, options: WriteOptions) -> memoryview:
    sink = pa.BufferOutputStream()
    write_csv(batch, sink, options)
    return memoryview(sink.getvalue())
