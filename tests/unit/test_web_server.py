"""Where a page listens, and where not."""

from __future__ import annotations

import socket

import pytest

from yolotrack.errors import ServeError, UsageError, YolotrackError
from yolotrack.web.server import Address, listen, parse_address

TOKEN = "0123456789abcdef"
ANY = "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (None, "127.0.0.1", 8000),
        ("", "127.0.0.1", 8000),
        ("9000", "127.0.0.1", 9000),
        ("0", "127.0.0.1", 0),
        (":9000", "127.0.0.1", 9000),
        ("localhost", "localhost", 8000),
        ("localhost:", "localhost", 8000),
        (f"{ANY}:80", ANY, 80),
        ("[::1]:9000", "::1", 9000),
        ("[::1]", "::1", 8000),
    ],
)
def test_what_is_left_out_is_the_default(text: str | None, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)


@pytest.mark.parametrize("text", ["localhost:http", "localhost:65536", "localhost:-1", "::1:8000", "a:1:2", "٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no place to listen on"):
        parse_address(text)


def test_urls_are_for_this_machine() -> None:
    assert Address(ANY, 80).url == "http://127.0.0.1:80/"
    assert Address("::1", 8000).url == "http://[::1]:8000/"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    listener, address = listen(Address(host, 0), None)
    with listener:
        assert address.port == listener.getsockname()[1] != 0


@pytest.mark.parametrize("host", [ANY, "::"])
def test_whatever_others_can_reach_needs_one(host: str) -> None:
    if host == "::" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with pytest.raises(UsageError, match="can be reached from other machines: add --token"):
        listen(Address(host, 0), None)


def test_with_a_token_all_addresses_may_be_listened_on() -> None:
    listener, _ = listen(Address(ANY, 0), TOKEN)
    listener.close()


@pytest.mark.parametrize("token", ["", "short", TOKEN[:-1]])
def test_a_token_that_can_be_guessed_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="at least 16 characters"):
        listen(Address(port=0), token)


def test_a_port_that_is_taken_is_named() -> None:
    listener, address = listen(Address(port=0), None)
    with (
        listener,
        pytest.raises(ServeError, match=rf"cannot listen on 127.0.0.1:{address.port}: .*; name another port"),
    ):
        listen(address, None)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_refused_in_one_line(host: str) -> None:
    with pytest.raises(YolotrackError) as refused:
        listen(Address(host, 0), TOKEN)
    assert host in str(refused.value)
    assert "\n" not in str(refused.value)
