"""Which forms there are, and rows in one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

import pyarrow as pa

from yolotrack.formats.base import Writer
from yolotrack.formats.csv_text import CsvWriter
from yolotrack.formats.json_text import JsonLinesWriter, JsonWriter
from yolotrack.formats.mot import MotWriter
from yolotrack.formats.parquet import ParquetWriter

WRITERS: Mapping[str, Callable[[BinaryIO], Writer]] = {
    "csv": CsvWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "mot": MotWriter,
    "parquet": ParquetWriter,
}
"""By the name that the command line gives them."""


def write_rows(style: str, file: BinaryIO, batches: Iterable[pa.RecordBatch]) -> None:
    """Every row into an open file, which stays open. `style` is a name of `WRITERS`; there must be a batch, which may
    be empty. Errors are those of the file, untranslated.
    """
    writer = WRITERS[style](file)
    for batch in batches:
        writer.write(batch)
    writer.close()
