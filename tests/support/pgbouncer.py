"""A private PgBouncer for tests, in front of a cluster: a free port of the loopback, killed at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.postgres import PostgresCluster, server_user
from tests.support.rabbit import free_port
from tests.support.waiting import wait_until

CONFIG = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = users
pool_mode = {mode}
default_pool_size = {sessions}
server_round_robin = 1
server_login_retry = 1
query_wait_timeout = 3
"""
"""Round robin, so that one transaction and the next seldom meet the same session. As packaged, it takes no other
startup parameters than its own."""


class PgBouncer:
    """One in front of a cluster. `start` again after `kill` has the same port."""

    def __init__(self, cluster: PostgresCluster, mode: str, sessions: int) -> None:
        binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert binary is not None
        self.port = free_port()
        self._cluster = cluster
        self._user = server_user()
        self._folder = Path(tempfile.mkdtemp(prefix="yolotrack-pgbouncer-"))
        config = self._folder / "pgbouncer.ini"
        config.write_text(CONFIG.format(port=self.port, server_port=cluster.port, mode=mode, sessions=sessions))
        (self._folder / "users").write_text('"postgres" ""\n')
        self._folder.chmod(0o755)
        self._command = [binary, "-q", config]
        self._process: subprocess.Popen[bytes] | None = None

    def fresh(self) -> str:
        """The URL, through this pooler, of a new, empty database. A schema would need a setting of the session."""
        return self.through(self._cluster.fresh_database())

    def through(self, url: str) -> str:
        """A URL of the cluster, through this pooler."""
        return url.replace(f":{self._cluster.port}/", f":{self.port}/")

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, user=self._user, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, "PgBouncer to listen")

    def kill(self) -> None:
        """As a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Kill it and delete its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


@contextmanager
def pgbouncer(cluster: PostgresCluster, mode: str, sessions: int = 3) -> Iterator[PgBouncer]:
    """A started one. Without its binary tests are skipped, and fail under `CI=true`."""
    if shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        reason = "no PgBouncer here; Debian's package pgbouncer brings one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    opened = PgBouncer(cluster, mode, sessions)
    try:
        opened.start()
        yield opened
    finally:
        opened.close()
