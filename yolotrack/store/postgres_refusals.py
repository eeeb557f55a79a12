"""What a PostgreSQL server, libpq or PgBouncer refuses with, and what to do about it.

A server tells a SQLSTATE with every error, but libpq passes none on for a connection that could not be made, and
PgBouncer says 08P01 whatever it is: there the words count, which are English unless the server was told otherwise.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from yolotrack.errors import StoreAway, StoreError
from yolotrack.secrets import mask_text
from yolotrack.store.refusals import Refusal, find

_VAGUE = "08P01"

_IDENTITY = (
    Refusal(
        StoreError,
        "the server lets nobody in this way: its pg_hba.conf must allow user, database, address and TLS",
        r"pg_hba\.conf",
        ("28000",),
    ),
    Refusal(
        StoreError,
        "let it with `ALTER ROLE ... LOGIN`, or name another user in the URL",
        r"not permitted to log in",
        ("28000",),
    ),
    Refusal(
        StoreError,
        "the server wants a user of the system by that name: name the server's host and a password in the URL",
        r"(peer|ident) authentication failed",
        ("28000",),
    ),
    Refusal(
        StoreError,
        "name it with sslcert and sslkey in the URL",
        r"valid client certificate|certificate authentication failed",
        ("28000",),
    ),
    Refusal(
        StoreError,
        "create it with `createuser`, or name another user in the URL",
        r'role ".*" does not exist|no such user',
        ("28000",),
    ),
    Refusal(StoreError, "put it into the URL as USER:PASSWORD@, or into ~/.pgpass", r"no password supplied"),
    Refusal(
        StoreError,
        "look at user and password in the URL, or at ~/.pgpass",
        r"authentication failed|auth failed|login rejected",
        ("28",),
    ),
)
_PLACE = (
    Refusal(
        StoreError,
        "create it with `createdb`, or name another with --db",
        r'database ".*" does not exist|no such database',
        ("3D000",),
    ),
    Refusal(StoreError, "the database is gone: create it again, or name another with --db", states=("57P04",)),
    Refusal(
        StoreAway,
        "let it with `ALTER DATABASE ... ALLOW_CONNECTIONS true`, or name another with --db",
        r"not currently accepting connections|is disabled",
        ("55000",),
    ),
    Refusal(
        StoreError,
        "create that schema, or name another with `?options=-csearch_path%3DSCHEMA` in the URL",
        states=("3F000",),
    ),
    Refusal(
        StoreError,
        "let the user of the URL with `GRANT CREATE ON SCHEMA ...`, or give it a database that it owns",
        r"for schema",
        ("42501",),
    ),
    Refusal(StoreError, "grant that to the user of the URL, or name another", r"permission denied for", ("42501",)),
    Refusal(
        StoreError,
        "its tables are gone, or are no longer yolotrack's: restore them, or start again to make them",
        states=("42P01", "42703"),
    ),
    Refusal(
        StoreAway,
        "it is a standby or set to read-only: name the one that takes writes with --db",
        r"read-only transaction",
        ("25006",),
    ),
)
_TLS = (
    Refusal(StoreError, "it speaks no TLS: write sslmode=disable in the URL", r"does not support ssl"),
    Refusal(StoreError, "it wants TLS: write sslmode=require in the URL", r"ssl required|requires ssl"),
    Refusal(
        StoreError,
        "name the authority that signed the server's certificate with sslrootcert in the URL",
        r"root certificate|certificate verify failed",
    ),
    Refusal(
        StoreError, "name the host in the URL as the certificate does", r"server certificate for .* does not match"
    ),
    Refusal(
        StoreError, "no PostgreSQL server listens there: look at host and port in the URL", r"invalid response to ssl"
    ),
    Refusal(StoreError, "look at the parameters of TLS in the URL", r"sslmode|certificate|private key|ssl error"),
)
_URL = (
    Refusal(StoreError, "look at the port in the URL", r"invalid port"),
    Refusal(StoreError, "look at the parameters in the URL", r"invalid (connection option|integer value)|bad value"),
    Refusal(
        StoreError,
        "take it out of the URL, or name it in ignore_startup_parameters of PgBouncer",
        r"unsupported startup parameter",
    ),
    Refusal(
        StoreError,
        "have PgBouncer pool by transaction or session (pool_mode)",
        r"transaction blocks not allowed in statement pooling",
    ),
)
_AWAY = (
    Refusal(
        StoreAway,
        "no server answers there: start it, or name another host or port with --db",
        r"connection refused",
    ),
    Refusal(StoreAway, "no server answers there: start it, or name its host with --db", r"no such file"),
    Refusal(StoreAway, "look at the host in the URL", r"failed to resolve|could not translate host"),
    Refusal(
        StoreAway,
        "nothing answers there: look at host, port and firewall",
        r"timeout expired|timed out|no route to host|network is unreachable",
    ),
    Refusal(
        StoreAway,
        "raise the server's max_connections, or end other clients",
        r"too many (clients|connections)|connection slots|max_client_conn",
        ("53300",),
    ),
    Refusal(
        StoreAway,
        "PgBouncer gets no connection to the server: look whether that runs, and at PgBouncer's log and pool_size",
        r"query_wait_timeout|client_login_timeout|server_login_retry|cannot connect to server|server login",
    ),
    Refusal(StoreAway, "another process keeps it locked: end that one, then try again", states=("55P03",)),
    Refusal(StoreError, "no room is left for it: make room, then try again", states=("53100",)),
    Refusal(StoreAway, "", states=("08", "25P03", "25P04", "40", "53", "57")),
    Refusal(
        StoreAway,
        "",
        r"starting up|shutting down|in recovery|not yet accepting|terminating connection|reset by peer"
        r"|closed the connection|connection is (lost|closed)",
    ),
)
TABLE = _IDENTITY + _PLACE + _TLS + _URL + _AWAY


def translate(name: str, error: Exception) -> StoreError:
    """The error of ours that one of SQLAlchemy or psycopg becomes, on the database that messages call `name`.

    A connection that could not be made for a reason unknown here is `StoreAway`.
    """
    cause = (error.orig if isinstance(error, DBAPIError) else None) or error
    state = getattr(cause, "sqlstate", None)
    reason = _reason(mask_text(str(cause).strip()))
    row = find(TABLE, reason, None if state == _VAGUE else state)
    if row is None:
        away = state == _VAGUE or (state is None and type(cause).__name__ == "OperationalError")
        row = Refusal(StoreAway if away else StoreError, "")
    return row.kind(f"cannot use {name}: " + ": ".join(filter(None, (reason, row.remedy))))


def _reason(text: str) -> str:
    """The line that says it, of several attempts at a connection the first that got to a server, else the last."""
    lines = text.splitlines() or [""]
    attempts = [line for line in lines if " failed: " in line]
    chosen = next((line for line in attempts if "FATAL:" in line), (attempts or lines[:1])[-1])
    told = chosen.rpartition(" failed: ")[2].removeprefix("connection is bad:").strip()
    return told.removeprefix("FATAL:").strip()
