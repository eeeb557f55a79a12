"""A private PostgreSQL cluster for tests: a free port of the loopback, its own data folder, killed at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest

from tests.support.rabbit import free_port

START_SECONDS = 60.0
LOCKED = "locked"
PASSWORD = "s3cret"
"""Of the role `locked`, the only one that needs one."""

INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
CONFIG = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
shared_buffers = 32MB
max_wal_size = 256MB
lc_messages = 'C'
logging_collector = off
"""
REFUSED, NEEDS_TLS, BY_SYSTEM = "refused", "needs_tls", "by_system"
"""Roles that the server lets in never, over TLS only, and as users of the system."""
ACCESS = f"""
host all {LOCKED} 127.0.0.1/32 scram-sha-256
host all {REFUSED} 127.0.0.1/32 reject
hostnossl all {NEEDS_TLS} 127.0.0.1/32 reject
host all {BY_SYSTEM} 127.0.0.1/32 ident
host all all 127.0.0.1/32 trust
"""


def server_binaries() -> Path | None:
    """The folder of the newest server here; Debian keeps it out of the way."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("postgres")
    return Path(found).parent if found else None


class PostgresCluster:
    """One cluster. `start` again after `stop` or `kill` finds the same databases at the same port."""

    def __init__(self, binaries: Path) -> None:
        self.port = free_port()
        self._binaries = binaries
        self._user = server_user()
        self._process: subprocess.Popen[bytes] | None = None
        # not in a folder of pytest's, which root keeps from the server's user
        self.folder = Path(tempfile.mkdtemp(prefix="yolotrack-postgres-"))
        if self._user:
            shutil.chown(self.folder, self._user)
        self._initialise()

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Where a database is."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """The URL of a new, empty schema, which costs far less than a database."""
        name = f"t{uuid4().hex[:12]}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url()}?options=-csearch_path%3D{name}"

    def fresh_database(self, *options: str) -> str:
        """The URL of a new, empty database; `options` are those of CREATE DATABASE."""
        name = f"t{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} {' '.join(options)}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """As the superuser, outside of transactions; the rows, if there are any."""
        with psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres dbname={database}") as connection:
            connection.autocommit = True
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                self._spawn()  # again, as one that was killed keeps its shared memory until its last child noticed
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'server.log').read_text()[-2000:]}")

    def stop(self) -> None:
        """As an operator stops it: sessions are cut off, what they had not committed is rolled back."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            for process in _family(self._process.pid):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _initialise(self) -> None:
        data = self.folder / "data"
        make = [
            self._binaries / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
        done = subprocess.run(make, user=self._user, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with (data / "postgresql.conf").open("a") as config:
            config.write(CONFIG.format(port=self.port))
        (data / "pg_hba.conf").write_text(ACCESS)

    def _spawn(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.folder / "data"],
                user=self._user,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=START_SECONDS)
            self._process = None


@contextmanager
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A started cluster. Without a server tests are skipped, and fail under `CI=true`."""
    binaries = server_binaries()
    if binaries is None:
        reason = "no PostgreSQL server here; Debian's package postgresql brings one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    cluster = PostgresCluster(binaries)
    try:
        cluster.start()
        cluster.execute(f"CREATE ROLE {LOCKED} LOGIN PASSWORD '{PASSWORD}'")
        yield cluster
    finally:
        cluster.close()


def server_user() -> str | None:
    """Whom to run the server as: it refuses root, and needs nobody else where we are not root."""
    if os.getuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def _family(leader: int) -> list[psutil.Process]:
    """The children of a process, which would live on for a moment."""
    try:
        return psutil.Process(leader).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
