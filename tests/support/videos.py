"""Small real videos whose pictures say which they are."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from yolotrack.model import Pixels

BITS = 8
TONE = 48_000


def picture(number: int, width: int = 160, height: int = 120) -> Pixels:
    """A picture with its number in black and white blocks along the top, and something that moves below."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    block = width // BITS
    for bit in range(BITS):
        pixels[: height // 3, bit * block : (bit + 1) * block] = 235 if number >> bit & 1 else 20
    cv2.circle(pixels, (number * 3 % width, height * 2 // 3), height // 8, (40, 60, 220), -1)
    return pixels


def number_of(pixels: Pixels) -> int:
    """The number of a picture, however it was compressed or scaled."""
    height, width = pixels.shape[:2]
    block = width // BITS
    means = [
        pixels[height // 10 : height // 4, b * block + block // 4 : b * block + block * 3 // 4].mean()
        for b in range(BITS)
    ]
    return sum(1 << bit for bit, mean in enumerate(means) if mean > 128)


def write_video(
    path: Path,
    pictures: Sequence[Pixels | av.VideoFrame] | int = 50,
    *,
    rate: Fraction | int = 25,
    times: Sequence[int] | None = None,
    tick: Fraction | None = None,
    rotation: tuple[float, bool, bool] | None = None,
    codec: str = "libx264",
    gop: int = 10,
    fmt: str | None = None,
    sound: str | None = None,
    options: dict[str, str] | None = None,
    **stream_options: int,
) -> Path:
    """A video of `pictures`, or of so many numbered ones; `times` in `tick` where the rate is not constant."""
    if isinstance(pictures, int):
        pictures = [picture(number) for number in range(pictures)]
    frames = [_frame(shown) for shown in pictures]
    width, height = frames[0].width, frames[0].height
    tick = tick or 1 / Fraction(rate)
    faststart = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", format=fmt, container_options=faststart) as output:
        video = output.add_stream(codec, rate=Fraction(rate), options=options or {}, time_base=tick)
        video.width, video.height, video.pix_fmt, video.gop_size = width, height, "yuv420p", gop
        for name, value in stream_options.items():
            setattr(video.codec_context, name, value)
        if rotation is not None:
            video.set_display_rotation(*rotation)
        audio = None if sound is None else output.add_stream(sound, rate=TONE)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = (times[number] if times else number), tick
            output.mux(video.encode(frame))
        output.mux(video.encode())
        if audio is not None:
            for packet in _tone(audio, len(pictures) / Fraction(rate)):
                output.mux(packet)
    return path


def write_sound(path: Path, seconds: int = 2, codec: str = "aac") -> Path:
    """A file with nothing but sound."""
    with av.open(str(path), "w") as output:
        for packet in _tone(output.add_stream(codec, rate=TONE), Fraction(seconds)):
            output.mux(packet)
    return path


def _frame(shown: Pixels | av.VideoFrame) -> av.VideoFrame:
    frame = shown if isinstance(shown, av.VideoFrame) else av.VideoFrame.from_ndarray(shown, "bgr24")
    return frame.reformat(format="yuv420p")


def _tone(stream: av.AudioStream, seconds: Fraction) -> list[av.Packet[av.AudioStream]]:
    packets = []
    for number in range(round(seconds * TONE / 1024)):
        wave = 0.3 * np.sin(np.arange(number * 1024, (number + 1) * 1024, dtype=np.float32) / 20)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        frame.pts, frame.sample_rate, frame.time_base = number * 1024, TONE, Fraction(1, TONE)
        packets += stream.encode(frame)
    return packets + stream.encode()
