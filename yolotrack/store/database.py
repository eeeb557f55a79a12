"""What the store needs of a kind of database; `sqlite` and `postgres` are the kinds there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import SQLAlchemyError

from yolotrack.errors import StoreError
from yolotrack.store.migrations import UnfitSchema


class Database(Protocol):
    """One database: where it is, how to get at it, and what its errors mean."""

    @property
    def name(self) -> str:
        """How messages call it; without a password."""

    @property
    def reader(self) -> Engine:
        """Its transactions cannot write, and see one moment, that of their first query."""

    @property
    def writer(self) -> Engine | None:
        """None when it was opened for reading only."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep out every other writer that the database cannot bear beside this one. Raises `OSError`."""

    def lock_schema(self, connection: Connection) -> None:
        """Keep out everybody who would change the schema, until the transaction that just began ends."""

    def upsert(self, table: Any) -> Any:
        """An INSERT of the dialect, with its `on_conflict_do_nothing` and `on_conflict_do_update`."""

    def append(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, at least one, each the values of all the table's columns in order, as plain numbers, text and
        bytes: past Core, which takes longer over a row than the database does."""

    def vacuum(self) -> None:
        """Give the room of deleted rows back to the disk. `alone`, outside of a transaction."""

    def size(self) -> int:
        """Bytes on the disk, with those of a log that is not in the database yet."""

    def translate(self, error: Exception) -> StoreError:
        """The error of ours that one of SQLAlchemy, the driver or the system becomes.

        One line says what went wrong with which database, and what to do. It is `StoreAway` where the same may work
        when it is tried again in a while, in a new transaction.
        """

    def close(self) -> None:
        """Give every connection back; idempotent."""


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Errors of the database become those of ours that `Database.translate` says."""
    try:
        yield
    except (SQLAlchemyError, UnfitSchema, OSError) as error:
        raise database.translate(error) from error
