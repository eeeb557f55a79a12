"""What kind of source a name means, and what its stream is called."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from yolotrack.secrets import is_file_url, name_parts

FALLBACK = "stream"
LONGEST = 64


def is_url(name: str) -> bool:
    """Whether it names something on a network."""
    return "://" in name


def is_camera(name: str) -> bool:
    """Whether it is the number of a camera."""
    return name.isascii() and name.isdigit()


def sanitise(text: str) -> str:
    """The nearest name that matches STREAM_PATTERN: accents dropped, anything else foreign a hyphen."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_text).lstrip("._-")
    return clean[:LONGEST].rstrip("-") or FALLBACK


def file_stream(path: Path) -> str:
    """A stream after a file."""
    return sanitise(path.stem)


def folder_stream(folder: Path) -> str:
    """A stream after a folder, also `.` or `..`."""
    return sanitise(folder.resolve().name if folder.name in ("", "..") else folder.name)


def url_stream(url: str) -> str:
    """A stream after a URL's video file, else after its host and the last word of its path.

    Never after what may be a secret: the query, the user, and any word that is not known to be harmless.
    """
    if url.startswith("file:"):
        return file_stream(Path(unquote(url.partition("://")[2])))
    host, word = name_parts(url)
    return sanitise(word if is_file_url(url) else "-".join(part for part in (host, word) if part))


def split_glob(pattern: str) -> tuple[Path, str]:
    """The folder that a glob pattern starts from, and the rest of the pattern."""
    parts = Path(pattern).parts
    fixed = next((number for number, part in enumerate(parts) if is_glob(part)), len(parts) - 1)
    return Path(*parts[:fixed]), str(PurePosixPath(*parts[fixed:]))


def is_glob(text: str) -> bool:
    """Whether it holds a wildcard."""
    return any(sign in text for sign in "*?[")
