"""The command line. Only this package imports typer, and nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from yolotrack import __version__
from yolotrack.cli import compile as compiling
from yolotrack.cli import config, db, demo, evaluate, publish, retrack, run, view, work
from yolotrack.cli.common import exit_code_of
from yolotrack.cli.webopt import WebCommand

app = typer.Typer(
    name="yolotrack",
    help="Object tracking on video: annotated videos, and databases of tracks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"yolotrack {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


app.command("run", short_help="Track the objects of one or more videos.")(run.run)
app.command("demo", cls=WebCommand, short_help="See it work on a synthetic street.")(demo.demo)
app.command("publish", short_help="Send a video to workers.")(publish.publish)
app.command("work", short_help="Detect and track for publishers anywhere.")(work.work)
app.command("view", cls=WebCommand, short_help="Watch a stream.")(view.view)
app.command("compile", short_help="Make an annotated video of a run.")(compiling.compile_)
app.command("retrack", short_help="Track a run again without detecting again.")(retrack.retrack)
app.command("eval", short_help="Score tracks against ground truth.")(evaluate.evaluate)
app.add_typer(db.app, name="db")
app.add_typer(config.app, name="config")


def main() -> None:
    """The console script."""
    sys.exit(exit_code_of(app, sys.argv[1:]))
