"""Finding weights: a path as given, a name in the cache, or the download of official ones."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from yolotrack.errors import ModelError
from yolotrack.vision.cache import cache_error, cache_subfolder

RELEASE = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
"""Where ultralytics publishes its weights."""
OFFICIAL = re.compile(
    r"(yolov8[nsmlx](-oiv7)?|yolo(11|12|26)[nsmlx]|yolov9[tsmce]|yolov10[nsmblx]|yolov5[nsmlx]6?u)\.pt"
)
"""The detection models among them."""
TIMEOUT_S = 10.0
OTHER_WEIGHTS = "name weights of a YOLO model with --model"
WAYS_ON = "name a weights file with --model, or try `yolotrack demo`, which brings its own"


def find_weights(name: str) -> Path:
    """The absolute path of those weights; official ones are downloaded into the cache once.

    `ModelError` in one line where there is nothing of that name, or where it is no weights file at all.
    """
    path = Path(name).expanduser()
    if not path.exists() and OFFICIAL.fullmatch(name):
        path = _official(name)
    return _checked(path.absolute(), name)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, or of all files below a folder."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if file != path:
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _checked(path: Path, name: str) -> Path:
    try:
        if not path.exists():
            raise ModelError(f"no weights at {name}: {WAYS_ON}")
        if path.is_file():
            _check_file(path, name)
    except OSError as error:
        raise ModelError(f"cannot read the weights {name}: {error.strerror or error}") from error
    return path


def _check_file(path: Path, name: str) -> None:
    if path.suffix.lower() in {".yaml", ".yml"}:
        raise ModelError(f"{name} describes a model but holds no weights: train it first, or {WAYS_ON}")
    with path.open("rb") as stream:
        if not stream.read(1):
            raise ModelError(f"the weights file {name} is empty: copy or download it again")
    if path.suffix.lower() == ".pt" and not zipfile.is_zipfile(path):
        raise ModelError(f"{name} is no PyTorch checkpoint, or is cut off: copy or download it again")


def _official(name: str) -> Path:
    target = cache_subfolder("weights") / name
    if not target.is_file():
        _download(f"{RELEASE}/{name}", target)
    return target


def _download(url: str, target: Path) -> None:
    try:
        handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise cache_error(error) from error
    try:
        with os.fdopen(handle, "wb") as out:
            _fetch(url, out.write)
        Path(part).replace(target)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(f"cannot download {target.name} ({reason}): {WAYS_ON}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(part).unlink()


def _fetch(url: str, write: Callable[[bytes], object]) -> None:
    got = 0
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310  # https only
        expected = int(response.headers.get("Content-Length", 0))
        while chunk := response.read(1 << 16):
            write(chunk)
            got += len(chunk)
    if got < expected:
        raise ConnectionError(f"{got} of {expected} bytes came")
