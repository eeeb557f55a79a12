"""A look at a file from a stranger, before anything else touches it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import av
import av.error

from yolotrack.errors import SourceError

FORMATS = ("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "ogg", "asf", "gif", "ivf", "h264", "hevc", "m4v")
"""Containers that hold their own pictures. Others, such as playlists and concat scripts, make FFmpeg read what they
name: other files of this machine, or its network."""
MAX_PIXELS = 3840 * 2160
"""Of one picture: a few kilobytes can hold a picture that fills the memory."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a container says of its largest pictures; `seconds` is None where it does not say."""

    width: int
    height: int
    seconds: float | None


def probe(path: Path, name: str) -> Probed:
    """What that file holds, as its container says. `name` is what the user calls it.

    `SourceError` in one line where it is no video of a kind in `FORMATS`, or pictures of any of its streams are larger
    than `MAX_PIXELS`. FFmpeg takes the same file for the same kind again, so what passed here is safe to open. But a
    size that changes on the way is not seen.
    """
    try:
        with av.open(f"file:{path}", options={"format_whitelist": ",".join(FORMATS)}) as container:
            if not container.streams.video:
                raise SourceError(f"{name} holds no pictures; give a video")
            sizes = [(video.width, video.height) for video in container.streams.video if video.codec_context]
            width, height = max(sizes, key=prod, default=(0, 0))
            seconds = container.duration / av.time_base if container.duration else None
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{name} is no video that plays, or not of a kind that is accepted here") from error
    if width * height > MAX_PIXELS:
        raise SourceError(f"{name} has pictures of {width}x{height}, more than are accepted here; scale it down")
    return Probed(width, height, seconds)
