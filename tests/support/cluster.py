"""A pipeline of real processes over a private RabbitMQ: the installed command, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.commands import REPOSITORY, YOLOTRACK
from tests.support.rabbit import RabbitNode
from tests.support.rabbit_trio import RabbitTrio
from tests.support.scene_videos import SceneVideo
from tests.support.waiting import wait_until
from yolotrack.broker.rabbitmq import RabbitBroker, open_broker
from yolotrack.config import BrokerSettings, DatabaseSettings
from yolotrack.errors import StoreError
from yolotrack.model import RunRecord, RunStatus, new_run_id
from yolotrack.store.sql import SQLStore, open_store

MODEL = "tests.support.scene_model:make"
PATIENCE = 90.0
"""Seconds until a condition counts as never coming true; generous, for machines with other work."""
ORPHAN_SECONDS = 3.0
UNWANTED = ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONPATH", "COLUMNS", "LINES")


class Member:
    """One command under way. What it prints goes to a file."""

    def __init__(self, name: str, command: Sequence[object], folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.command = command
        self.environment = environment
        self.expected_to_end = False
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """All that it printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def frozen(self) -> bool:
        """Whether a SIGSTOP holds it."""
        return self._status("State").startswith("T")

    @property
    def most_memory(self) -> int:
        """Megabytes that were resident at most."""
        return int(self._status("VmHWM").split()[0]) // 1000

    def kill(self) -> None:
        """As a crash does."""
        self.expected_to_end = True
        self.send(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        """As an operator does; it must end well, by itself."""
        self.expected_to_end = True
        self.send(signal.SIGTERM)
        assert self.process.wait(PATIENCE) in (0, 130), self.text

    def send(self, number: signal.Signals) -> None:
        """A signal to the process alone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def end(self, code: int = 0) -> str:
        """Wait for its end, which must have that exit code; what it printed."""
        self.expected_to_end = True
        assert self.process.wait(PATIENCE) == code, self.text
        return self.text

    def _status(self, field: str) -> str:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{field}:"))


class Cluster:
    """One namespace of a broker, one database, and the processes that a test starts. A context manager."""

    def __init__(
        self,
        node: RabbitNode | RabbitTrio,
        folder: Path,
        scenes: Path,
        *,
        heartbeat: int | None = None,
        database: str = "",
        **env: str,
    ) -> None:
        """`database` is a URL, of a file in the folder where it is left out; `env` is what every process finds in its
        environment, besides where broker and database are."""
        self.node = node
        self.folder = folder
        self.namespace = f"t{new_run_id()[-12:]}"
        self.members: list[Member] = []
        self._url = node.url + (f"?heartbeat={heartbeat}" if heartbeat else "")
        self._database = database or f"sqlite:///{folder / 'tracks.db'}"
        self._store: SQLStore | None = None
        self._broker: RabbitBroker | None = None
        self._environment = {name: value for name, value in os.environ.items() if name not in UNWANTED} | {
            "PYTHONPATH": str(REPOSITORY),
            "YOLOTRACK_BROKER__URL": self._url,
            "YOLOTRACK_BROKER__NAMESPACE": self.namespace,
            "YOLOTRACK_BROKER__ORPHAN_SECONDS": str(ORPHAN_SECONDS),
            "YOLOTRACK_DATABASE__URL": self._database,
            "SCENES": str(scenes),
            **env,
        }

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(member.process.pid, signal.SIGKILL)
            member.process.wait()
        for open_one in (self._broker, self._store):
            if open_one is not None:
                open_one.close()
        for member in self.members:  # pytest shows this only where the test failed
            print(f"----- {member.name}: exit {member.process.returncode}\n{_end_of(member.text)}")

    # members

    def start(self, *arguments: object, **env: str) -> Member:
        """The command with its arguments; `env` in its environment."""
        return self._start(str(arguments[0]), [YOLOTRACK, *arguments], env)

    def work(self, role: str = "all", **env: str) -> Member:
        """A worker with the scripted detector."""
        return self._start(f"work-{role}", [YOLOTRACK, *self._work(role)], env)

    def doomed_tracker(self, point: str, count: int) -> Member:
        """A track worker that meets its fate at a point of `tests.support.dying`, the `count`-th time."""
        command = [sys.executable, "-m", "tests.support.dying", point, count, *self._work("track")]
        doomed = self._start(f"doomed-{point}", command, {})
        doomed.expected_to_end = True
        return doomed

    def publish(self, video: SceneVideo, *options: object, stream: str | None = None) -> Member:
        """A publisher of a video."""
        named = ["--stream", stream] if stream else []
        return self.start("publish", video.path, "--quiet", *named, *options)

    def replace(self, member: Member) -> Member:
        """Another one like it."""
        return self._start(member.name.partition(".")[0], member.command, member.environment)

    def replace_dead(self, members: list[Member]) -> None:
        """Another one for each that a signal ended, in its place; as an orchestrator would."""
        for place, member in enumerate(members):
            if member.ended:
                assert member.process.returncode == -signal.SIGKILL, member.text
                members[place] = self.replace(member)
                members[place].expected_to_end = True

    def stop_workers(self) -> None:
        """Stop all that work still, in order."""
        for member in self.members:
            if member.name.startswith(("work", "doomed")) and not member.ended:
                member.stop()

    def _work(self, role: str) -> list[str]:
        return ["work", "--role", role, "--model", MODEL]

    def _start(self, name: str, command: Sequence[object], env: dict[str, str]) -> Member:
        member = Member(f"{name}.{len(self.members)}", command, self.folder, {**self._environment, **env})
        self.members.append(member)
        return member

    # what came of it

    @property
    def broker(self) -> RabbitBroker:
        """This process's own place at the broker."""
        if self._broker is None:
            settings = BrokerSettings(url=self._url, namespace=self.namespace)
            self._broker = open_broker(settings)
        return self._broker

    @property
    def store(self) -> SQLStore:
        """The database, to read; `StoreError` while there is none."""
        if self._store is None:
            self._store = open_store(DatabaseSettings(url=self._database), read_only=True)
        return self._store

    def runs(self, stream: str) -> list[RunRecord]:
        """The runs of a stream, the oldest first; each ledger balances, at every moment."""
        try:
            records = [record for record in self.store.runs() if record.run.stream == stream]
        except StoreError:
            return []
        for record in records:
            assert record.ledger.in_flight >= 0, record
        return records

    def done(self, stream: str) -> int:
        """How many frames of the newest run have their outcome."""
        records = self.runs(stream)
        return 0 if not records else _done(records[-1])

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> None:
        """Until it holds; fails when it does not in time, or when a process ended that should not."""
        wait_until(lambda: condition() or self._unexpected_end(what), what, seconds)

    def wait_done(self, stream: str, count: int, seconds: float = PATIENCE) -> int:
        """Until so many frames of the newest run have their outcome; how many have."""
        self.wait(lambda: self.done(stream) >= count, f"{count} frames of {stream}", seconds)
        return self.done(stream)

    def wait_ended(self, stream: str, number: int = 1, seconds: float = PATIENCE) -> RunRecord:
        """Until the `number`-th run of the stream has ended; its record."""

        def has_ended() -> bool:
            records = self.runs(stream)
            return len(records) >= number and records[number - 1].status is not RunStatus.RUNNING

        self.wait(has_ended, f"the end of run {number} of {stream}", seconds)
        return self.runs(stream)[number - 1]

    def ready(self, topic: str) -> int:
        """Messages that wait in a queue; 0 where there is no such queue."""
        attendance = self.broker.attendance(topic)
        assert attendance is not None, f"no answer about {topic}"
        return attendance.waiting

    def _unexpected_end(self, waiting_for: str) -> bool:
        for member in self.members:
            if not member.expected_to_end and member.ended:
                assert member.process.returncode == 0, f"{member.name} ended before {waiting_for}: {member.text}"
        return False


def _end_of(text: str, lines: int = 40) -> str:
    return "\n".join(text.splitlines()[-lines:])


def _done(record: RunRecord) -> int:
    ledger = record.ledger
    return ledger.tracked + ledger.failed + ledger.dropped
