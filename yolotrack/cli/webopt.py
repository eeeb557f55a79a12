"""`--web [HOST:PORT]`: an option whose value may be left out, which typer does not have."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

NAME = "--web"
ADDRESS = re.compile(r"\d+|\[[^\]]*\](:\d*)?|[^-\s:][^\s:]*:\d*|localhost|\d+(\.\d+){3}")
"""What follows `--web` and looks like this is its value; anything else is an argument of its own."""

Web = Annotated[
    str | None,
    typer.Option(
        NAME,
        metavar="[HOST:PORT]",
        help="A page in the browser; 127.0.0.1:8000 unless told otherwise, port 0 is any that is free.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", help="With --web: who does not know it sees nothing; needed to listen beyond this machine."
    ),
]


class WebCommand(TyperCommand):
    """A command with the option `Web`, empty where it was given without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the empty value where it was left out."""
        return super().parse_args(ctx, completed(args))


def completed(args: list[str]) -> list[str]:
    """Arguments with a value after every bare `--web`."""
    if NAME not in args:
        return args
    place = args.index(NAME) + 1
    given = place < len(args) and ADDRESS.fullmatch(args[place])
    return args if given else [*args[:place], "", *args[place:]]
