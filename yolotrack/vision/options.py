"""What a detector is asked to find, and the digest that says which detector would find the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yolotrack.errors import ModelError
from yolotrack.text import meant


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """Size of the input and thresholds, named as in ultralytics."""

    imgsz: int = 640
    """Longer side of the model's input in pixels; rounded up to the model's stride."""
    conf: float = 0.1
    """Boxes at or below this confidence go."""
    iou: float = 0.7
    """Of two boxes of one class that overlap by more, the weaker goes."""
    max_det: int = 300
    """Most boxes per picture."""
    classes: tuple[str, ...] = ()
    """Names or numbers of the classes to keep; empty keeps all."""


def class_ids(wanted: Sequence[str], names: Mapping[int, str]) -> tuple[int, ...]:
    """The numbers of the wanted classes, ascending; empty when nothing is asked. `ModelError` names the nearest."""
    by_name = {name.casefold(): number for number, name in names.items()}
    return tuple(sorted({_class_id(text.strip(), by_name, names) for text in wanted}))


def _class_id(text: str, by_name: Mapping[str, int], names: Mapping[int, str]) -> int:
    if text.casefold() in by_name:
        return by_name[text.casefold()]
    if text.isdecimal() and int(text) in names:
        return int(text)
    hint = meant(text, names.values(), f"it knows {_some(list(names.values()))}")
    raise ModelError(f"the model knows no class {text!r}; {hint}")


def _some(names: Sequence[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def settings_digest(**settings: object) -> str:
    """32 hexadecimal digits over everything that decides which boxes are found."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]
