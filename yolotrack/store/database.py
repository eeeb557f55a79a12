"""What the store needs of a kind of database; `sqlite` and `postgres` are the kinds there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from sqlalchemy import Engine
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

    def upsert(self, table: Any) -> Any:
        """An INSERT of the dialect, with its `on_conflict_do_nothing` and `on_conflict_do_update`."""

    def explain(self, error: Exception) -> str:
        """What went wrong and what to do, in one line, from an error of SQLAlchemy, the driver or the system."""

    def close(self) -> None:
        """Give every connection back; idempotent."""


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Errors of the database become a `StoreError` of one line."""
    try:
        yield
    except (SQLAlchemyError, UnfitSchema, OSError) as error:
        raise StoreError(f"cannot use {database.name}: {database.explain(error)}") from error
