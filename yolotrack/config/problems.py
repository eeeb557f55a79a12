"""What is said about a setting that is wrong: where it stands, which it is, why, and what was perhaps meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from pydantic_core import ErrorDetails

from yolotrack.config.schema import ENV_PREFIX, Settings, setting_fields
from yolotrack.secrets import MASK, mask_url
from yolotrack.text import nearest

Location: TypeAlias = Sequence[int | str]
"""Section, key, and what is within a key's value."""

_OPTIONS = {
    "database.url": "--db",
    "log.level": "--log-level",
    "model.weights": "--model",
    "tracker.name": "--tracker",
}
_MOST_INPUT = 60
_LIKENESS = 0.78  # one slip in a short key is within it, another key of the section is not


def dotted(location: Location) -> str:
    """`section.key`; what is no key at all but a URL is masked."""
    return ".".join(mask_url(str(part)) for part in location)


def option(location: Location) -> str:
    """The option of the command line that sets the key."""
    key = dotted(location[:2])
    return _OPTIONS.get(key) or "--" + key.rpartition(".")[2].replace("_", "-")


def variable(location: Location) -> str:
    """The environment variable that sets the key."""
    return ENV_PREFIX + "__".join(str(part).upper() for part in location)


def reason(error: ErrorDetails) -> str:
    """Why pydantic refused a value, in our words, and the value with secrets masked."""
    if error["type"] == "extra_forbidden":
        known = setting_fields() if len(error["loc"]) > 1 else Settings.model_fields
        return "unknown key" + _hint(dotted(error["loc"]), list(known))
    value = _shown(error["loc"], error["input"])
    if len(value) > _MOST_INPUT:
        value = value[:_MOST_INPUT] + "..."
    return f"{_expected(error)}, not {value}"


def _shown(location: Location, value: object) -> str:
    """A wrong value, if it may be shown: not a password, nor a URL of a server that is none."""
    if "password" in location:
        return MASK
    text = repr(value)
    if isinstance(value, list | dict) and re.search("://|@|passw", text):
        return f"a {type(value).__name__}"
    return MASK if "url" in location and "://" not in text and set(text) & set("@:") else mask_url(text)


def unknown_variable(name: str) -> str:
    """The line about an environment variable with our prefix that is no setting."""
    known = [variable(key.split("."))[len(ENV_PREFIX) :] for key in setting_fields()]
    return f"{name}: unknown setting{_hint(name.upper()[len(ENV_PREFIX) :], known, ENV_PREFIX)}"


def _expected(error: ErrorDetails) -> str:
    if error["type"] == "model_type":
        return "should be a section with keys below it"
    if error["type"] == "string_type" and "password" in error["loc"]:
        return "should be a text, in quotes"
    if error["type"] == "string_pattern_mismatch":
        description = setting_fields()[dotted(error["loc"])].description or ""
        return f"should be {description.partition(';')[0]}"
    return re.sub(r"^(Value error, |Input |String )", "", error["msg"])


def _hint(name: str, known: list[str], prefix: str = "") -> str:
    near = nearest(name, known, most=1, likeness=_LIKENESS)
    return f"; did you mean {prefix}{near[0]}?" if near else "; `yolotrack config show` lists the known ones"
