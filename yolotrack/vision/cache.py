"""Where things that can be made again are kept: the user's cache folder."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from yolotrack.errors import ModelError


def cache_folder() -> Path:
    """The place for our files in the user's cache: XDG_CACHE_HOME, LOCALAPPDATA or ~/Library/Caches. May not exist.

    A folder for temporary files takes the place of a home that cannot hold it, as in a container under any user.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "yolotrack"
    try:
        folder = _platform_cache() / "yolotrack"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: nobody knows where home is
        return _temporary()
    return folder if os.access(folder, os.W_OK) else _temporary()


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


def _temporary() -> Path:
    """The same for every process of this user, and nobody else's."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(tempfile.gettempdir()) / f"yolotrack-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ours = not hasattr(os, "getuid") or folder.lstat().st_uid == user
    except OSError:
        ours = False
    return folder if ours else Path(tempfile.mkdtemp(prefix="yolotrack-"))


def _platform_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
