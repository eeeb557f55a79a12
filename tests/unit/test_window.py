"""Which keys a window takes for letters."""

from __future__ import annotations

import pytest

from yolotrack.video.window import key_of


@pytest.mark.parametrize(
    ("code", "key"),
    [
        (-1, ""),
        (ord("s"), "s"),
        (ord("?"), "?"),
        (0x1B, "\x1b"),
        (0x100000 | ord("s"), "s"),  # GTK, Num Lock on
        (0xFF53, ""),  # X: right, whose last byte is an S
        (0xFF54, ""),  # down, a T
        (0xFFE1, ""),  # shift
        (0x6D3, ""),  # a letter of another alphabet
        (0x250000, ""),  # Windows: left
        (0xF703, ""),  # macOS: right
    ],
)
def test_only_characters_are_keys(code: int, key: str) -> None:
    assert key_of(code) == key
