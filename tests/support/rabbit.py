"""A private RabbitMQ node for tests: free ports, loopback only, its own data folder, killed at the end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from yolotrack.broker.rabbitmq import RabbitBroker, Topology

SERVER = next(
    # Debian's wrapper in /usr/sbin changes to a user of its own, who cannot write to our folder
    (path for path in ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server") if shutil.which(path)),
    None,
)
START_SECONDS = 90.0
LOG_BYTES = 50_000_000

CONFIG = """
listeners.tcp.default = 127.0.0.1:{port}
disk_free_limit.absolute = 100MB
vm_memory_high_watermark.relative = 0.6
raft.wal_max_size_bytes = 64000000
loopback_users = none
log.console = false
log.file.level = warning
"""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fresh_namespace() -> str:
    """One that nobody else has."""
    return f"t{uuid4().hex[:12]}"


def open_rabbit(url: str, namespace: str | None = None, *, patience: float = 60.0, **limits: Any) -> RabbitBroker:
    """A broker in a namespace, a fresh one where none is given; `limits` as in `Topology`."""
    sizes = {"max_frames": 64, "live_frames": 2, "video_log_bytes": LOG_BYTES, "tracks_log_bytes": LOG_BYTES}
    return RabbitBroker(url, Topology(namespace or fresh_namespace(), **(sizes | limits)), patience)


class RabbitNode:
    """One node. `start` again after `stop` or `kill` finds the same data at the same port."""

    def __init__(self, folder: Path, more: str = "", **environment: str) -> None:
        """`more` comes behind the configuration, `environment` before what the node would find otherwise."""
        self.folder = folder
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.name = f"yolotrack-{os.getpid()}-{self.port}@localhost"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rabbitmq.conf").write_text(CONFIG.format(port=self.port) + more)
        (folder / "advanced.config").write_text("[].")
        (folder / "plugins").write_text("[].")
        self._environment = os.environ | {
            "HOME": str(folder),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-env.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": str(folder / "log" / "node.log"),
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            **environment,
        }

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        assert SERVER is not None
        with (self.folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [SERVER],
                cwd=self.folder,
                env=self._environment,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self._wait()

    @property
    def runs(self) -> bool:
        """Whether it was started, and not stopped or killed since."""
        return self._process is not None

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"RabbitMQ did not start: {(self.folder / 'console.log').read_text()[-2000:]}")

    def _answers(self) -> bool:
        """The protocol's greeting, which comes only when the node takes connections."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False

    def stop(self) -> None:
        """As an operator stops it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut does."""
        self._signal(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It answers nobody meanwhile; connections stay."""
        assert self._process is not None
        family = _family(self._process.pid)
        for pid in family:
            _send(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in family:
                _send(pid, signal.SIGCONT)

    def control(self, *command: str) -> str:
        """`rabbitmqctl COMMAND`."""
        tool = str(Path(str(shutil.which(str(SERVER)))).parent / "rabbitmqctl")
        done = subprocess.run(
            [tool, *command], env=self._environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            for pid in _family(self._process.pid):
                _send(pid, number)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        """Kill it and its port mapper, and delete its data."""
        self.kill()
        self._kill_port_mapper()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill_port_mapper(self) -> None:
        """It refuses while it still believes that the node lives."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            done = subprocess.run(["epmd", "-kill"], env=self._environment, capture_output=True, text=True, check=False)
            if "Killed" in done.stdout or "Cannot connect" in done.stdout + done.stderr:
                return
            time.sleep(0.1)


def need_server() -> None:
    """Without a server tests are skipped, and fail under `CI=true`."""
    if SERVER is None:
        reason = "no RabbitMQ server here; Debian's package rabbitmq-server brings one"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def rabbit_node(folder: Path, more: str = "") -> Iterator[RabbitNode]:
    """A started node, `more` in its configuration."""
    need_server()
    node = RabbitNode(folder, more)
    try:
        node.start()
        yield node
    finally:
        node.close()


def _family(leader: int) -> list[int]:
    """Every process of a session, the leader last."""
    import psutil

    try:
        children = psutil.Process(leader).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in children] + [leader]


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
