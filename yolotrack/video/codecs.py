"""How pictures may be coded: the encoders, and what each calls quality and speed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from yolotrack.errors import OutputError

if TYPE_CHECKING:
    from yolotrack.config import OutputSettings

MOST_THREADS = 8
BLOCK = 64
"""Side of the largest block that HEVC and AV1 code at once, pixels."""
_SVT_PRESETS = {
    "ultrafast": "12",
    "superfast": "10",
    "veryfast": "8",
    "faster": "7",
    "fast": "6",
    "medium": "5",
    "slow": "4",
}


@dataclass(frozen=True, slots=True)
class Codec:
    """One kind of video and who encodes it."""

    encoder: str
    """As FFmpeg calls it."""
    crf: int
    """Constant quality where the user wants none in particular. On annotated streets these three came within 0.002
    of one SSIM, and each was smaller than the one before it."""
    suffixes: tuple[str, ...]
    """Kinds of files that can hold it."""
    smallest: int = 2
    """Side of a picture made even, pixels."""
    narrowest: int = 2
    """The same, of a picture whose longer side has more than `BLOCK`."""
    tag: str = ""
    """What MP4 and MOV call it, where that is not what FFmpeg would choose."""
    presets: dict[str, str] = field(default_factory=dict)
    """The encoder's names for x264's, where they differ."""
    options: dict[str, str] = field(default_factory=dict)


CODECS = {
    "h264": Codec("libx264", 23, (".mp4", ".mov", ".mkv")),
    # Apple plays HEVC under this name alone. The encoder is told to speak of errors only. Pictures below its largest
    # block corrupted its memory: seen at 34x20 and 48x24 with x265 4.1, at none of 180 sizes from 64x64 on.
    "hevc": Codec(
        "libx265",
        26,
        (".mp4", ".mov", ".mkv"),
        smallest=64,
        tag="hvc1",
        options={"x265-params": "log-level=error"},
    ),
    # SVT-AV1 4.0 never ended at any of 50 sizes with a side of 24 or less and one above 64; at 26 and 66 it did.
    "av1": Codec("libsvtav1", 38, (".mp4", ".mkv"), smallest=4, narrowest=26, presets=_SVT_PRESETS),
}


def check_codec(name: str, suffix: str, width: int, height: int) -> None:
    """`OutputError` where a kind of file cannot hold it, or this FFmpeg cannot encode it, or not at that size."""
    codec = CODECS[name]
    if suffix not in codec.suffixes:
        raise OutputError(f"a {suffix} file cannot hold {name}; end its name in one of {', '.join(codec.suffixes)}")
    if not _has(codec):
        others = ", ".join(other for other, its in CODECS.items() if _has(its))
        raise OutputError(f"this FFmpeg has no {codec.encoder} to write {name} with; choose another --codec: {others}")
    short, long = sorted((width + width % 2, height + height % 2))
    least = codec.smallest if long <= BLOCK else max(codec.smallest, codec.narrowest)
    if short < least:
        raise OutputError(f"{name} needs {least}x{least} pixels at least, and the video would have {width}x{height}")


def add_video(
    container: OutputContainer,
    settings: OutputSettings,
    *,
    suffix: str,
    width: int,
    height: int,
    rate: Fraction,
    tick: Fraction,
) -> VideoStream:
    """A video track of the codec that the settings name, yuv420p of even sides, constant quality."""
    codec = CODECS[settings.codec]
    options = {
        "preset": codec.presets.get(settings.preset, settings.preset),
        "crf": str(codec.crf if settings.crf is None else settings.crf),
        **codec.options,
    }
    os.environ.setdefault("SVT_LOG", "1")  # the only way to have SVT-AV1 speak of errors only
    stream = cast(VideoStream, container.add_stream(codec.encoder, rate=rate, options=options, time_base=tick))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    _describe(stream.codec_context, codec.tag if suffix != ".mkv" else "")
    return stream


def _describe(context: VideoCodecContext, tag: str) -> None:
    if tag:
        context.codec_tag = tag
    context.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
    # BT.601, limited range: what the conversion gives, and what readers without colour management assume.
    context.colorspace, context.color_range = 5, 1
    context.color_primaries, context.color_trc = 5, 6


def _has(codec: Codec) -> bool:
    try:
        av.Codec(codec.encoder, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True
