"""A temporary folder for what belongs to others: gone when we end, however we end."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from yolotrack.store.lock import locked

LOCK = "lock"
YOUNG_SECONDS = 60.0
"""A folder whose lock is younger may still be about to take it."""


@contextmanager
def private_folder(prefix: str) -> Iterator[Path]:
    """An empty folder that no other user may enter, and that is removed in the end.

    A process that is killed cannot do so: its folder goes when the next one with that prefix begins. Who lives holds
    the lock in its folder.
    """
    _sweep(prefix)
    with TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "files").mkdir()
        with locked(folder / LOCK, 0):
            yield folder / "files"


def _sweep(prefix: str) -> None:
    for folder in Path(gettempdir()).glob(f"{prefix}*"):
        lock = folder / LOCK
        try:
            if _is_ours(folder) and time.time() - lock.stat().st_mtime > YOUNG_SECONDS:
                with locked(lock, 0):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # held by one who lives, or none of ours


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "geteuid") or folder.lstat().st_uid == os.geteuid()
