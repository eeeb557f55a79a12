"""The contract of a form: rows in columns go into an open file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class Writer(Protocol):
    """Writes rows in one form into a binary file that it was given, which stays open. For one thread.

    Errors of the file are those of its `write`, untranslated.
    """

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows. All batches have the columns of the first, which may be empty and must come."""

    def close(self) -> None:
        """Write what comes after the last row. Who gives up does not call it."""
