"""The installed command, as a user starts it: a process of its own in a folder of the test's, never for ever."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.waiting import wait_until

YOLOTRACK = Path(sys.executable).with_name("yolotrack")
REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 180.0
"""Seconds until a command counts as hanging; generous, for machines with other work."""
SCRIPTED = "tests.support.scripted_model:fast"
SLOW = "tests.support.scripted_model:slow"
_SQUEEZED = (
    "import os, resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def only_line(self) -> str:
        """The one line on standard error of a command that refused something, and printed nothing."""
        assert self.out == "", self.out
        assert len(self.err.splitlines()) == 1, self.err
        assert self.err.startswith("error: "), self.err
        return self.err[len("error: ") :].rstrip("\n")


def yolotrack(*arguments: object, folder: Path, code: int = 0, env: dict[str, str] | None = None) -> Done:
    """Run the command in `folder` to its end, which must be exit `code`; `env` comes on top of the session's."""
    return _run([YOLOTRACK, *arguments], folder, code, env)


def yolotrack_squeezed(
    *arguments: object, folder: Path, file_bytes: int, code: int, env: dict[str, str] | None = None
) -> Done:
    """The same where no file may grow beyond `file_bytes`."""
    return _run([sys.executable, "-c", _SQUEEZED, file_bytes, YOLOTRACK, *arguments], folder, code, env)


def yolotrack_traced(*arguments: object, folder: Path, env: dict[str, str]) -> str:
    """The same under strace: what it and its children had to do with sockets."""
    trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", folder / "trace"]
    _run([*trace, YOLOTRACK, *arguments], folder, 0, env)
    return (folder / "trace").read_text()


def runs_in(folder: Path, database: str = "sqlite:///t.db") -> list[dict[str, str]]:
    """What `db runs` prints, a run each."""
    return _rows(yolotrack("db", "runs", "--db", database, "--format", "csv", folder=folder).out)


def observations_in(folder: Path, *arguments: str, database: str = "sqlite:///t.db") -> list[dict[str, str]]:
    """What `db query` prints, an observation each."""
    return _rows(yolotrack("db", "query", "--db", database, "--format", "csv", *arguments, folder=folder).out)


def summary(out: str) -> dict[str, Any]:
    """The only run in what `--json` printed."""
    (only,) = json.loads(out)
    return dict(only)


def assert_balanced(run: dict[str, str]) -> None:
    """Every frame of a run that `db runs` printed has its outcome."""
    outcomes = sum(int(run[name]) for name in ("tracked", "failed", "dropped", "in_flight"))
    assert int(run["published"]) == outcomes
    assert run["in_flight"] == "0"


def names_in(folder: Path) -> set[str]:
    """Every file in a folder, hidden ones too, but for those that SQLite keeps beside a database."""
    return {path.name for path in folder.iterdir() if not path.name.endswith(("-lock", "-wal", "-shm"))}


class Running:
    """A command that is under way, its standard error on a terminal. A context manager: nothing is left running."""

    def __init__(self, *arguments: object, folder: Path, columns: int = 160, env: dict[str, str] | None = None) -> None:
        self._shown = b""
        self._screen, terminal = pty.openpty()
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.process = subprocess.Popen(
            [str(YOLOTRACK), *map(str, arguments)],
            cwd=folder,
            env=_environment({"TERM": "xterm", **(env or {})}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self._reader.join(PATIENCE)
        os.close(self._screen)

    @property
    def shown(self) -> str:
        """All that came to the terminal so far, without its control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._shown.decode(errors="replace"))

    @property
    def frames(self) -> int:
        """How many frames the bar last showed."""
        counts = re.findall(r"(\d+)/[\d?]+", self.shown)
        return int(counts[-1]) if counts else 0

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Return once `condition()` is true; fail, naming `what`, when it is not in time or the command ended."""
        wait_until(lambda: condition() or self._ended(what), what, PATIENCE)

    def wait_for(self, text: str) -> None:
        """Return once the terminal showed `text`."""
        self.wait(lambda: text in self.shown, text)

    def wait_for_frames(self, count: int) -> None:
        """Return once the bar showed so many."""
        self.wait(lambda: self.frames >= count, f"{count} frames")

    def wait_for_file(self, path: Path) -> None:
        """Return once there is such a file."""
        self.wait(path.exists, path.name)

    def end(self, *signals: int) -> Done:
        """Send signals, and wait for the end."""
        for number in signals:
            self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=PATIENCE)
        self._reader.join(PATIENCE)
        return Done(self.process.returncode, out.decode(), self.shown)

    def _ended(self, waiting_for: str) -> bool:
        assert self.process.poll() is None, f"ended before {waiting_for}: {self.shown}"
        return False

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # what Linux answers once the other end is closed
            while chunk := os.read(self._screen, 65536):
                self._shown += chunk


def _run(command: list[Any], folder: Path, code: int, env: dict[str, str] | None) -> Done:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=_environment(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def _environment(added: dict[str, str]) -> dict[str, str]:
    """This session's, where models of the tests can be imported and no display is at hand."""
    unwanted = {"DISPLAY", "WAYLAND_DISPLAY", "COLUMNS", "LINES", "PYTHONPATH"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    search = os.pathsep.join(filter(None, (added.get("PYTHONPATH"), str(REPOSITORY))))
    return {**kept, **added, "PYTHONPATH": search}


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))
