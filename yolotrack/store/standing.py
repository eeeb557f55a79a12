"""Whether the files of a SQLite database are still those that were opened.

A connection goes on with a file that was deleted, moved or replaced as if nothing had happened, and what it commits
there nobody finds. So whoever writes looks before a transaction and after its COMMIT, before anybody is told of it.
See https://sqlite.org/howtocorrupt.html, sections 1.2, 2.4 and 4.2.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from yolotrack.errors import StoreGone

_MAGIC = b"SQLite format 3\0"
_LOGS = ("-wal", "-shm")

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""


class _Look(NamedTuple):
    """Size in bytes and time of the last change of the file and of its log."""

    size: int
    changed: int
    log: tuple[int, int]


class Standing:
    """Of one database, in use by connections of this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = path.resolve()
        self._file: Identity | None = None
        self._logs: dict[str, Identity | None] = {}
        self._look: _Look | None = None
        self._spoilt = False

    def remember(self) -> None:
        """A connection that writes was just made. Raises `StoreGone` where the one before it was to another file."""
        now = _identity(self._path)
        if self._file not in (None, now):
            self.check()
        self._file, self._logs = now, {}

    def check(self) -> None:
        """Raise `StoreGone` where file or logs are no longer those that were opened. Passes before there are any."""
        if self._file is None:
            return
        now = _identity(self._path)
        if now is None:
            self._refuse("it was deleted or moved while in use: put it back or name another with --db, and start again")
        if now != self._file:
            self._refuse("another file took its place while it was in use: look which one is wanted, and start again")
        for suffix in _LOGS:
            self._check_log(suffix)

    def check_content(self) -> None:
        """`check`, and whether somebody overwrote the file in its place; only with all other writers kept out."""
        self.check()
        if self._file is not None:
            self._spoilt = self._spoilt or self._overwritten(self._file)
        if self._spoilt:
            files = " and ".join(f"{self._path}{suffix}" for suffix in _LOGS)
            self._refuse(
                f"it was overwritten while in use: stop whatever uses it, delete {files}, restore it once more, and "
                "start again"
            )

    def _check_log(self, suffix: str) -> None:
        """SQLite makes the logs with the first transaction, and keeps them as long as anybody is connected."""
        now = _identity(self._real.with_name(self._real.name + suffix))
        if self._logs.get(suffix) is None:
            self._logs[suffix] = now
        elif now != self._logs[suffix]:
            self._refuse(f"{self._path}{suffix}, a part of it, was deleted or replaced while in use: start again")

    def _overwritten(self, file: Identity) -> bool:
        """A checkpoint makes the file smaller only after something was written to the log, and never another kind.

        So a smaller copy is not noticed while others write, and a larger one never.
        """
        before, now = self._look, self._look_now()
        self._look = now
        if before is None or (now.size, now.changed) == (before.size, before.changed):
            return False
        return (now.size < before.size and now.log == before.log) or _head(self._path, file) != _MAGIC

    def _look_now(self) -> _Look:
        size, changed = _size(self._path)
        return _Look(size, changed, _size(self._real.with_name(f"{self._real.name}-wal")))

    def _refuse(self, why: str) -> None:
        raise StoreGone(f"cannot use {self._path} any longer: {why}")


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _size(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _head(path: Path, file: Identity) -> bytes:
    descriptor = _kept_open(path, file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, len(_MAGIC))


@cache
def _kept_open(path: Path, _file: Identity) -> int:
    """A descriptor that is never closed: closing one drops all locks that SQLite holds on the file in this process."""
    return os.open(path, os.O_RDONLY)
