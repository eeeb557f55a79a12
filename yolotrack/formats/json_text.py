"""JSON: one array of objects, an object a line; or JSON lines, the objects alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from yolotrack.formats.plain import plain_rows


class JsonWriter:
    """`Writer` of one array."""

    def __init__(self, file: BinaryIO) -> None:
        """Into an open file."""
        self._file = file
        self._opening = "[\n"

    def write(self, batch: pa.RecordBatch) -> None:
        """One object a line."""
        for line in _objects(batch):
            self._file.write((self._opening + line).encode())
            self._opening = ",\n"

    def close(self) -> None:
        """The end of the array."""
        self._file.write(b"\n]\n" if self._opening == ",\n" else b"[]\n")


class JsonLinesWriter:
    """`Writer` of JSON lines (jsonlines.org)."""

    def __init__(self, file: BinaryIO) -> None:
        """Into an open file."""
        self._file = file

    def write(self, batch: pa.RecordBatch) -> None:
        """One object a line."""
        self._file.writelines(f"{line}\n".encode() for line in _objects(batch))

    def close(self) -> None:
        """Nothing comes after the last row."""


def _objects(batch: pa.RecordBatch) -> Iterator[str]:
    names = batch.schema.names
    return (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in plain_rows(batch))
