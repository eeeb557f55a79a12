"""What a player finds in a video."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av


@dataclass(frozen=True, slots=True)
class Video:
    """What a player finds in a file."""

    codec: str
    pixels: str
    size: tuple[int, int]
    rate: Fraction | None
    times: list[float]
    sound: str | None
    index_first: bool


def played(path: Path) -> Video:
    """Decode a whole video; fails where it does not play."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [frame.time for frame in container.decode(stream)]
        context = stream.codec_context
        audio = container.streams.audio
        head = path.read_bytes()
        return Video(
            context.name,
            context.pix_fmt or "",
            (context.width, context.height),
            stream.average_rate,
            [time for time in times if time is not None],
            audio[0].codec_context.name if audio else None,
            0 < head.find(b"moov") < head.find(b"mdat"),
        )


def pictures_of(path: Path) -> list[Any]:
    """Its pictures, BGR."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
