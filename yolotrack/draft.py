"""A file or folder that appears when it is finished, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from yolotrack.errors import OutputError

_HINTS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the quota is used up; free some space",
    errno.EFBIG: "the file would be too large for this disk or limit; choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.EROFS: "it is on a read-only disk; choose another folder",
    errno.ENOENT: "there is no such folder; create it first",
    errno.ENOTDIR: "there is no such folder; create it first",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


class Draft:
    """Where a file is to be. Until it is published it lies beside, under a hidden name."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        """`OutputError` where it cannot be: in no folder, or in the way of another."""
        self.path = path
        self._overwrite = overwrite
        with self.translated():
            self._check()
        self.part = path.with_name(f".{path.name}.part-{os.getpid()}")

    def publish(self) -> None:
        """Take the final name, once the disk says that it holds everything; over nothing that came meanwhile."""
        with self.translated():
            if self._overwrite:
                self.part.replace(self.path)
                return
            try:
                os.link(self.part, self.path)
            except FileExistsError:
                raise OutputError(
                    f"{self.path} appeared while it was written; the finished file is {self.part}"
                ) from None
            except OSError:  # a disk without hard links
                self._check()
                self.part.replace(self.path)
            else:
                self.part.unlink()

    def sync(self) -> None:
        """Have the disk say now whether it holds everything."""
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Leave nothing behind; idempotent."""
        self.part.unlink(missing_ok=True)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The system's errors as ours."""
        with translated(self.path):
            yield

    def _check(self) -> None:
        path = self.path
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; name a file")
        if not path.parent.is_dir():
            raise OutputError(f"cannot write {path}: there is no folder {path.parent}; create it first")
        if path.exists() and not self._overwrite:
            raise OutputError(f"cannot write {path}: it exists; choose another name, or set --overwrite")


@contextmanager
def writing_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file that takes its name at the end of a block that raised nothing; else nothing is left of it.

    `OutputError` where it cannot be, or `path` exists and `overwrite` is not set.
    """
    draft = Draft(path, overwrite=overwrite)
    try:
        with draft.translated():
            with draft.part.open("wb") as file:
                yield file
            draft.sync()
    except BaseException:
        draft.discard()
        raise
    draft.publish()


@contextmanager
def writing_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """The same for a new folder; of an old one that it replaces nothing is left."""
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    with translated(path):
        if path.exists() and not overwrite:
            raise OutputError(f"cannot write {path}: it exists; choose another name, or set --overwrite")
        part.mkdir()
        try:
            yield part
            if path.exists():
                shutil.rmtree(path)
            part.replace(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """The system's errors while `path` is written as ours."""
    try:
        yield
    except OSError as error:
        reason = system_reason(error) or f"{error.strerror or error}; try another folder"
        raise OutputError(f"cannot write {path}: {reason}") from error


def system_reason(error: Exception) -> str | None:
    """What the disk or the system has against it; None where it is something else."""
    return _HINTS.get(getattr(error, "errno", None) or 0)
