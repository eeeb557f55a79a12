"""What is peculiar to SQLite: how a file is opened, and what its errors mean.

Every writing transaction, in WAL mode, holds a lock over processes (see `lock.py`); readers open the file `mode=ro`,
take no checkpoints, and neither block a writer nor wait for one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event
from sqlalchemy.dialects.sqlite import dialect, insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from yolotrack.errors import StoreAway, StoreError, StoreGone
from yolotrack.secrets import mask_text, mask_url
from yolotrack.store.lock import locked
from yolotrack.store.refusals import Refusal, find
from yolotrack.store.standing import Standing

BUSY_SECONDS = 30.0
"""How long a call waits for another process's transaction."""
_CACHE_KIB = 65_536
_READ_ONLY = "it is read-only: make file and folder writable, or name another with --db"
_UNREADABLE = (
    "its folder is read-only, and even to read it SQLite keeps a log there: make the folder writable, or copy the file "
    "and name the copy with --db"
)
_CLOSED = "it cannot be opened: look at the permissions of file and folder, or name another with --db"
_REFUSALS = (
    Refusal(
        StoreAway,  # others may only take their time, as VACUUM does
        "another process keeps it locked: end that one, or give each its own file with --db",
        "is locked",
    ),
    Refusal(StoreError, _READ_ONLY, "readonly|permission denied|read-only"),
    Refusal(StoreError, _CLOSED, "unable to open"),
    Refusal(StoreError, "it is not a SQLite database: name another file with --db", "not a database"),
    Refusal(StoreError, "it is damaged: restore a copy, or name another file with --db", "malformed"),
    Refusal(StoreError, "no room is left for it: make room, then try again", "is full|no space"),
    Refusal(
        StoreError,
        "the disk failed or is full: make room or look into its log, then try again",
        r"disk i/o error",
    ),
)


def sqlite_path(url: str) -> Path:
    """The file that an SQLAlchemy URL names; refuses what is not a SQLite file.

    A `?` in the name is part of it, unless parameters follow, of which there are none.
    """
    address, mark, rest = url.partition("?")
    try:
        parsed = make_url(url if "=" in rest else address)
    except ArgumentError:
        raise StoreError(f"{mask_url(url)!r} is not a database URL: write sqlite:///FILE") from None
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite") or parsed.host or parsed.query:
        raise StoreError(f"the database {mask_url(url)!r} is not supported: write sqlite:///FILE")
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError("a database in memory would be gone at the end: write sqlite:///FILE")
    return Path(parsed.database + mark + rest)


def open_database(url: str, *, read_only: bool) -> SQLiteDatabase:
    """The file that a URL names; made where it is missing, unless `read_only`. Raises `StoreError`."""
    path = sqlite_path(url)
    try:
        _look_at(path, read_only=read_only)
    except OSError as error:
        raise StoreError(f"cannot use {path}: {_CLOSED}") from error
    return SQLiteDatabase(path, reading_engine(path), None if read_only else writing_engine(path))


def _look_at(path: Path, *, read_only: bool) -> None:
    if path.is_dir():
        raise StoreError(f"cannot use {path}: it is a folder: name a file with --db")
    if read_only and not path.exists():
        raise _missing(path)
    if not path.parent.is_dir():
        raise StoreError(f"the folder {path.parent} does not exist: create it, or name another with --db")


def _missing(path: Path) -> StoreError:
    return StoreError(f"no database at {path}: `yolotrack run` makes one, or name another with --db")


class SQLiteDatabase:
    """`Database` in one file: one connection that writes, under locks, and as many that read as are asked for."""

    def __init__(self, path: Path, reader: Engine, writer: Engine | None) -> None:
        """`open_database` makes these."""
        self.path = path
        self.name = str(path)
        self.reader = reader
        self.writer = writer
        self._writing = threading.Lock()
        self._lock_file = lock_file(path)
        self._standing = Standing(path)
        self._connection: sqlite3.Connection | None = None
        """The one that writes, once it is there."""
        if writer is not None:
            event.listen(writer, "connect", self._remember)
            event.listen(reader, "connect", self._check)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Threads of this process wait for each other, then for whoever else has the file open.

        Raises `StoreGone` before or after what is done within, where the file is not the one that was opened.
        """
        with self._writing, locked(self._lock_file, BUSY_SECONDS):
            self._standing.check_content()
            yield
            self._standing.check_content()

    def lock_schema(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE did."""

    def upsert(self, table: Any) -> Any:
        """SQLite's INSERT ... ON CONFLICT."""
        return insert(table)

    def append(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """One statement, executed for each row by the driver."""
        connection.exec_driver_sql(_insert_into(table), list(rows))

    def vacuum(self) -> None:
        """Writes the whole database anew, which takes up to twice its room again for a while.

        While somebody reads, the room is not given back yet: the next checkpoint does.
        """
        assert self.writer is not None  # noqa: S101  # whoever vacuums writes
        with self.writer.connect() as connection:
            connection.exec_driver_sql("COMMIT")  # of the transaction that SQLAlchemy begins, where VACUUM must not be
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA busy_timeout = 0")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(1000 * BUSY_SECONDS)}")

    def size(self) -> int:
        """The file and its log; the latter is not there while nobody has the database open."""
        return _bytes_of(self.path) + _bytes_of(self.path.with_name(f"{self.path.name}-wal"))

    def translate(self, error: Exception) -> StoreError:
        """As the table of refusals says, but `StoreGone`, whatever it was, where the file is another by now.

        In a folder that is read-only not even reading is possible.
        """
        try:
            self._standing.check()
        except StoreGone as gone:
            return gone
        except OSError:
            pass
        if self.writer is None and not os.path.exists(self.path):  # noqa: PTH110  # which raises nothing
            return _missing(self.path)
        text = str(getattr(error, "orig", None) or error)
        row = find(_REFUSALS, text) or Refusal(StoreError, mask_text(text).replace("\n", " "))
        remedy = _UNREADABLE if row.remedy == _READ_ONLY and self.writer is None else row.remedy
        return row.kind(f"cannot use {self.name}: {remedy}")

    def close(self) -> None:
        """Waits for a transaction that is under way."""
        with self._writing:
            self.reader.dispose()
            if self.writer is not None:
                self._leave_moved_file()
                self.writer.dispose()

    def _remember(self, connection: sqlite3.Connection, _record: Any) -> None:
        self._standing.remember()
        self._connection = connection

    def _check(self, _connection: sqlite3.Connection, _record: Any) -> None:
        self._standing.check()

    def _leave_moved_file(self) -> None:
        """A file that was moved gets all that is in its log, and whatever took its place is spared the rest of it:
        SQLite would take the log for its own."""
        try:
            self._standing.check()
        except (StoreGone, OSError):
            with suppress(sqlite3.Error):
                if self._connection is not None:
                    self._connection.execute("PRAGMA busy_timeout = 0")
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def lock_file(path: Path) -> Path:
    """Beside the database itself, under whatever name it was reached."""
    real = path.resolve()
    return real.with_name(f"{real.name}-lock")


def writing_engine(path: Path) -> Engine:
    """An engine of one connection that creates the file where it is missing. To be used `alone`."""
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, pool_size=1, max_overflow=0, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def reading_engine(path: Path) -> Engine:
    """An engine that cannot write; each transaction sees the database as it was at its first query."""
    query = {"mode": "ro", "uri": "true"}
    url = URL.create("sqlite", database=path.absolute().as_uri(), query=query)
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _begin_by_hand)
    event.listen(engine, "begin", _begin_deferred)
    return engine


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@cache
def _insert_into(table: Table) -> str:
    return str(insert(table).compile(dialect=dialect()))


def _prepare_writer(connection: sqlite3.Connection, _record: Any) -> None:
    _begin_by_hand(connection, _record)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _begin_by_hand(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # else sqlite3 begins when it thinks fit, which is after the first SELECT


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
