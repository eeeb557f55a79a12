"""Masking of what nobody should read over a shoulder or in a log: passwords and tokens within URLs."""

from __future__ import annotations

import re

MASK = "***"

_USER = r"(?P<user>://[^\s:/?#@]*:)"
_NO_PORT = r"(?!\d{1,5}(?:[/?#]|$))"
# A password with `/`, `?` or `#` in it is no proper URL, but some libraries take it: rather mask too much.
_PASSWORD_OF_URL = re.compile(rf"{_USER}{_NO_PORT}(?:[^/?#]*@|.*@)", re.DOTALL)
_PASSWORD_IN_TEXT = re.compile(rf"{_USER}{_NO_PORT}(?:[^\s/?#]*@|\S*@)")
_PARAMETER = re.compile(
    r"(?P<name>[?&;](?:[\w.-]*(?:password|passwd|token|secret|signature|credential|api-?_?key)[\w.-]*"
    r"|key|pass|pwd|sig|auth)=)[^&;#\s\"'<>]+",
    re.IGNORECASE,
)


def mask_url(text: str) -> str:
    """`text`, one URL, with its password and secret query parameters replaced by `***`; the user's name stays.

    What is no URL comes back as it is. Never raises.
    """
    return _mask(text, _PASSWORD_OF_URL)


def mask_text(text: str) -> str:
    """`text` with every URL within it masked as `mask_url` does, where URLs end at white space."""
    return _mask(text, _PASSWORD_IN_TEXT)


def _mask(text: str, password: re.Pattern[str]) -> str:
    if "://" not in text:
        return text
    return _PARAMETER.sub(rf"\g<name>{MASK}", password.sub(rf"\g<user>{MASK}@", text))
