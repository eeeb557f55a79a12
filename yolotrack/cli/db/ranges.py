"""What the options of `yolotrack db` say, out of text. Errors are `UsageError`, and name the option."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from yolotrack.cli import options
from yolotrack.errors import UsageError
from yolotrack.text import meant

_AGE = re.compile(r"(?P<count>\d+)\s*(?P<unit>[smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_tracks(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """`7` is one track; `3:9` those from 3 to 9, both included; `3:` and `:9` are open. Commas join several."""
    return tuple((ids[0], ids[-1]) for text in texts for ids in options.id_ranges("--track-id", text))


def parse_frames(text: str) -> tuple[int | None, int | None]:
    """`100:200` is from 100 up to, and without, 200; `100:` and `:200` are open; `100` is that frame alone."""
    found = re.fullmatch(r"(?=.*\d)(\d*)(:?)(\d*)", text.strip())
    if found is None:
        raise UsageError(f"--frames: {text!r} is none; write it as in 100:200")
    if found[1] and found[3] and int(found[3]) <= int(found[1]):
        raise UsageError(f"--frames {text}: no frame is from {found[1]} up to, and without, {found[3]}")
    first, end = (options.number(digits) if digits else None for digits in (found[1], found[3]))
    return (first, end) if found[2] or first is None else (first, min(first + 1, options.LAST_ID))


def parse_time(text: str) -> tuple[float | None, float | None]:
    """Two moments of the video, the second excluded, with `-` between them, or `:` where both are written alike.

    A moment is what `options.media_time` takes. Either may be left out.
    """
    found = _halves(text.strip())
    if found is None:
        raise UsageError(f"--time {text}: write two times, as in 70:80, 1:10-1:20 or 00:01:10:00:01:20")
    first, end = (None if half == "" else options.media_time("--time", half) for half in found)
    if first is not None and end is not None and end <= first:
        raise UsageError(f"--time {text}: it ends before it begins")
    return first, end


def parse_instant(text: str, option: str) -> datetime:
    """ISO 8601; where it names no zone, in that of this computer."""
    try:
        return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip())).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"{option}: {text!r} is no time; write it as 2026-03-01T18:30 or 2026-03-01T18:30Z") from None


def parse_age(text: str) -> timedelta:
    """`30d`, `12h`, `2w`, `90m` or `45s`."""
    found = _AGE.fullmatch(text.strip().lower())
    if not found:
        raise UsageError(f"--older-than: {text!r} is no age; write it as 30d, 12h or 2w")
    try:
        return timedelta(**{_UNITS[found["unit"]]: int(found["count"])})
    except OverflowError:
        raise UsageError(f"--older-than: {text!r} is longer than any age") from None


def parse_classes(texts: Sequence[str]) -> tuple[int | str, ...]:
    """Names or numbers, joined by commas."""
    return tuple(int(part) if part.isdecimal() else part for text in texts for part in _list_of(text))


def parse_box(text: str) -> tuple[float, float, float, float]:
    """`x1,y1,x2,y2` in pixels."""
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--box {text}: write x1,y1,x2,y2 in pixels, as in 0,0,640,360") from None
    if not (x1 <= x2 and y1 <= y2):
        raise UsageError(f"--box {text}: its second corner is not right of and below its first")
    return x1, y1, x2, y2


def parse_order(text: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Names of columns joined by commas, `-` before one that descends."""
    names = _list_of(text)
    for name in (each.removeprefix("-") for each in names):
        if name not in columns:
            hint = meant(name, columns, f"there are {', '.join(columns)}")
            raise UsageError(f"--order: there is no column {name!r}; {hint}")
    return tuple(names)


def _halves(text: str) -> tuple[str, str] | None:
    """The two texts of a range of time, either perhaps empty; None where it cannot be told."""
    if text.count("-") == 1:
        first, _, end = text.partition("-")
    elif text.startswith(":") or text.endswith(":"):
        first, end = ("", text[1:]) if text.startswith(":") else (text[:-1], "")
    else:
        parts = text.split(":")
        if len(parts) not in (2, 4, 6):
            return None
        middle = len(parts) // 2
        first, end = ":".join(parts[:middle]), ":".join(parts[middle:])
    return (first, end) if first or end else None


def _list_of(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
