"""How large a picture may be: one limit for every source, every message and every decoder."""

from __future__ import annotations

MAX_SIDE = 32_768
"""Pixels."""
MAX_PIXELS = 2**26
"""Width times height: 8192x8192, twice 8K. In memory a pixel takes three bytes, and some pictures wait in queues."""
MAX_JPEG_BYTES = 15 * 2**20
"""Of a picture that travels: RabbitMQ 4 takes messages of 16 MiB."""


def too_large(width: int, height: int) -> bool:
    """Whether pictures of that size are refused."""
    return max(width, height) > MAX_SIDE or width * height > MAX_PIXELS


def size_refusal(width: int, height: int) -> str:
    """What to tell of pictures that are too large."""
    return (
        f"pictures of {width}x{height} are too large; scale them down to {MAX_PIXELS // 10**6} million pixels at most, "
        f"{MAX_SIDE} a side"
    )
