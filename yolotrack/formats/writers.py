"""Which forms there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO

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
