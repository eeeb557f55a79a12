"""What a window says about its picture: a panel in the corner, a notice, help, and a card while there is no picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from yolotrack.model import Pixels

Color: TypeAlias = tuple[int, int, int]
"""BGR."""
Rows: TypeAlias = Sequence[tuple[str, str]]
"""What is said on the left, and what on the right of it."""
Mask: TypeAlias = npt.NDArray[np.uint8]

LIVE: Color = (94, 197, 34)
HELD: Color = (36, 191, 251)
OVER: Color = (175, 163, 156)
INK: Color = (250, 250, 250)
PALE: Color = (190, 185, 180)
PAPER: Color = (32, 24, 18)
OPACITY = 0.86
SMALLEST, LARGEST = (960, 540), (1600, 900)
"""Pictures are scaled to lie between these, so that text has room and a screen has room for them."""
CARD = (960, 540)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is written over a picture."""

    title: str
    state: str
    color: Color
    """Of the state."""
    rows: tuple[tuple[str, str], ...] = ()
    notice: str = ""
    """At the lower edge."""
    help: tuple[tuple[str, str], ...] = ()
    """In the middle."""


def fitted(pixels: Pixels) -> Pixels:
    """A copy of a picture, scaled to a size that a window likes."""
    height, width = pixels.shape[:2]
    scale = max(1.0, min(SMALLEST[0] / width, SMALLEST[1] / height))
    scale = min(scale, LARGEST[0] / width, LARGEST[1] / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    copy: Pixels = pixels.copy() if size == (width, height) else _resized(pixels, size)
    return copy


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def card() -> Pixels:
    """What to write on where there is no picture."""
    pixels = np.empty((CARD[1], CARD[0], 3), np.uint8)
    pixels[:] = PAPER
    return pixels


def write(pixels: Pixels, overlay: Overlay) -> None:
    """Write over a picture, in place; letters grow with it."""
    size = max(15, round(min(pixels.shape[0] / 33, pixels.shape[1] / 58)))
    _panel(pixels, overlay, size)
    if overlay.help:
        _help(pixels, overlay.help, size)
    if overlay.notice:
        _notice(pixels, overlay.notice, size)


def _panel(pixels: Pixels, overlay: Overlay, size: int) -> None:
    step, edge = round(1.45 * size), round(0.9 * size)
    title, state = _text(overlay.title, round(1.2 * size)), _text(overlay.state, size)
    rows = [(_text(left, size), _text(right, size)) for left, right in overlay.rows]
    inner = max([title.shape[1], state.shape[1] + size, *(a.shape[1] + b.shape[1] + size for a, b in rows), 9 * size])
    width, height = inner + 2 * edge, 2 * edge + step * (2 + len(rows)) + (size // 2 if rows else 0)
    left = top = round(0.8 * size)
    _sheet(pixels, left, top, width, height)
    x, y = left + edge, top + edge
    _ink(pixels, title, x, y, INK)
    y += step
    middle = y + state.shape[0] // 2
    cv2.circle(pixels, (x + size // 3, middle), size // 3, overlay.color, cv2.FILLED, cv2.LINE_AA)
    _ink(pixels, state, x + size, y, overlay.color)
    y += step + size // 2
    for said, value in rows:
        _ink(pixels, said, x, y, PALE)
        _ink(pixels, value, x + inner - value.shape[1], y, INK)
        y += step


def _help(pixels: Pixels, rows: Rows, size: int) -> None:
    step, edge = round(1.6 * size), round(1.4 * size)
    drawn = [(_text(key, size), _text(does, size)) for key, does in rows]
    column = max(key.shape[1] for key, _ in drawn) + size
    width = column + max(does.shape[1] for _, does in drawn) + 2 * edge
    height = step * len(rows) + 2 * edge
    left, top = (pixels.shape[1] - width) // 2, (pixels.shape[0] - height) // 2
    _sheet(pixels, left, top, width, height)
    for number, (key, does) in enumerate(drawn):
        y = top + edge + number * step
        _ink(pixels, key, left + edge, y, HELD)
        _ink(pixels, does, left + edge + column, y, INK)


def _notice(pixels: Pixels, notice: str, size: int) -> None:
    text, edge = _text(notice, size), round(0.6 * size)
    width, height = text.shape[1] + 2 * edge, text.shape[0] + 2 * edge
    left, top = round(0.8 * size), pixels.shape[0] - height - round(0.8 * size)
    _sheet(pixels, left, top, width, height)
    _ink(pixels, text, left + edge, top + edge, INK)


def _sheet(pixels: Pixels, left: int, top: int, width: int, height: int) -> None:
    """Darken a part of the picture, so that writing on it can be read."""
    part = pixels[max(top, 0) : top + height, max(left, 0) : left + width]
    paper = np.full_like(part, PAPER)
    cv2.addWeighted(paper, OPACITY, part, 1 - OPACITY, 0, dst=part)


def _ink(pixels: Pixels, text: Mask, x: int, y: int, color: Color) -> None:
    """Print a text; what lies outside the picture is cut off."""
    part = pixels[max(y, 0) : y + text.shape[0], max(x, 0) : x + text.shape[1]]
    strength = text[: part.shape[0], : part.shape[1], None].astype(np.uint16)
    part[:] = ((255 - strength) * part + strength * np.array(color, np.uint16)) // 255


@lru_cache(maxsize=256)
def _text(text: str, size: int) -> Mask:
    """How strong the ink is, 0-255; all texts of one size are equally high."""
    font = _font(size)
    ascent, descent = font.getmetrics()
    image = Image.new("L", (max(1, round(font.getlength(text))), ascent + descent))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    return np.asarray(image)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101  # Pillow's own, in every wheel of it
    return font
