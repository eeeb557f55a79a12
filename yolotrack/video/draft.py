"""A video file that appears when it is finished, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av.error

from yolotrack import draft
from yolotrack.draft import system_reason
from yolotrack.errors import OutputError


class Draft(draft.Draft):
    """Where a video is to be. Until it is published it lies beside, under a hidden name."""

    def __init__(self, path: Path, suffixes: Sequence[str], *, overwrite: bool) -> None:
        """`OutputError` where it cannot be: of no kind in `suffixes`, in no folder, or in the way of another."""
        self.suffix = path.suffix.lower()
        if self.suffix not in suffixes:
            kinds = ", ".join(suffixes)
            raise OutputError(f"cannot write {path}: unknown kind of video; end its name in one of {kinds}")
        super().__init__(path, overwrite=overwrite)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """FFmpeg's and the system's errors as ours."""
        try:
            with super().translated():
                yield
        except av.error.FFmpegError as error:
            reason = system_reason(error) or f"{error.strerror or error}; try another folder"
            raise OutputError(f"cannot write {self.path}: {reason}") from error
