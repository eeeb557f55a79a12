"""Listening and serving: on loopback unless a token guards the page."""

from __future__ import annotations

import ipaddress
import logging
import socket
from dataclasses import dataclass
from threading import Event, Thread

import uvicorn
from starlette.types import ASGIApp

from yolotrack.errors import ServeError, UsageError

HOST, PORT = "127.0.0.1", 8000
SHORTEST_TOKEN = 16
MESSAGE_BYTES = 16 * 1024
"""Most that a page may send in one message of a WebSocket."""
CONNECTIONS = 200
LEAVE_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 is any that is free."""

    host: str = HOST
    port: int = PORT

    @property
    def url(self) -> str:
        """For a browser on this machine."""
        host = HOST if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"


def parse_address(text: str | None) -> Address:
    """`HOST:PORT`, `HOST`, `PORT` or `[::1]:PORT`; None and what is left out are the defaults. `UsageError`."""
    host, port = _split(text or "")
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise UsageError(f"{text!r} is no place to listen on; it looks like {HOST}:{PORT}, or like {PORT} alone")
    return Address(host or HOST, int(port))


def _split(text: str) -> tuple[str, str]:
    if text.isdecimal():
        return "", text
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or str(PORT)
    host, _, port = text.partition(":")
    return host, port or str(PORT)


def listen(address: Address, token: str | None) -> tuple[socket.socket, Address]:
    """A listening socket, and where it is. Anything but loopback needs a token (`UsageError`), since whoever can
    reach it can watch; `ServeError` when the system refuses.
    """
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise UsageError(f"a token has at least {SHORTEST_TOKEN} characters; `openssl rand -hex 16` makes one")
    family, place = _resolve(address)
    if token is None and not ipaddress.ip_address(place[0]).is_loopback:
        raise UsageError(f"{address.host} can be reached from other machines: add --token, or listen on {HOST}")
    try:
        listener = socket.create_server(place, family=family)
    except OSError as error:
        raise ServeError(
            f"cannot listen on {address.host}:{address.port}: {error.strerror or error}; name another port, 0 for any"
        ) from error
    return listener, Address(address.host, listener.getsockname()[1])


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServeError(f"cannot listen on {address.host}: {error.strerror or error}") from error
    family, _, _, _, place = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    return family, (str(place[0]), address.port)


def serve(app: ASGIApp, listener: socket.socket, stop: Event) -> None:
    """Serve until `stop` is set; connections that are open then are closed."""
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=LEAVE_SECONDS,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],), name="web", daemon=True)  # signals stay with the main one
    thread.start()
    try:
        while thread.is_alive() and not stop.wait(0.2):
            pass
    finally:
        server.should_exit = True
        thread.join(LEAVE_SECONDS + 4)
        listener.close()
