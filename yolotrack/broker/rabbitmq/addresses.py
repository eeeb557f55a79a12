"""Where the nodes of a broker are: one URL with several hosts, or several URLs."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass

import pika

from yolotrack.errors import BrokerError
from yolotrack.secrets import mask_url, urls_of

HEARTBEAT = 10
BLOCKED_SECONDS = 300
CONNECT_SECONDS, HANDSHAKE_SECONDS = 5.0, 10.0
"""Longest that a host may take to accept a connection, and until that is open."""

_URL = re.compile(
    r"(?P<scheme>amqps?)://(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]*)(?P<rest>[/?#].*)?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True, eq=False)
class Address:
    """One node, and how to connect to it."""

    host: str
    port: int
    tls: bool
    parameters: pika.URLParameters

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def user(self) -> str:
        """Who logs in."""
        return str(getattr(self.parameters.credentials, "username", "?"))


def parse(urls: str) -> tuple[Address, ...]:
    """The nodes in `amqp://user:password@a,b:5673,[::1]/vhost`, or in several such URLs with commas between, in order.

    `BrokerError` when one is no broker URL.
    """
    return tuple(address for url in urls_of(urls) for address in _parse_one(url))


def _parse_one(url: str) -> list[Address]:
    parts = _URL.fullmatch(url)
    if parts is None:
        raise _no_url(url)
    hosts = [host.strip() for host in parts["hosts"].split(",")]
    if len(hosts) > 1 and "" in hosts:
        raise _no_url(url)
    before, after = f"{parts['scheme'].lower()}://{parts['user'] or ''}", parts["rest"] or ""
    try:
        return [_address(before + host + after) for host in hosts]
    except (ValueError, TypeError):
        raise _no_url(url) from None


def _no_url(url: str) -> BrokerError:
    return BrokerError(
        f"{mask_url(url)} is no broker URL; it looks like amqp://user:pass@host:5672/, or @host1,host2,host3/ for the"
        " nodes of one cluster (in a password, / # ? are %2F %23 %3F)"
    )


def _address(url: str) -> Address:
    """Of a URL with one host; `ValueError` or `TypeError` when it is none."""
    parameters = pika.URLParameters(url)
    tls = url.startswith("amqps:")
    if "heartbeat=" not in url:
        parameters.heartbeat = HEARTBEAT
    if "socket_timeout=" not in url:
        parameters.socket_timeout = CONNECT_SECONDS
    if "stack_timeout=" not in url:
        parameters.stack_timeout = HANDSHAKE_SECONDS
    if "blocked_connection_timeout=" not in url:
        parameters.blocked_connection_timeout = BLOCKED_SECONDS
    if tls and "ssl_options=" not in url:
        parameters.ssl_options = pika.SSLOptions(ssl.create_default_context(), parameters.host)
    return Address(parameters.host, parameters.port, tls, parameters)
