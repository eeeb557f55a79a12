"""`yolotrack config`: what the settings are, and whether a file of them is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from yolotrack.cli import common

app = typer.Typer(help="Show and check settings.", no_args_is_help=True)


@app.command("show")
def show(
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
) -> None:
    """Print the settings in effect as YAML, passwords masked."""
    import yaml

    from yolotrack.config import masked

    values = masked(common.settings_from(config, db, log_level))
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        print(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), end="")


@app.command("validate")
def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file like config.yaml.")],
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Check one file by itself: exit 0 when every setting in it is right, 1 otherwise."""
    from yolotrack.config import load_file

    load_file(file)
    if as_json:
        print(json.dumps({"file": str(file), "valid": True}))
    elif not quiet:
        print(f"{file}: valid")
