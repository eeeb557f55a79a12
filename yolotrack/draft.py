"""A file or folder that appears when it is finished, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import glob
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
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""As a folder is refused a name that another, or a file, has."""


class Draft:
    """Where a file is to be. Until it is published it lies beside, under a hidden name."""

    def __init__(
        self, path: Path, *, overwrite: bool, suffixes: Sequence[str] = (), foreign: tuple[type[Exception], ...] = ()
    ) -> None:
        """`OutputError` where it cannot be: of no kind in `suffixes`, if there are some, in no folder, or in the way
        of another. `foreign` errors are those of the library that writes it, told as the system's are.
        """
        self.path = path
        self.suffix = path.suffix.lower()
        self._overwrite = overwrite
        self._foreign = foreign
        if suffixes and self.suffix not in suffixes:
            kinds = ", ".join(suffixes)
            raise OutputError(f"cannot write {path}: unknown kind of video; end its name in one of {kinds}")
        with self.translated():
            self._check()
        self.part = path.with_name(f".{path.name}.part-{os.getpid()}")  # which "." and ".." have none of

    def publish(self) -> None:
        """Take the final name, once the disk says that it holds everything; over nothing that came meanwhile."""
        with self.translated():
            try:
                self._replace() if self._overwrite else self._take_name()
            except FileExistsError:
                kind = "folder" if self.part.is_dir() else "file"
                raise OutputError(
                    f"{self.path} appeared while it was written; the finished {kind} is {self.part}"
                ) from None

    def sync(self) -> None:
        """Have the disk say now whether it holds everything."""
        _sync(self.part)

    def discard(self) -> None:
        """Leave nothing behind; idempotent."""
        self.part.unlink(missing_ok=True)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The system's errors, and foreign ones, as ours."""
        with translated(self.path, self._foreign):
            yield

    @contextmanager
    def or_else(self, abort: Callable[[], None]) -> Iterator[None]:
        """The same; whatever fails, `abort` leaves nothing behind."""
        try:
            with self.translated():
                yield
        except Exception:
            abort()
            raise

    def _check(self) -> None:
        if self.path.is_dir():
            raise OutputError(f"cannot write {self.path}: it is a folder; name a file")
        self._check_place()

    def _check_place(self) -> None:
        path = self.path
        if not path.parent.is_dir():
            raise OutputError(f"cannot write {path}: there is no folder {path.parent}; create it first")
        if path.exists() and not self._overwrite:
            raise OutputError(f"cannot write {path}: it exists; choose another name, or set --overwrite")

    def _replace(self) -> None:
        self.part.replace(self.path)

    def _take_name(self) -> None:
        """Raises `FileExistsError` where another has it."""
        try:
            os.link(self.part, self.path)
        except FileExistsError:
            raise
        except OSError:  # a disk without hard links
            self._check()
            self._replace()
        else:
            self.part.unlink()


class FolderDraft(Draft):
    """The same for a folder."""

    def sync(self) -> None:
        """Have the disk say now whether it holds everything."""
        for file in self.part.rglob("*"):
            if file.is_file():
                _sync(file)

    def discard(self) -> None:
        """Leave nothing behind; idempotent."""
        _remove_folder(self.part)

    def _check(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"cannot write {self.path}: it is a file; name a folder")
        self._check_place()

    def _replace(self) -> None:
        """The old one is put aside first, so that neither is ever there in parts."""
        self._check()
        old = self.path.with_name(f".{self.path.name}.old-{os.getpid()}")
        _remove_folder(old)
        with suppress(FileNotFoundError):
            self.path.rename(old)
        try:
            self._take_name()
        except OSError:
            with suppress(OSError):
                old.rename(self.path)
            raise
        _remove_folder(old)

    def _take_name(self) -> None:
        try:
            self.part.rename(self.path)  # which replaces an empty folder, and nothing else
        except OSError as error:
            if error.errno in _TAKEN:
                raise FileExistsError from error
            raise


def refuse_inputs(outputs: Iterable[Path], sources: Iterable[str]) -> None:
    """`OutputError` where an output is a file that is read: by device and inode, so whatever the two are called.

    Of a source that is a folder or a pattern, every file counts; what is no file of this machine does not.
    """
    there = {found: path for path in outputs if (found := _identity(path)) is not None}
    if not there:
        return
    for path in (path for source in sources for path in _files_of(source)):
        identity = _identity(path)
        if identity is not None and identity in there:
            raise OutputError(f"cannot write {there[identity]}: it is a source ({path}); choose another name")


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None where nothing is, or nothing can be: whoever opens it tells that better."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _files_of(source: str) -> Iterator[Path]:
    path = Path(source)
    if _identity(path) is None:
        with suppress(OSError, ValueError):  # no pattern of files
            yield from map(Path, glob(source))  # noqa: PTH207  # patterns may be absolute
    elif path.is_dir():
        with suppress(OSError):
            yield from path.iterdir()
    else:
        yield path


@contextmanager
def writing_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A new file that takes its name at the end of a block that raised nothing; else nothing is left of it.

    `OutputError` where it cannot be, or `path` exists and `overwrite` is not set.
    """
    draft = Draft(path, overwrite=overwrite)
    with _finished(draft), draft.part.open("wb") as file:
        yield file


@contextmanager
def writing_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """The same for a new folder; of an old one that it replaces nothing is left."""
    draft = FolderDraft(path, overwrite=overwrite)
    with _finished(draft):
        draft.discard()  # what a process of the same number left when it was killed
        draft.part.mkdir()
        yield draft.part


@contextmanager
def _finished(draft: Draft) -> Iterator[None]:
    """Publish what a block wrote, or discard what is there of it."""
    try:
        with draft.translated():
            yield
            draft.sync()
    except BaseException:
        draft.discard()
        raise
    draft.publish()


@contextmanager
def translated(path: Path, foreign: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """The system's errors while `path` is written, and `foreign` ones, as ours."""
    errors: tuple[type[Exception], ...] = (OSError, *foreign)
    try:
        yield
    except errors as error:
        reason = system_reason(error) or f"{getattr(error, 'strerror', None) or error}; try another folder"
        raise OutputError(f"cannot write {path}: {reason}") from error


def system_reason(error: Exception) -> str | None:
    """What the disk or the system has against it; None where it is something else."""
    return _HINTS.get(getattr(error, "errno", None) or 0)


def _remove_folder(path: Path) -> None:
    """Or the link to one, which is then all that goes."""
    if path.is_symlink():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
