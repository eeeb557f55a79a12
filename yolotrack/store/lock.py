"""One writer at a time, over processes: an empty file beside the database that the kernel locks.

SQLite lets one connection write at a time by itself. But before 3.51.3 (and 3.50.7, 3.44.6) a connection that begins a
checkpoint while another one commits may miss that the commit began the log anew, and a later checkpoint then leaves
pages out: https://sqlite.org/wal.html#walresetbug. SQLite takes its checkpoints inside the commit that filled the log,
so a lock around every writing transaction keeps the two apart. The connection that misses is the one with the old
SQLite, whichever the other has; so everybody takes the lock. The kernel frees it when its process dies.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.001

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock file at `path`, made where it is missing, against every other thread and process.

    Raises `TimeoutError` when others held it for `seconds`, and other `OSError` when the file cannot be made.
    """
    file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)  # reading suffices, so the users of a group can share it
    try:
        _wait_for(file, seconds)
        try:
            yield
        finally:
            _unlock(file)
    finally:
        os.close(file)


def _wait_for(file: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _try_lock(file)
        except (BlockingIOError, PermissionError):  # as Unix and Windows say that somebody else has it
            if time.monotonic() > deadline:
                raise TimeoutError("the file is locked") from None
        time.sleep(_PAUSE)
