"""What is peculiar to PostgreSQL: how a database is reached, what guards a session, and what its errors mean.

Writers need no lock of ours: rows of different runs do not meet, and owners of one run meet at the row of its
checkpoint, which the first statement of every commit locks. What was claimed meanwhile is seen there, since each
statement of a READ COMMITTED transaction looks at rows as they are once it has them.

Nothing is left in a session from one transaction to the next, neither settings nor locks: behind PgBouncer in
transaction mode each of them may meet another session, and strangers use it in between. Statements are prepared only
where nobody stands between, which makes a commit a quarter faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.sql import func

from yolotrack.errors import StoreError
from yolotrack.secrets import mask_url
from yolotrack.store.migrations import UnfitSchema
from yolotrack.store.postgres_refusals import translate
from yolotrack.store.schema import metadata

Session: TypeAlias = psycopg.Connection[Any]

_EXAMPLE = "write postgresql://USER:PASSWORD@HOST/DATABASE"
_SCHEMA_LOCK = 0x796F6C6F
"""Of the advisory lock that migrations take; of this database, as those locks are."""

_REACHING = {
    "connect_timeout": 10,
    # a server that vanished without a word is noticed within half a minute
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
    "client_encoding": "utf8",
    "application_name": "yolotrack",
}
"""Connection parameters, unless the URL has others."""
_PATIENT = {
    "lock_timeout": "30s",
    # as long until the server gives up a client that vanished, whose locks others wait for
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_WRITING = _PATIENT | {"statement_timeout": "5min", "idle_in_transaction_session_timeout": "20s"}
"""Between statements a writer does arithmetic only: one that is idle for longer is frozen, and its run has a new owner
who waits for its locks."""
_PREPARED_AFTER = 5
"""Executions of a statement; psycopg's default."""
_DURABLE = [
    "set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), true)"
]
_MIGRATING = {"lock_timeout": "10min", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}


def open_database(url: str, *, read_only: bool) -> PostgresDatabase:
    """The database that a URL names, which must exist; nothing is asked of the server yet. Raises `StoreError`."""
    parsed = _parsed(url)
    reader = create_engine(parsed, poolclass=NullPool, **_options(parsed))
    event.listen(reader, "connect", _prepare_reader)
    event.listen(reader, "begin", _limiting(_PATIENT))
    if read_only:
        return PostgresDatabase(mask_url(url), reader, None)
    writer = create_engine(parsed, pool_pre_ping=True, max_overflow=-1, **_options(parsed))
    event.listen(writer, "connect", _prepare_writer)
    event.listen(writer, "begin", _limiting(_WRITING, durable=True))
    return PostgresDatabase(mask_url(url), reader, writer)


class PostgresDatabase:
    """`Database` on a server: as many connections read and write as there are threads that do."""

    def __init__(self, name: str, reader: Engine, writer: Engine | None) -> None:
        """`open_database` makes these."""
        self.name = name
        self.reader = reader
        self.writer = writer

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody is kept out."""
        yield

    def lock_schema(self, connection: Connection) -> None:
        """Others wait here until the transaction ends; this one may take its time."""
        connection.execute(select(*(func.set_config(name, value, True) for name, value in _MIGRATING.items())))
        connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))

    def upsert(self, table: Any) -> Any:
        """PostgreSQL's INSERT ... ON CONFLICT."""
        return insert(table)

    def append(self, connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """One statement and one array a column, whatever the number of rows: about twice as fast as a statement a
        row, and as fast as COPY, which would go past SQLAlchemy's handling of errors."""
        arrays = ", ".join(f"%s::{column.type.compile(connection.dialect)}[]" for column in table.columns)
        names = ", ".join(column.name for column in table.columns)
        statement = f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608  # names of ours
        connection.exec_driver_sql(statement, tuple(map(list, zip(*rows, strict=True))))

    def vacuum(self) -> None:
        """Writes every table anew, one after the other; each is locked meanwhile, for readers too.

        VACUUM waits for its lock without a limit, as it takes no transaction and so no setting of ours. So the lock
        is taken for a moment before, within the limit.
        """
        assert self.writer is not None  # noqa: S101  # whoever vacuums writes
        with self.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in metadata.sorted_tables:
                with self.writer.begin() as waiting:
                    waiting.exec_driver_sql(f"LOCK TABLE {table.name}")
                connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table.name}")

    def size(self) -> int:
        """Of our tables and their indexes."""
        relation = func.to_regclass(func.unnest([table.name for table in metadata.sorted_tables]).column_valued())
        with self.reader.connect() as connection:
            return int(connection.scalar(select(func.sum(func.pg_total_relation_size(relation)))) or 0)

    def translate(self, error: Exception) -> StoreError:
        """As the table of refusals says."""
        return translate(self.name, error)

    def close(self) -> None:
        """Connections in use end when they are given back."""
        self.reader.dispose()
        if self.writer is not None:
            self.writer.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise StoreError(f"{mask_url(url)!r} is not a database URL: {_EXAMPLE}") from None
    return parsed.set(drivername="postgresql+psycopg")


def _options(parsed: URL) -> dict[str, Any]:
    asked = {name: value for name, value in _REACHING.items() if name not in parsed.query}
    ours = {"cursor_factory": _ExactCursor, "prepare_threshold": None}
    return {"connect_args": asked | ours, "use_native_hstore": False}


def _prepare_reader(session: Session, _record: Any) -> None:
    _prepare(session, _record)
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    session.read_only = True


def _prepare_writer(session: Session, _record: Any) -> None:
    _prepare(session, _record)
    if _is_direct(session):
        session.prepare_threshold = _PREPARED_AFTER


def _is_direct(session: Session) -> bool:
    """Whether the session is ours alone: a pooler tells its clients another process than the one that serves them."""
    session.autocommit = True
    [process] = session.execute("SELECT pg_backend_pid()").fetchone() or [0]
    session.autocommit = False
    return bool(process == session.info.backend_pid)


def _prepare(session: Session, _record: Any) -> None:
    encoding = session.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UnfitSchema(f"its encoding is {encoding}: create it with ENCODING 'UTF8', or name another with --db")
    session.server_cursor_factory = _ExactServerCursor
    for dumper in (_Text, _BinaryText):
        session.adapters.register_dumper(str, dumper)


def _limiting(limits: dict[str, str], *, durable: bool = False) -> Callable[[Connection], None]:
    """What sets limits for the transaction that begins, and for it alone.

    A `durable` one is on the disk once it is committed, even where the database says otherwise: else a crash of the
    server would take back what was committed, and acknowledged.
    """
    calls = [f"set_config('{name}', '{value}', true)" for name, value in limits.items()]
    statement = f"SELECT {', '.join(calls + _DURABLE * durable)}"

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(statement, execution_options={"stream_results": False, "yield_per": None})

    return limit


class _ExactCursor(psycopg.Cursor[Any]):
    """Takes values as the server has them: the text of a float32 reads as another double."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.format = Format.BINARY


class _ExactServerCursor(psycopg.ServerCursor[Any]):
    """The same, of a result that stays on the server."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.format = Format.BINARY


class _Text(Dumper):
    """What PostgreSQL cannot keep in a text becomes a sign that says so: no name or reason may keep a frame out."""

    oid = psycopg.postgres.types["text"].oid

    def dump(self, obj: str) -> bytes:
        """In UTF-8."""
        return obj.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")


class _BinaryText(_Text):
    format = Format.BINARY
