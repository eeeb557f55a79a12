"""Which kind of database a URL names."""

from __future__ import annotations

from yolotrack.errors import StoreError
from yolotrack.secrets import mask_url
from yolotrack.store.database import Database

SQLITE = ("sqlite", "sqlite+pysqlite")
POSTGRES = ("postgresql", "postgresql+psycopg", "postgres")


def open_database(url: str, *, read_only: bool) -> Database:
    """The database that an SQLAlchemy URL names, or one of PostgreSQL's own. Raises `StoreError`."""
    scheme = url.partition(":")[0].lower()
    if scheme in SQLITE:
        from yolotrack.store import sqlite

        return sqlite.open_database(url, read_only=read_only)
    if scheme in POSTGRES:
        try:
            from yolotrack.store import postgres
        except ImportError:
            raise StoreError("PostgreSQL needs its driver: pip install 'yolotrack[postgres]'") from None
        return postgres.open_database(url, read_only=read_only)
    kinds = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
    raise StoreError(f"the database {mask_url(url)!r} is not supported: write {kinds}")
