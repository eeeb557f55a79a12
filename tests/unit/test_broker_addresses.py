"""One broker URL with several hosts, several URLs: each host becomes an address, and no password is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from yolotrack.broker.rabbitmq.addresses import parse
from yolotrack.config import load_settings
from yolotrack.config.credentials import fill_in
from yolotrack.errors import BrokerError, ConfigError
from yolotrack.secrets import mask_url


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("amqp://u:p@a/", ["a:5672"]),
        ("amqps://u:p@a/", ["a:5671"]),
        ("AMQP://u:p@a/", ["a:5672"]),
        ("amqp://a", ["a:5672"]),
        ("amqp:///", ["localhost:5672"]),
        ("amqp://u:p@a,b,c/", ["a:5672", "b:5672", "c:5672"]),
        ("amqp://u:p@a:5672,b:5673, c /v", ["a:5672", "b:5673", "c:5672"]),
        ("amqps://u:p@a,b:1/?heartbeat=5", ["a:5671", "b:1"]),
        ("amqp://u:p@[::1],[fe80::1]:5673,127.0.0.1/", ["[::1]:5672", "[fe80::1]:5673", "127.0.0.1:5672"]),
        ("amqp://u:p@a/,amqps://u:p@b/", ["a:5672", "b:5671"]),
        ("amqp://u:p@a,b/ , amqp://u:p@c:7/", ["a:5672", "b:5672", "c:7"]),
    ],
)
def test_every_host_becomes_an_address(url: str, addresses: list[str]) -> None:
    assert [str(address) for address in parse(url)] == addresses


def test_user_password_vhost_and_parameters_hold_for_every_host() -> None:
    for address in parse("amqps://me:p%40%2F%23@a,b/%2Fhall?heartbeat=7&socket_timeout=2"):
        assert (address.user, address.parameters.credentials.password) == ("me", "p@/#")
        assert address.parameters.virtual_host == "/hall"
        assert (address.parameters.heartbeat, address.parameters.socket_timeout) == (7, 2)
        assert address.parameters.ssl_options.server_hostname == address.host


@pytest.mark.parametrize("url", ["", "a", "http://a/", "amqp://u:s3cret@a,/", "amqp://u:s3cret@,a/", "amqp://u@a/"])
def test_what_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(BrokerError, match=r"is no broker URL; it looks like amqp://user:pass@host:5672/") as caught:
        parse(url)
    assert "s3cret" not in str(caught.value)


ONE, LIST = "amqp://u:p@a,b/", '["amqp://u:p@a/", "amqps://u:p@b/"]'


@pytest.mark.parametrize(("written", "count"), [(ONE, 2), (LIST, 2), ("amqp://u:p@a/,amqp://u:p@b/", 2)])
def test_a_file_may_hold_a_url_or_a_list(written: str, count: int, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"broker:\n  url: {written}\n")
    assert len(parse(load_settings(file).broker.url)) == count


@pytest.mark.parametrize("written", ["[]", '["amqp://u:s3cret@a/", "b"]', "[5672]"])
def test_a_list_of_something_else_is_refused(written: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"broker:\n  url: {written}\n")
    with pytest.raises(ConfigError, match=r"broker\.url: should be URLs, each amqp:// or amqps://") as caught:
        load_settings(file)
    assert "s3cret" not in str(caught.value)


def test_the_environment_may_name_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for several in ("amqp://u:p@a,b:5673/", "amqp://u:p@a/,amqp://u:p@b:5673/"):
        monkeypatch.setenv("YOLOTRACK_BROKER__URL", several)
        assert [str(address) for address in parse(load_settings().broker.url)] == ["a:5672", "b:5673"]


def test_credentials_that_are_set_apart_hold_for_every_url() -> None:
    filled = fill_in("amqp://a/,amqp://guest:guest@b,c/v", "me", "a,amqp://b")
    assert [(address.host, address.user, address.parameters.credentials.password) for address in parse(filled)] == [
        (host, "me", "a,amqp://b") for host in "abc"
    ]


def test_every_password_of_several_is_masked() -> None:
    assert mask_url("amqp://u:s3cret@a,b/,amqps://v:s3cret@c/x") == "amqp://u:***@a,b/,amqps://v:***@c/x"
