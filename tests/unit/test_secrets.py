"""What is masked in URLs and in texts with URLs, and what stays."""

from __future__ import annotations

import logging

import pytest

from yolotrack import log
from yolotrack.secrets import mask_text, mask_url


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql+psycopg://me:secret@db:5432/t", "postgresql+psycopg://me:***@db:5432/t"),
        ("rtsp://admin:p@ss@10.0.0.1/live", "rtsp://***@10.0.0.1/live"),
        ("rtsp://admin:1234@10.0.0.1/live", "rtsp://***@10.0.0.1/live"),
        ("amqp://:secret@host/", "amqp://:***@host/"),
        ("postgresql://me:a/b#c?d@db/t", "postgresql://me:***@db/t"),
        ("postgresql://me:two words@db/t", "postgresql://me:***@db/t"),
        ("https://host/live?token=abc&channel=1", "https://host/live?token=***&channel=1"),
        ("https://host/live?x=1&Api_Key=abc#end", "https://host/live?***&Api_Key=***#***"),
        ("postgresql://db/t?user=me&password=abc", "postgresql://db/t?user=me&password=***"),
        ("https://host/live?key=abc&monkey=1", "https://host/live?key=***&***"),
    ],
)
def test_secrets_of_a_url_are_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///yolotrack.db",
        "sqlite:////home/me/a:b@c.db",
        "http://host:8080/live?channel=1",
        "postgresql://me@host/tracks?sslmode=require&application_name=a",
        "amqp://me@a:5671,b,[::1]:5672/vhost?heartbeat=5",
        "video.mp4",
        "module:factory",
        "C:\\videos\\a.mp4",
    ],
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert mask_url(text) == mask_text(text) == text


def test_urls_within_a_text_are_masked_each_by_itself() -> None:
    text = "cannot open 'rtsp://a:one@h/1' nor rtsp://b:two@h/2?token=three and mail root@localhost"

    assert mask_text(text) == "cannot open 'rtsp://***@h/1' nor rtsp://***@h/2?token=*** and mail root@localhost"


def test_a_log_line_holds_no_secret_and_is_one_line() -> None:
    record = logging.makeLogRecord(
        {
            "msg": "lost %s\nagain",
            "args": ("amqp://me:secret@h/",),
            "name": "yolotrack.test",
            "url": "rtsp://a:secret@h/",
        }
    )

    log.SecretsFilter().filter(record)
    line = log.LineFormatter().format(record)

    assert line.endswith("yolotrack.test lost amqp://me:***@h/ again url=rtsp://***@h/")
    assert "secret" not in line


def test_a_logged_error_is_named_without_its_secret() -> None:
    try:
        raise OSError("no answer from amqp://me:secret@h/")
    except OSError as error:
        record = logging.makeLogRecord(
            {"name": "yolotrack.test", "msg": "lost", "exc_info": (OSError, error, error.__traceback__)}
        )

    assert log.LineFormatter().format(record).endswith('lost error="OSError: no answer from amqp://me:***@h/"')
