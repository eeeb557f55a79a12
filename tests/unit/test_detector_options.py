"""Class names and numbers, and the digest."""

from __future__ import annotations

import pytest

from yolotrack.errors import ModelError
from yolotrack.vision.options import class_ids, settings_digest
from yolotrack.vision.text import reason

NAMES = {0: "person", 1: "bicycle", 2: "car", 9: "traffic light"}


def test_names_and_numbers_mean_the_same() -> None:
    assert class_ids(("car", "0", "Traffic Light", "2"), NAMES) == (0, 2, 9)
    assert class_ids((), NAMES) == ()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no class 'persn'; did you mean person\?"):
        class_ids(("persn",), NAMES)


@pytest.mark.parametrize("text", ["99", "zebra"])
def test_an_unknown_class_is_answered_with_what_there_is(text: str) -> None:
    with pytest.raises(ModelError, match="it knows person, bicycle, car, traffic light"):
        class_ids((text,), NAMES)


def test_the_digest_is_of_values_not_of_their_order() -> None:
    assert settings_digest(conf=0.1, iou=0.7) == settings_digest(iou=0.7, conf=0.1)
    assert settings_digest(conf=0.1, iou=0.7) != settings_digest(conf=0.2, iou=0.7)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("ERROR ❌️ it is broken. Do that instead\nmore", "it is broken"),
        ("\n/a/b.pt: no file", "/a/b.pt: no file"),
        ("", "RuntimeError"),
    ],
)
def test_a_foreign_error_in_one_line(message: str, line: str) -> None:
    assert reason(RuntimeError(message)) == line
