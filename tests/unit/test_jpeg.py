"""Pictures as they travel: what is none is refused by its bytes, before anything large is made of it."""

from __future__ import annotations

import io
import time
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.videos import number_of, picture
from yolotrack.errors import BadPicture
from yolotrack.sizes import MAX_PIXELS
from yolotrack.video.jpeg import decode, encode

GOOD = encode(picture(37), 90)


def claiming(width: int, height: int) -> bytes:
    """A small JPEG whose header says that it is so large."""
    begin = GOOD.index(b"\xff\xc0") + 5
    return GOOD[:begin] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + GOOD[begin + 4 :]


def saved(image: Image.Image, kind: str) -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def test_a_picture_survives_the_round_trip() -> None:
    pixels = decode(GOOD)
    assert pixels.shape == (120, 160, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert number_of(pixels) == 37
    assert float(np.abs(pixels.astype(int) - picture(37)).mean()) < 4


def test_encoding_is_the_same_every_time() -> None:
    assert encode(picture(37), 90) == GOOD


def test_quality_is_a_matter_of_size() -> None:
    assert len(encode(picture(1), 30)) < len(encode(picture(1), 95))


def test_colours_keep_their_places() -> None:
    blue = np.zeros((16, 16, 3), np.uint8)
    blue[:, :, 0] = 200
    assert decode(encode(blue, 95))[8, 8].argmax() == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\0", "not a JPEG"),
        (b"garbage" * 1000, "not a JPEG"),
        (GOOD[:1], "not a JPEG"),
        (GOOD[:2], "JPEG"),
        (GOOD[:20], "JPEG"),
        (GOOD[: len(GOOD) // 2], "cut off"),
        (GOOD[:-2], "cut off"),
        (GOOD[:2] + bytes(500), "not a JPEG"),
        (saved(Image.new("RGB", (8, 8)), "PNG"), "not a JPEG"),
        (saved(Image.new("RGB", (8, 8)), "BMP"), "not a JPEG"),
        (saved(Image.new("P", (8, 8)), "GIF"), "not a JPEG"),
    ],
    ids=["empty", "nul", "garbage", "1", "2", "20", "half", "no end", "zeros", "png", "bmp", "gif"],
)
def test_what_is_no_whole_jpeg_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadPicture, match=said):
        decode(data)


@pytest.mark.parametrize(("width", "height"), [(30000, 30000), (65500, 65500), (9000, 9000), (65500, 1000)])
def test_a_header_that_asks_for_too_much_is_refused_at_once(width: int, height: int) -> None:
    data = claiming(width, height)
    decode(GOOD)  # whatever libraries keep for themselves
    tracemalloc.start()
    begin = time.process_time()
    with pytest.raises(BadPicture, match="more pixels than are allowed"):
        decode(data)
    assert time.process_time() - begin < 1
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_every_mode_of_jpeg_becomes_three_channels() -> None:
    for mode, colour in (("L", 200), ("CMYK", (0, 0, 0, 55)), ("RGB", (200, 200, 200))):
        pixels = decode(saved(Image.new(mode, (24, 16), colour), "JPEG"))
        assert pixels.shape == (16, 24, 3), mode
        assert np.abs(pixels.astype(int) - 200).max() <= 6, mode


def test_progressive_pictures_and_trailing_nuls_are_fine() -> None:
    data = io.BytesIO()
    Image.fromarray(cv2.cvtColor(picture(5), cv2.COLOR_BGR2RGB)).save(data, "JPEG", progressive=True, quality=90)
    assert number_of(decode(data.getvalue() + bytes(7))) == 5


def test_a_flipped_byte_anywhere_is_a_picture_or_refused() -> None:
    dice = np.random.default_rng(3)
    for _ in range(300):
        data = bytearray(GOOD)
        for place in dice.integers(0, len(data), 3):
            data[place] = dice.integers(256)
        try:
            pixels = decode(bytes(data))
        except BadPicture:
            continue
        assert pixels.ndim == 3
        assert pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS


def test_what_is_no_picture_is_not_encoded() -> None:
    with pytest.raises(BadPicture, match="cannot become a JPEG"):
        encode(np.zeros((0, 0, 3), np.uint8), 90)
