"""Where things that can be made again are kept: the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from yolotrack.errors import ModelError


def cache_folder() -> Path:
    """The place for our files in the user's cache: XDG_CACHE_HOME, LOCALAPPDATA or ~/Library/Caches. May not exist."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else _platform_cache()) / "yolotrack"


def cache_subfolder(name: str) -> Path:
    """That folder in the cache, made if need be. `ModelError` where the cache cannot be written."""
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cache_error(error) from error
    return folder


def cache_error(error: OSError) -> ModelError:
    """What to tell when the cache cannot be used."""
    why = error.strerror or error
    return ModelError(f"cannot use the cache folder {cache_folder()}: {why}; set XDG_CACHE_HOME to another folder")


def _platform_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
