"""Reads settings from where users put them, and says where each wrong one stands."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from yolotrack.config.credentials import with_credentials
from yolotrack.config.problems import Location, dotted, option, reason, unknown_variable, variable
from yolotrack.config.schema import ENV_PREFIX, Settings, setting_fields
from yolotrack.errors import ConfigError, UsageError
from yolotrack.secrets import MASK

CONFIG_FILE = Path("config.yaml")
"""Read from the working directory where no other file is named."""

NOT_SETTINGS = frozenset({"YOLOTRACK_REAL_DATA"})
"""Variables with our prefix that are no settings: where tests and benchmarks find real data."""


def load_settings(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings from defaults, `file` (or ./config.yaml where there is one), the environment and `overrides`.

    `overrides` are nested, as in `{"model": {"conf": 0.3}}`, and come from options of the command line.
    A setting that is unknown, of the wrong type or out of range raises `ConfigError`, one line for each, that
    names the file, variable or option, the key and why; `UsageError` where all of them are options.
    """
    if file is None and CONFIG_FILE.exists():
        file = CONFIG_FILE
    layers = [_Layer(dict(overrides or {}), option), _environment()]
    return with_credentials(_validated([*layers, *([_file_layer(file)] if file else [])], _unknown_variables()))


def load_file(file: Path) -> Settings:
    """Settings from defaults and `file` alone; `ConfigError` as `load_settings`."""
    return _validated([_file_layer(file)], [])


@dataclass(frozen=True, slots=True)
class _Layer:
    """The values of one place, and how the user knows each of them there."""

    values: dict[str, Any]
    label: Callable[[Location], str]

    def has(self, location: Location) -> bool:
        values: Any = self.values
        for part in location[:2]:
            if not isinstance(values, Mapping) or part not in values:
                return False
            values = values[part]
        return True


def _validated(layers: list[_Layer], problems: list[str]) -> Settings:
    """The first of `layers` wins. `problems` are lines that are known to be wrong already."""
    values: dict[str, Any] = {}
    for layer in reversed(layers):
        values = _merged(values, layer.values)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        found = [(item, _owner(layers, item["loc"])) for item in error.errors(include_url=False)]
        lines = [f"{owner.label(item['loc'])}: {dotted(item['loc'])}: {reason(item)}" for item, owner in found]
        by_options = not problems and all(owner.label is option for _, owner in found)
        raise (UsageError if by_options else ConfigError)("\n".join([*problems, *lines])) from None
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _owner(layers: list[_Layer], location: Location) -> _Layer:
    return next((layer for layer in layers if layer.has(location)), layers[-1])


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(below[key], value) if isinstance(value, dict) and isinstance(below.get(key), dict) else value
        for key, value in above.items()
    }
    return {**below, **both}


def _environment() -> _Layer:
    values = EnvSettingsSource(Settings)()
    known = {section: _settings_only(section, part) for section, part in values.items()}
    return _Layer(known, variable)


def _settings_only(section: str, values: Any) -> dict[str, Any]:
    """Without what `_unknown_variables` complains about by name."""
    if not isinstance(values, dict):
        return {}
    fields = {key: setting_fields().get(f"{section}.{key}") for key in values}
    return {
        key: values[key]
        for key, field in fields.items()
        if field is not None and (_takes_parameters(field) or not isinstance(values[key], dict))
    }


def _unknown_variables() -> list[str]:
    ours = sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX))
    return [unknown_variable(name) for name in ours if name not in NOT_SETTINGS and not _is_known(name)]


def _is_known(name: str) -> bool:
    section, _, key = name[len(ENV_PREFIX) :].lower().partition("__")
    key, _, parameter = key.partition("__")
    field = setting_fields().get(f"{section}.{key}")
    return field is not None and (not parameter or _takes_parameters(field))


def _takes_parameters(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _file_layer(file: Path) -> _Layer:
    return _Layer(_read(file), lambda _: str(file))


def _read(file: Path) -> dict[str, Any]:
    """Sections of a YAML file; one without keys counts as empty, since all of its keys may be comments."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid YAML: {_yaml_problem(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: should hold sections such as `model:`, not a {type(content).__name__}")
    return {str(name): {} if part is None else _keys_as_text(part) for name, part in content.items()}


def _keys_as_text(part: object) -> object:
    return {str(key): value for key, value in part.items()} if isinstance(part, dict) else part


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    # a password without quotes that begins with one of YAML's signs
    return where + re.sub(
        r"\b(alias|anchor|tag|constructor) .*", rf"\1 {MASK}; texts that begin so need quotes", problem
    )
