"""Users and passwords that are set apart from the URL they belong to: any characters will do there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from yolotrack.config.schema import Credentials, Settings
from yolotrack.errors import ConfigError
from yolotrack.secrets import remember, urls_of

SERVERS = ("database", "broker")
"""Sections that have a URL, and credentials beside it."""


def with_credentials(settings: Settings) -> Settings:
    """The same settings, with `user`, `password` and `password_file` of a server in its URL; all URLs are remembered
    as secrets.

    A SQLite file takes none. `ConfigError` where a password's file cannot be read, or holds none.
    """
    changed = {}
    for name in SERVERS:
        section: Credentials = getattr(settings, name)
        password = _password(name, section)
        if (section.user or password is not None) and not section.url.startswith("sqlite"):
            changed[name] = section.model_copy(update={"url": fill_in(section.url, section.user, password)})
    filled = settings.model_copy(update=changed) if changed else settings
    for name in SERVERS:
        remember(getattr(filled, name).url)
    return filled


def fill_in(url: str, user: str | None, password: str | None) -> str:
    """A URL with another user or password, or both, whatever its hosts are; each of several, as of a cluster."""
    if len(urls := urls_of(url)) > 1:
        return ",".join(fill_in(one, user, password) for one in urls)
    scheme, _, rest = url.partition("://")
    authority = re.match(r"[^/?#]*", rest)
    before = authority.group() if authority else ""
    userinfo, _, hosts = before.rpartition("@")
    old_user, _, old_password = userinfo.partition(":")
    name = old_user if user is None else quote(user, safe="")
    word = old_password if password is None else quote(password, safe="")
    return f"{scheme}://{name}{':' if word else ''}{word}@{hosts}{rest[len(before) :]}"


def _password(name: str, section: Credentials) -> str | None:
    if section.password is not None:
        return section.password.get_secret_value()
    return None if section.password_file is None else _read(f"{name}.password_file", section.password_file)


def _read(key: str, file: Path) -> str:
    """The first line of a file."""
    try:
        password = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise ConfigError(f"{key}: cannot read {file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {file} is no text") from None
    if not password:
        raise ConfigError(f"{key}: {file} is empty; its first line should be the password")
    return password
