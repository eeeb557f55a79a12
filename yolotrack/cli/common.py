"""What every command shares: options, settings and logging out of them, and how a failure reaches the user."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolotrack import log
from yolotrack.errors import YolotrackError
from yolotrack.secrets import mask_text, mask_url

if TYPE_CHECKING:
    from yolotrack.config import Settings

PLAIN_SECONDS = 5.0
"""Between two lines of progress where there is no terminal."""
FAILED = 1
INTERRUPTED = 130

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file; default: ./config.yaml where there is one."),
]
DbOption = Annotated[str | None, typer.Option("--db", metavar="URL", help="Database, as in sqlite:///tracks.db.")]
LogLevelOption = Annotated[
    str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results and problems.")]


def settings_from(
    config: Path | None, db: str | None, log_level: str | None, *, chatty: bool = False, **sections: dict[str, Any]
) -> Settings:
    """The settings in effect for a command, with logging set up by them.

    A `chatty` command, one that runs unwatched, logs events unless it was told what to log. `sections` hold the
    options that the user gave, as in `model={"conf": 0.3}`. Errors are those of `load_settings`.
    """
    from yolotrack.config import load_settings

    overrides = dict(sections)
    if db is not None:
        overrides["database"] = {"url": db}
    if log_level is not None:
        overrides["log"] = {"level": log_level}
    settings = load_settings(config, overrides)
    untold = "level" not in settings.log.model_fields_set
    log.configure("info" if chatty and untold else settings.log.level)
    return settings


def masked_database(settings: Settings) -> str:
    """Where tracks are kept, fit for printing."""
    return mask_url(settings.database.url)


def tell_failed(stream: str, failed: int, frames: int, reason: str) -> None:
    """Say on standard error how many frames of a run failed, and why the first of them did."""
    print(mask_text(f"error: {stream}: {failed} of {frames} frames failed, the first: {reason}"), file=sys.stderr)


def exit_code_of(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run a command line; every failure is told on standard error and becomes an exit code, none gets through.

    0 done, 1 failed, 2 usage, 130 interrupted. Tracebacks are shown only under --log-level debug.
    """
    try:
        code = app(list(arguments), prog_name="yolotrack", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return FAILED
    except typer.TyperException as error:
        return _told_usage(error)
    except YolotrackError as error:
        return _told(str(error), error.exit_code)
    except Exception as error:
        return _told(_unforeseen(error), FAILED)


def _told(message: str, code: int) -> int:
    for line in mask_text(message).splitlines() or ["failed"]:
        print(f"error: {line}", file=sys.stderr)
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        print(mask_text(traceback.format_exc()), end="", file=sys.stderr)
    return code


def _told_usage(error: typer.TyperException) -> int:
    message = error.format_message()
    if message.startswith("Usage:"):  # a group without a command: its help is the message
        print(message, file=sys.stderr)
        return error.exit_code
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context else ""
    return _told(" ".join(message.split()).rstrip(".") + hint, error.exit_code)


def _unforeseen(error: Exception) -> str:
    """One line about an error that nobody translated."""
    what = " ".join(f"{type(error).__name__}: {error}".split()) if str(error) else type(error).__name__
    if isinstance(error, MemoryError):
        what = "out of memory"
    elif isinstance(error, OSError) and error.strerror:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{what}; run again with --log-level debug to see where"


def _forget_stdout() -> None:
    """Nobody reads standard output any more: keep the interpreter from complaining about it on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
