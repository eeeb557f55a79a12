"""A strip of blocks along the top of a picture that says which scene and which frame it shows, after any JPEG."""

from __future__ import annotations

import numpy as np

from yolotrack.model import Pixels

SCENE_BITS, FRAME_BITS, CHECK_BITS = 4, 12, 4
BITS = SCENE_BITS + FRAME_BITS + CHECK_BITS
HEIGHT = 16


def stamp(pixels: Pixels, scene: int, frame: int) -> Pixels:
    """A copy of the picture with its strip."""
    stamped = pixels.copy()
    word = scene << FRAME_BITS | frame
    word = word << CHECK_BITS | _check(word)
    block = pixels.shape[1] // BITS
    for bit in range(BITS):
        stamped[:HEIGHT, bit * block : (bit + 1) * block] = 235 if word >> bit & 1 else 20
    return stamped


def read_stamp(pixels: Pixels) -> tuple[int, int]:
    """Scene and frame; `ValueError` where there is no strip, or one that does not hold together."""
    block = pixels.shape[1] // BITS
    places = [(bit * block + block // 4, bit * block + 3 * block // 4) for bit in range(BITS)]
    means = [float(np.mean(pixels[HEIGHT // 4 : 3 * HEIGHT // 4, left:right])) for left, right in places]
    word = sum(1 << bit for bit, mean in enumerate(means) if mean > 128)
    word, check = word >> CHECK_BITS, word & (1 << CHECK_BITS) - 1
    if check != _check(word):
        raise ValueError("the strip of this picture is not readable")
    return word >> FRAME_BITS, word & (1 << FRAME_BITS) - 1


def _check(word: int) -> int:
    """So that black, white and a strip with a wrong bit are no strips."""
    return (word * 0x9E3779B1 >> 7 & (1 << CHECK_BITS) - 1) ^ 0b1010
