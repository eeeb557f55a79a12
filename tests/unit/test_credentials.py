"""Users and passwords of servers: set apart from the URL with any characters, and never shown."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pika
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from yolotrack.cli import common
from yolotrack.config import load_settings, masked
from yolotrack.config.credentials import fill_in
from yolotrack.errors import ConfigError, YolotrackError
from yolotrack.log import LineFormatter, SecretsFilter
from yolotrack.secrets import mask_text, mask_url
from yolotrack.store.opening import open_database

PASSWORDS = [
    "p@ss-w\u00f6rd",
    "a/b/c9",
    "a#b9c",
    "a?b=c9",
    "a:b9c",
    "100%25x",
    "two words9",
    "it's9x",
    'say "x9"',
    "@/#?:%9 '\"",
    "a@b/c#d?e:f9",
    "1234/x9",
    "x@1234",
    "\\back9",
    "${HOME}9",
    "&a=b9",
    "a,b;c9",
    "[x]9",
    "*star9",
    "null9",
    "-9x",
    "tab\t9",
]
SERVERS = [
    "amqp://{}:{}@host:5672/",
    "amqps://{}:{}@a:5671,b,c/vhost?heartbeat=5",
    "postgresql://{}:{}@db/tracks",
    "postgresql+psycopg://{}:{}@db:5432/tracks?sslmode=require",
]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("server", SERVERS)
def test_a_password_of_any_characters_in_a_url_is_masked_whole(server: str, password: str) -> None:
    url = server.format("me", password)

    shown = mask_url(url)

    assert all(part not in shown for part in leftovers(password))
    assert shown in (server.format("me", "***"), f"{url.partition('://')[0]}://***")
    assert all(part not in mask_text(f"cannot use {url}: no, {url!r}.") for part in leftovers(password))


def leftovers(password: str) -> list[str]:
    """Pieces of a password that would tell something."""
    return [password, *(piece for piece in password.replace("/", "@").split("@") if len(piece) > 3)]


@settings(max_examples=200, deadline=None, database=None)
@given(st.sampled_from(SERVERS), st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=12))
def test_what_is_set_apart_arrives_unchanged(server: str, password: str, user: str) -> None:
    if any("\ud800" <= sign <= "\udfff" for sign in password + user):
        return  # no text
    url = fill_in(server.replace("{}:{}@", "guest:guest@"), user, password)

    assert mask_url(url).partition("@")[0].endswith(":***")
    if url.startswith("postgres"):
        parsed = make_url(url)
        assert (parsed.username, parsed.password, parsed.host) == (user, password, "db")
    else:
        parameters = pika.URLParameters(url.replace("a:5671,b,c", "a:5671"))
        assert (parameters.credentials.username, parameters.credentials.password) == (user, password)


@pytest.mark.parametrize("password", PASSWORDS)
def test_settings_take_it_from_the_environment_and_from_a_file(
    password: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(password + "\nsecond line\n")
    monkeypatch.setenv("YOLOTRACK_BROKER__URL", "amqp://rabbitmq:5672/")
    monkeypatch.setenv("YOLOTRACK_BROKER__USER", "yolo@track")
    monkeypatch.setenv("YOLOTRACK_BROKER__PASSWORD", password)
    monkeypatch.setenv("YOLOTRACK_DATABASE__URL", "postgresql://me@db/tracks")
    monkeypatch.setenv("YOLOTRACK_DATABASE__PASSWORD_FILE", str(tmp_path / "secret"))

    loaded = load_settings()

    assert unquote(loaded.broker.url) == f"amqp://yolo@track:{password}@rabbitmq:5672/"
    assert make_url(loaded.database.url).password == password
    for shown in (json.dumps(masked(loaded), ensure_ascii=False), repr(loaded), str(loaded)):
        assert password not in shown and json.dumps(password)[1:-1] not in shown
    assert masked(loaded)["broker"]["url"] == "amqp://yolo%40track:***@rabbitmq:5672/"
    assert masked(loaded)["broker"]["password"] == "***"


def test_a_file_database_takes_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOTRACK_DATABASE__PASSWORD", "hunter2x9")

    assert load_settings().database.url == "sqlite:///yolotrack.db"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "broker.password_file: cannot read {}: No such file or directory"),
        (b"", "broker.password_file: {} is empty; its first line should be the password"),
        (b"\xff\xfe", "broker.password_file: {} is no text"),
    ],
)
def test_a_file_without_a_password_is_refused(content: bytes | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"password_file") as refused:
        load_settings(None, {"broker": {"password_file": str(file)}})

    assert str(refused.value) == problem.format(file)


WRONG = [
    {"broker": {"url": "amqp:/me:hunter2x9@host/"}},
    {"broker": {"url": "me:hunter2x9@host"}},
    {"broker": {"url": "http://me:hunter2x9@host"}},
    {"broker": {"url": ["amqp://me:hunter2x9@host"], "shards": 0}},
    {"broker": {"url": 5, "shards": {"amqp://me:hunter2x9@host": 1}}},
    {"broker": {"amqp://me:hunter2x9@host": 1}},
    {"broker": "amqp://me:hunter2x9@host"},
    {"broker": {"password": ["hunter2x9"]}},
    {"broker": {"password": {"x": "hunter2x9"}}},
    {"broker": {"password": "", "password_file": "hunter2x9"}},
    {"broker": {"password": "hunter2x9", "password_file": "x"}},
    {"database": {"url": "me:hunter2x9@db"}},
    {"database": {"url": "postgresql//me:hunter2x9@db"}},
    {"database": "postgresql://me:hunter2x9@db"},
]


@pytest.mark.parametrize("overrides", WRONG, ids=str)
def test_what_is_said_of_a_wrong_setting_holds_no_secret(overrides: dict[str, Any]) -> None:
    with pytest.raises(YolotrackError) as refused:
        load_settings(None, overrides)

    assert "hunter2x9" not in str(refused.value)


@pytest.mark.parametrize("line", ["password: *hunter2x9", "password: !hunter2x9 x", "password: &hunter2x9 *b"])
def test_a_password_that_yaml_takes_for_a_sign_is_not_repeated(line: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"broker:\n  {line}\n")

    with pytest.raises(ConfigError) as refused:
        load_settings(tmp_path / "c.yaml")

    assert "hunter2x9" not in str(refused.value)


@pytest.mark.parametrize("password", PASSWORDS)
def test_once_loaded_it_is_masked_in_logs_and_tracebacks_in_any_form(password: str) -> None:
    """Drivers repeat passwords decoded, escaped and out of their URL."""
    if len(password) < 4:
        pytest.skip("too short to be told from other text")
    load_settings(None, {"broker": {"user": "me", "password": password}})
    try:
        raise ValueError(f"no login with {password} to amqp://me:{password}@host/")
    except ValueError as error:
        record = logging.makeLogRecord(
            {"name": "test", "msg": "lost %s", "args": (error,), "exc_info": (ValueError, error, None)}
        )

    SecretsFilter().filter(record)

    assert password not in LineFormatter().format(record)


@pytest.mark.parametrize("url", ["postgresql://me:{}@db:port/t", "postgresql://me:{}@db/t", "mysql://me:{}@db/t"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_database_is_named_without_its_password(url: str, password: str) -> None:
    try:
        with closing(open_database(url.format(password), read_only=True)) as database:
            named = database.name
    except YolotrackError as error:
        named = str(error)

    assert all(part not in named for part in leftovers(password))


def test_arguments_that_no_command_takes_are_repeated_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    from yolotrack.cli import app

    for arguments in (["work", "amqp://me:hunter 2x9@host/"], ["work", "--brokr=amqp://me:hunter 2x9@host/"]):
        assert common.exit_code_of(app, arguments) == 2

    assert "2x9" not in capsys.readouterr().err
