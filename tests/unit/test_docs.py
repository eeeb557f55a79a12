"""The README names every command, every option's home and every setting, with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from yolotrack.cli import app
from yolotrack.config import Settings, setting_fields

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(group: Any, path: str = "yolotrack") -> Iterator[str]:
    """Every command of the command line, as it is typed."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"`{command}\b", README), f"README.md does not name `{command}`"


def test_the_readme_names_no_command_that_is_not_there() -> None:
    groups = {command.rpartition(" ")[0] for command in COMMANDS}
    named = {" ".join(found.split()) for found in re.findall(r"(?m)(?:^|`)(yolotrack(?: [a-z]+){1,2})", README)}

    for text in named:
        known = text in COMMANDS or " ".join(text.split()[:2]) in COMMANDS or text in groups
        assert known, f"README.md names `{text}`, which is no command"


@pytest.mark.parametrize("key", list(setting_fields()))
def test_every_setting_is_in_the_readme_with_its_default(key: str) -> None:
    section, name = key.split(".")
    row = re.search(rf"(?m)^\| `{re.escape(key)}` \| `(?P<default>[^`]*)` \| .+ \|$", README)

    assert row, f"README.md has no row for {key}"
    assert yaml.safe_load(row["default"]) == Settings().model_dump(mode="json")[section][name]


def test_the_readme_names_no_setting_that_is_not_there() -> None:
    assert set(re.findall(r"(?m)^\| `([a-z]+\.[a-z_]+)` \|", README)) == set(setting_fields())


def test_every_target_of_make_that_the_readme_names_is_there() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))

    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets


def test_every_file_that_the_readme_links_is_there() -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / link).exists(), f"README.md links {link}, which is absent"
