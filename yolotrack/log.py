"""Logging: one line per event on standard error, as `time level logger message key=value ...`, secrets masked."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import datetime, timezone

from yolotrack.secrets import mask_text

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class SecretsFilter(logging.Filter):
    """Masks the secrets of URLs in a record's message and extra fields; lets every record through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite `record` in place."""
        record.msg, record.args = mask_text(record.getMessage()), None
        for name, value in vars(record).items():
            if name not in _STANDARD and not isinstance(value, (int, float)):
                setattr(record, name, mask_text(str(value)))
        return True


class LineFormatter(logging.Formatter):
    """Formats a record as one line; what was passed as `extra` follows as `key=value`.

    An exception is named at the end of its line; its traceback follows only while the logger is set to debug.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        fields = {k: v for k, v in vars(record).items() if k not in _STANDARD}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            fields["error"] = mask_text(f"{type(error).__name__}: {error}")
        words = [time, record.levelname.lower(), record.name, _one_line(record.getMessage())]
        line = " ".join(words + [f"{name}={_quoted(value)}" for name, value in fields.items()])
        return line + _trace(error) if logging.getLogger().isEnabledFor(logging.DEBUG) else line


def configure(level: str) -> None:
    """Log `level` (debug, info, warning, error) and above to standard error. Called again: only the level changes."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    if not any(isinstance(handler.formatter, LineFormatter) for handler in root.handlers):
        root.addHandler(_handler())


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    handler.addFilter(SecretsFilter())
    return handler


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and not set(text) & set(' "=\n\t') else json.dumps(text, ensure_ascii=False)


def _trace(error: BaseException | None) -> str:
    return "\n" + mask_text("".join(traceback.format_exception(error)).rstrip()) if error else ""
