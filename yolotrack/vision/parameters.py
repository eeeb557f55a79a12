"""What a tracker is built with: our defaults, the stream's frame rate, and what the user configured, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, TypeAlias

from yolotrack.errors import TrackerError
from yolotrack.text import meant

Kinds: TypeAlias = Mapping[str, Any]
"""The parameters that a tracker has: a type, or a tuple of the texts to choose from."""

_TWO_STAGES = {"track_activation_threshold": 0.4, "high_conf_det_threshold": 0.4}

DEFAULTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "sort": {},
        "bytetrack": _TWO_STAGES,
        "ocsort": {"high_conf_det_threshold": 0.25},
        "botsort": _TWO_STAGES,
        "cbiou": _TWO_STAGES,
    }
)
"""Where ours differ from the package's own; docs/decisions/0002-default-tracker.md says why."""

_USUAL_RATE, _FASTEST_RATE = 30.0, 480.0
_NUMBERS: Mapping[Any, tuple[type, ...]] = {int: (int,), float: (int, float), bool: (bool,)}
_NOT_SETTABLE = {
    "state_estimator_class": "is a class, and every tracker keeps the one that it was published with",
    "enable_cmc": "is not used here: set tracker.camera_motion",
    "cmc_method": "is not used here: camera motion is estimated where frames are published",
    "cmc_downscale": "is not used here: camera motion is estimated where frames are published",
}


def parameters(name: str, given: Mapping[str, Any], rate: Fraction | None, kinds: Kinds) -> dict[str, Any]:
    """Everything tracker `name` is to be built with: plain numbers and texts. `TrackerError` names what is wrong.

    A rate that no camera has (some containers write their clock's instead) counts as unknown: 30.
    """
    for key, value in given.items():
        problem = _problem(name, key, value, kinds)
        if problem:
            raise TrackerError(f"tracker.{name}.{key} {problem}")
    same = {key: float(value) if kinds[key] is float else value for key, value in given.items()}
    merged = {"frame_rate": _plausible(rate), **DEFAULTS[name], **same}
    if "track_activation_threshold" in given and "high_conf_det_threshold" not in given:
        _let_start(merged)
    return merged


def _let_start(merged: dict[str, Any]) -> None:
    """Only boxes above both thresholds start tracks: the one that was not mentioned must not be in the way."""
    high = merged.get("high_conf_det_threshold")
    if high is not None:
        merged["high_conf_det_threshold"] = min(high, merged["track_activation_threshold"])


def _plausible(rate: Fraction | None) -> float:
    return float(rate) if rate is not None and 0 < rate <= _FASTEST_RATE else _USUAL_RATE


def _problem(name: str, key: str, value: Any, kinds: Kinds) -> str:
    """What is wrong with one parameter, or nothing."""
    if key in _NOT_SETTABLE and key in kinds:
        return _NOT_SETTABLE[key]
    if key not in kinds:
        settable = sorted(known for known in kinds if known not in _NOT_SETTABLE)
        return "does not exist; " + meant(key, settable, f"there are {', '.join(settable)}", most=1)
    kind = kinds[key]
    if isinstance(kind, tuple):
        return "" if value in kind else f"must be one of {', '.join(kind)}, not {value!r}"
    if type(value) not in _NUMBERS[kind]:
        return f"must be {kind.__name__}, not {value!r}"
    return _range_problem(key, value)


def _range_problem(key: str, value: float) -> str:
    if not math.isfinite(value):
        return f"must be finite, not {value}"
    lowest = -1.0 if "iou" in key else 0.0  # the signed overlaps (giou, diou, ciou) go below zero
    if key.endswith("threshold") or "threshold_" in key:
        return "" if lowest <= value <= 1.0 else f"must be {lowest:g} to 1, not {value}"
    if key in ("minimum_consecutive_frames", "delta_t") and value < 1:
        return f"must be 1 or more, not {value}"
    return ""
