"""What becomes of each thing that PostgreSQL, libpq and PgBouncer are known to refuse with."""

from __future__ import annotations

import psycopg
import pytest

from yolotrack.errors import StoreAway, StoreError
from yolotrack.store.postgres_refusals import TABLE, translate

PASSES, STAYS = StoreAway, StoreError
SERVER = 'connection to server at "10.0.0.5", port 5432 failed: '
HBA = 'for host "10.0.0.9", user "me", database "tracks", '

CONNECTING = [
    ("Connection refused\n\tIs the server running on that host?", PASSES, "start it"),
    ("FATAL:  the database system is starting up", PASSES, ""),
    ("FATAL:  the database system is shutting down", PASSES, ""),
    ("FATAL:  the database system is in recovery mode", PASSES, ""),
    ("FATAL:  the database system is not yet accepting connections\nDETAIL:  x", PASSES, ""),
    ("FATAL:  sorry, too many clients already", PASSES, "max_connections"),
    ('FATAL:  too many connections for role "me"', PASSES, "max_connections"),
    ('FATAL:  too many connections for database "tracks"', PASSES, "max_connections"),
    ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER", PASSES, "max_connections"),
    ("server closed the connection unexpectedly\n\tThis probably means", PASSES, ""),
    ("could not receive data from server: Connection reset by peer", PASSES, ""),
    ("Connection timed out", PASSES, "firewall"),
    ("timeout expired", PASSES, "firewall"),
    ("No route to host", PASSES, "firewall"),
    ("FATAL:  etwas ganz anderes", PASSES, ""),
    ('FATAL:  database "tracks" is not currently accepting connections', PASSES, "ALLOW_CONNECTIONS"),
    ('FATAL:  password authentication failed for user "me"', STAYS, "user and password"),
    ("FATAL:  SASL authentication failed", STAYS, "user and password"),
    ("fe_sendauth: no password supplied", STAYS, "USER:PASSWORD@"),
    (f"FATAL:  no pg_hba.conf entry {HBA}no encryption", STAYS, "its pg_hba.conf must"),
    (f"FATAL:  no pg_hba.conf entry {HBA}SSL encryption", STAYS, "its pg_hba.conf must"),
    (f"FATAL:  pg_hba.conf rejects connection {HBA}no encryption", STAYS, "its pg_hba.conf must"),
    ('FATAL:  role "me" does not exist', STAYS, "createuser"),
    ('FATAL:  role "me" is not permitted to log in', STAYS, "LOGIN"),
    ('FATAL:  Peer authentication failed for user "me"', STAYS, "user of the system"),
    ('FATAL:  Ident authentication failed for user "me"', STAYS, "user of the system"),
    ("FATAL:  connection requires a valid client certificate", STAYS, "sslcert"),
    ('FATAL:  certificate authentication failed for user "me"', STAYS, "sslcert"),
    ('FATAL:  database "tracks" does not exist', STAYS, "createdb"),
    ('FATAL:  permission denied for database "tracks"\nDETAIL:  no CONNECT', STAYS, "grant that"),
    ("server does not support SSL, but SSL was required", STAYS, "sslmode=disable"),
    ("received invalid response to SSL negotiation: H", STAYS, "no PostgreSQL server listens there"),
    ('root certificate file "/r.crt" does not exist\nEither provide', STAYS, "sslrootcert"),
    ("SSL error: certificate verify failed", STAYS, "sslrootcert"),
    ('server certificate for "db" does not match host name "10.0.0.5"', STAYS, "as the certificate does"),
    ("SSL error: tlsv1 alert protocol version", STAYS, "parameters of TLS"),
    ("FATAL:  no such database: tracks", STAYS, "createdb"),
    ("FATAL:  no such user: me", STAYS, "createuser"),
    ("FATAL:  SSL required", STAYS, "sslmode=require"),
    ("FATAL:  unsupported startup parameter: options", STAYS, "ignore_startup_parameters"),
    ("FATAL:  server login has been failing, try again later (server_login_retry)", PASSES, "PgBouncer"),
    ("FATAL:  pgbouncer cannot connect to server", PASSES, "PgBouncer"),
    ("FATAL:  no more connections allowed (max_client_conn)", PASSES, "max_connections"),
    ("FATAL:  client_login_timeout (server down)", PASSES, "PgBouncer"),
]
AT_WORK = [
    ("08006", "connection failure", PASSES, ""),
    ("08P01", "query_wait_timeout", PASSES, "PgBouncer"),
    ("08P01", "server conn crashed?", PASSES, ""),
    ("08P01", "transaction blocks not allowed in statement pooling mode", STAYS, "pool_mode"),
    ("40001", "could not serialize access", PASSES, ""),
    ("40P01", "deadlock detected", PASSES, ""),
    ("55P03", "canceling statement due to lock timeout", PASSES, "end that one"),
    ("57014", "canceling statement due to statement timeout", PASSES, ""),
    ("57P01", "terminating connection due to administrator command", PASSES, ""),
    ("57P02", "terminating connection because of crash of another server process", PASSES, ""),
    ("57P03", "the database system is starting up", PASSES, ""),
    ("57P04", "terminating connection", STAYS, "create it again"),
    ("57P05", "terminating connection due to idle-session timeout", PASSES, ""),
    ("25P03", "terminating connection due to idle-in-transaction timeout", PASSES, ""),
    ("53200", "out of memory", PASSES, ""),
    ("53300", "sorry, too many clients already", PASSES, "max_connections"),
    ("53100", "could not extend file: No space left on device", STAYS, "make room"),
    ("25006", "cannot execute INSERT in a read-only transaction", PASSES, "standby"),
    ("42501", "permission denied for schema public", STAYS, "GRANT CREATE ON SCHEMA"),
    ("42501", "permission denied for table runs", STAYS, "grant that"),
    ("3F000", "no schema has been selected to create in", STAYS, "create that schema"),
    ("42P01", 'relation "runs" does not exist', STAYS, "its tables are gone"),
    ("23505", 'duplicate key value violates "database "x" does not exist"', STAYS, ""),
    ("22003", "integer out of range: pg_hba.conf", STAYS, ""),
]


def told(error: Exception, kind: type[StoreError], remedy: str) -> str:
    told = translate("postgresql://me:***@db/tracks", error)
    assert type(told) is kind
    line = str(told)
    assert line.startswith("cannot use postgresql://me:***@db/tracks: ")
    assert len(line.splitlines()) == 1
    assert remedy in line
    return line


@pytest.mark.parametrize(("words", "kind", "remedy"), CONNECTING)
@pytest.mark.parametrize("place", [f"connection failed: {SERVER}", "connection is bad: "])
def test_a_connection_that_is_refused(place: str, words: str, kind: type[StoreError], remedy: str) -> None:
    line = told(psycopg.OperationalError(place + words), kind, remedy)
    if not remedy:
        assert line.endswith(words.splitlines()[0].removeprefix("FATAL:  "))


@pytest.mark.parametrize(("state", "words", "kind", "remedy"), AT_WORK)
def test_a_statement_that_is_refused(state: str, words: str, kind: type[StoreError], remedy: str) -> None:
    error = psycopg.errors.lookup(state)(f"{words}\nDETAIL:  more of it")
    line = told(error, kind, remedy)
    if not remedy:
        assert line.endswith(words)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (
            f"{SERVER}FATAL:  password authentication failed for user\n{SERVER}FATAL:  no pg_hba.conf entry x",
            "and pass",
        ),
        (
            f"{SERVER}Connection refused\nMultiple connection attempts failed. All failures were:\n"
            f"- host: 'a': connection failed: {SERVER}FATAL:  database \"x\" does not exist\n"
            f"- host: 'b': connection failed: {SERVER}Connection refused",
            "createdb",
        ),
        (
            f"connection failed: {SERVER}timeout expired\nMultiple connection attempts failed. All failures were:\n"
            f"- host: 'a': connection failed: {SERVER}Connection refused\n"
            f"- host: 'b': connection failed: {SERVER}timeout expired",
            "firewall",
        ),
    ],
)
def test_of_several_attempts_the_one_counts_that_got_furthest(words: str, remedy: str) -> None:
    assert remedy in str(translate("it", psycopg.OperationalError(words)))


def test_no_password_is_told() -> None:
    error = psycopg.OperationalError("cannot use postgresql://me:hunter2@db/tracks?password=hunter2")
    assert "hunter2" not in str(translate("it", error))


def test_every_row_can_be_met() -> None:
    assert all(row.words or row.states for row in TABLE)
