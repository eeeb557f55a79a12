"""Colours are where they belong, at every size, in every kind of file that is written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.support.colours import coloured, planes_meant, planes_of, psnr, worst_psnr
from yolotrack.config import OutputSettings, SourceSettings
from yolotrack.video.fit import even
from yolotrack.video.gif import open_gif
from yolotrack.video.planes import bgra, yuv420p
from yolotrack.video.sink import open_sink
from yolotrack.video.source import open_source

LARGEST = 66
REAL = [
    (426, 240), (480, 270), (640, 362), (642, 362), (720, 405), (854, 480),
    (1000, 562), (1080, 1350), (1280, 534), (1366, 768), (1440, 810), (1920, 810), (1920, 1080),
]  # fmt: skip
SMALLEST = {"h264": 1, "hevc": 63, "av1": 3}
NARROWEST = {"h264": 1, "hevc": 63, "av1": 25}
"""The same, where the other side is above 64."""
PICTURES = 2


def sizes_of(smallest: int) -> list[tuple[int, int]]:
    """Every width and every height up to `LARGEST`, or 16 more than the smallest; each is paired with another."""
    sides = range(smallest, max(LARGEST, smallest + 16) + 1)
    return [(side, sides[number * 29 % len(sides)]) for number, side in enumerate(sides)]


def sizes_for(codec: str) -> list[tuple[int, int]]:
    """Those of `sizes_of` that the codec takes, and some real ones."""
    sizes = sizes_of(SMALLEST[codec])
    return [size for size in sizes if max(size) <= 64 or min(size) >= NARROWEST[codec]] + REAL[:4]


@pytest.mark.parametrize("remainder", range(8))
def test_planes_hold_their_own_rows_at_every_size(remainder: int) -> None:
    for height in range(1 + remainder, LARGEST + 1, 8):
        for width in range(1, LARGEST + 1):
            pixels = coloured(width, height)
            assert worst_psnr(planes_of(yuv420p(pixels)), planes_meant(pixels)) > 50, (width, height)
            assert np.array_equal(bgra(pixels).to_ndarray()[:, :, :3], pixels), (width, height)


@pytest.mark.parametrize("size", REAL)
def test_planes_hold_their_own_rows_at_real_sizes(size: tuple[int, int]) -> None:
    pixels = coloured(*size)
    assert worst_psnr(planes_of(yuv420p(pixels)), planes_meant(pixels)) > 50


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("hevc", ".mov"), ("av1", ".mp4")])
def test_a_video_has_its_colours(tmp_path: Path, codec: str, suffix: str) -> None:
    settings = OutputSettings.model_validate({"codec": codec, "preset": "ultrafast", "crf": 4})
    path = tmp_path / f"out{suffix}"
    for size in sizes_for(codec):
        pictures = [coloured(*size, turn=0.05 * number) for number in range(PICTURES)]
        sink = open_sink(path, width=size[0], height=size[1], rate=Fraction(25), settings=settings, overwrite=True)
        for number, pixels in enumerate(pictures):
            sink.write(pixels, number / 25)
        sink.close()

        with av.open(str(path)) as file:
            found = [planes_of(frame) for frame in file.decode(video=0)]
        for planes, pixels in zip(found, pictures, strict=True):
            assert worst_psnr(planes, planes_meant(pixels)) > 30, size
        with open_source(str(path), SourceSettings()) as source:
            for picture, pixels in zip(source, pictures, strict=True):
                assert psnr(picture.pixels, even(pixels)) > 25, size


def test_a_gif_has_its_colours(tmp_path: Path) -> None:
    for size in [*sizes_of(1), *REAL[:4]]:
        sink = open_gif(tmp_path / "out.gif", width=size[0], height=size[1], overwrite=True)
        sink.write(coloured(*size), 0.0)
        sink.close()

        with Image.open(tmp_path / "out.gif") as image:
            assert psnr(np.asarray(image.convert("RGB")), coloured(*size)[:, :, ::-1]) > 28, size
