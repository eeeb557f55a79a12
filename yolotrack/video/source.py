"""Pictures out of anything: a file, a URL, a camera, a folder or glob of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from yolotrack.errors import SourceError
from yolotrack.secrets import mask_name, remember
from yolotrack.video import names
from yolotrack.video.base import Picture, Source, SourceInfo
from yolotrack.video.camera import CameraReader
from yolotrack.video.container import ContainerReader, Target
from yolotrack.video.images import ImageReader, images_in, is_image
from yolotrack.video.timing import Selection

if TYPE_CHECKING:
    from yolotrack.config import SourceSettings


class Reader(Protocol):
    """One kind of source. Used by one thread at a time."""

    info: SourceInfo
    skipped: int

    def pictures(self) -> Iterator[Picture]:
        """The chosen pictures, once."""

    def close(self) -> None:
        """Give back what is open; idempotent; never while a picture is being read."""


class PictureSource:
    """The `Source` over any reader: ends after so many pictures, and closes safely from any thread."""

    def __init__(self, reader: Reader, max_frames: int | None = None) -> None:
        self._reader = reader
        self._pictures = islice(reader.pictures(), max_frames)
        self._lock = Lock()
        self._closed = False
        self._info = reader.info
        known = reader.info.frame_count
        if max_frames is not None:
            expected = max_frames if known is None else min(known, max_frames)
            self._info = dataclasses.replace(reader.info, frame_count=expected)

    @property
    def info(self) -> SourceInfo:
        """What is known of it."""
        return self._info

    @property
    def skipped(self) -> int:
        """Broken packets or pictures passed over so far."""
        return self._reader.skipped

    def __iter__(self) -> Iterator[Picture]:
        while (picture := self._next()) is not None:
            yield picture

    def close(self) -> None:
        """Give the source back: at once, or when the picture that another thread is reading is done."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._reader.close()
            finally:
                self._lock.release()

    def __enter__(self) -> PictureSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> Picture | None:
        with self._lock:
            picture = None if self._closed else next(self._pictures, None)
            if not self._closed:
                return picture
            self._reader.close()
            return None


def open_source(name: str, settings: SourceSettings) -> Source:
    """The source that `name` means: a file, URL, camera number, folder or glob of images.

    Raises `SourceError` with what to do where it cannot give its first picture.
    """
    selection = Selection(settings.start, settings.end, settings.stride)
    return PictureSource(_reader(name, selection), settings.max_frames)


def _reader(name: str, selection: Selection) -> Reader:
    path = Path(name)
    if names.is_url(name):
        return ContainerReader(Target(name, remember(name), names.url_stream(name), remote=True), selection)
    if path.is_dir():
        return ImageReader(name, names.folder_stream(path), images_in(path), selection)
    if is_image(path):
        return ImageReader(name, names.file_stream(path), [path], selection)
    if path.exists():
        return _file(name, path, selection)
    if names.is_camera(name):
        return CameraReader(int(name), selection)
    if names.is_glob(name):
        folder, pattern = names.split_glob(name)
        return ImageReader(name, names.folder_stream(folder), images_in(folder, pattern), selection)
    raise SourceError(f"cannot read {mask_name(name)}: there is no such file or folder; check the path")


def _file(name: str, path: Path, selection: Selection) -> Reader:
    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"cannot read {name}: the file is empty; give a video that plays")
    # The prefix keeps FFmpeg from taking a colon in the name for a protocol.
    return ContainerReader(Target(f"file:{path}", name, names.file_stream(path), remote=False), selection)
