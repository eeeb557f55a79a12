"""Pictures out of image files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from yolotrack.errors import SourceError
from yolotrack.model import Pixels
from yolotrack.video.base import Picture, SourceInfo
from yolotrack.video.fit import SizeGuard, check_size, fit
from yolotrack.video.timing import FALLBACK_RATE, Selection

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def is_image(path: Path) -> bool:
    """Whether it is a file that is named like an image."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The images of a folder that match a glob pattern (`**` for folders within), in natural order.

    `SourceError` where there are none, or the folder cannot be read.
    """
    try:
        return _sorted(folder.glob(pattern), folder if pattern == "*" else folder / pattern)
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot list {folder / pattern}: {error}; check its path and rights") from error


def _sorted(paths: Iterable[Path], name: Path) -> list[Path]:
    images = sorted(filter(is_image, paths), key=_natural)
    if not images:
        kinds = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise SourceError(f"no pictures in {name}; give a folder or glob of images ({kinds}), or a video")
    return images


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that puts frame2 before frame10."""
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [(1, int(part), "") if number % 2 else (0, 0, part) for number, part in enumerate(parts)]


class ImageReader:
    """Image files as a video at 25 pictures per second, letterboxed to the size of the first.

    Files that cannot be read are skipped and counted, and keep their place in time.
    """

    def __init__(self, name: str, stream: str, paths: list[Path], selection: Selection) -> None:
        """`SourceError` where none of the chosen files can be read."""
        self.skipped = 0
        self._guard = SizeGuard(name)
        self._sized = False
        timed = ((float(number / FALLBACK_RATE), path) for number, path in enumerate(paths))
        self._pictures: Iterator[Picture] = self._read(selection.pick(timed))
        first = next(self._pictures, None)
        if first is None:
            raise SourceError(f"cannot read {name}: no image{selection} of {len(paths)} can be decoded; check them")
        height, width = first.pixels.shape[:2]
        self.info = SourceInfo(
            name=name,
            stream=stream,
            width=width,
            height=height,
            rate=selection.rate(FALLBACK_RATE),
            frame_count=selection.count(len(paths), FALLBACK_RATE),
            live=False,
        )
        self._pictures = chain((first,), self._pictures)

    def pictures(self) -> Iterator[Picture]:
        """Every picture, once."""
        for picture in self._pictures:
            yield Picture(fit(picture.pixels, self.info.width, self.info.height), picture.media_time)

    def close(self) -> None:
        """Nothing is held open between pictures."""

    def _read(self, timed: Iterator[tuple[float, Path]]) -> Iterator[Picture]:
        for time, path in timed:
            pixels = read_image(path)
            if pixels is None or self._refuses(path, pixels):
                self.skipped += 1
            else:
                yield Picture(pixels, time)

    def _refuses(self, path: Path, pixels: Pixels) -> bool:
        """The first picture is refused loudly, for its size would be that of the run; later ones are passed over."""
        height, width = pixels.shape[:2]
        if not self._sized:
            check_size(str(path), width, height)
            self._sized = True
        return self._guard.refuses(width, height)


def read_image(path: Path) -> Pixels | None:
    """The picture in a file, turned as its EXIF says; None where it cannot be read."""
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
    return None if pixels is None else np.ascontiguousarray(pixels, np.uint8)
