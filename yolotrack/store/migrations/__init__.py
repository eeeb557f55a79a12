"""Steps that bring a database to the schema of this version: one transaction each, recorded with it.

A step is a module `NNNN_name.py` with `upgrade(connection)`. A released step never changes: what it needs of the
tables it says itself, since `schema.py` moves on.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, insert, inspect, select

from yolotrack.errors import StoreError
from yolotrack.model import utc_now
from yolotrack.store.schema import schema_migrations


class UnfitSchema(StoreError):
    """This version cannot use the schema; the message says why and what to do, but not of which database."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: it makes schema `version` out of the one before."""

    version: int
    name: str

    def upgrade(self, connection: Connection) -> None:
        """Take the step, in the caller's transaction."""
        importlib.import_module(f"{__name__}.{self.name}").upgrade(connection)


def migrations() -> tuple[Migration, ...]:
    """Every step there is, in order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(Migration(int(name.split("_")[0]), name) for name in names)


def migrate(engine: Engine, lock_schema: Callable[[Connection], None]) -> None:
    """Take the missing steps. Safe when several processes open one database at once.

    `lock_schema` keeps others out until the transaction ends. Raises `UnfitSchema`.
    """
    while _take_next(engine, lock_schema):
        pass


def require_current(connection: Connection) -> None:
    """Raise `UnfitSchema` for a database that this version cannot read as it is."""
    version = require_begun(connection)
    if version < _latest():
        raise UnfitSchema(
            f"an older yolotrack wrote it (schema {version}, this one reads {_latest()}): "
            "the next command that writes to it, as `yolotrack db vacuum` does, brings it up to date"
        )
    _refuse_newer(version)


def require_begun(connection: Connection) -> int:
    """The last step that a database has taken. Raises `UnfitSchema` for one that has taken none."""
    version = schema_version(connection)
    if version == 0:
        raise UnfitSchema("it holds no tracks: yolotrack has not written to it yet; name another with --db")
    return version


def schema_version(connection: Connection) -> int:
    """The last step this database has taken; 0 before the first."""
    if not inspect(connection).has_table(schema_migrations.name):
        return 0
    return connection.scalar(select(func.max(schema_migrations.c.version))) or 0


def _take_next(engine: Engine, lock_schema: Callable[[Connection], None]) -> bool:
    with engine.begin() as connection:
        lock_schema(connection)
        version = schema_version(connection)
        _refuse_newer(version)
        step = next((step for step in migrations() if step.version > version), None)
        if step is None:
            return False
        schema_migrations.create(connection, checkfirst=True)
        step.upgrade(connection)
        connection.execute(insert(schema_migrations).values(version=step.version, name=step.name, applied_at=utc_now()))
        return True


def _latest() -> int:
    return migrations()[-1].version


def _refuse_newer(version: int) -> None:
    if version > _latest():
        raise UnfitSchema(
            f"a newer yolotrack wrote it (schema {version}, this one knows {_latest()}): upgrade yolotrack"
        )
