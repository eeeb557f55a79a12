"""Which words are taken for slips of others."""

from __future__ import annotations

import pytest

from yolotrack.text import meant, nearest


@pytest.mark.parametrize(
    ("text", "known", "near"),
    [
        ("cart", ("car", "truck"), ["car"]),
        ("cra", ("car", "truck"), ["car"]),
        ("TRUKC", ("car", "Truck"), ["Truck"]),
        ("person", ("spoon", "bus"), []),
        ("bicycel", ("motorcycle", "bicycle"), ["bicycle"]),
        ("gate", ("gate-123", "gate-1", "gate-12345", "gate-12"), ["gate-1", "gate-12", "gate-123"]),
    ],
)
def test_the_nearest(text: str, known: tuple[str, ...], near: list[str]) -> None:
    assert nearest(text, known) == near


def test_a_question_or_what_there_is() -> None:
    assert meant("cra", ("car", "truck"), "there are many") == "did you mean car?"
    assert meant("gate-11", ("gate-12", "gate-1"), "") == "did you mean gate-1 or gate-12?"
    assert meant("gate-11", ("gate-12", "gate-1"), "", most=1) == "did you mean gate-1?"
    assert meant("person", ("spoon",), "there are many") == "there are many"
