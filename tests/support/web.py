"""An app on a port of its own, and whoever asks it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import httpx
from starlette.types import ASGIApp
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.waiting import DEADLINE
from yolotrack.web.server import Address, listen, serve


class Asking:
    """Asks an app by a name of its choice; keeps cookies."""

    def __init__(self, port: int, name: str = "") -> None:
        self._port = port
        self.name = name or f"127.0.0.1:{port}"
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"host": self.name}, timeout=DEADLINE)

    def get(self, path: str, headers: dict[str, str | bytes] | None = None) -> httpx.Response:
        return self.http.get(path, headers=headers)  # type: ignore[arg-type]

    def post(self, path: str, data: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        return self.http.post(path, data=data, headers=headers)

    def hears(self, path: str, expected: str, **headers: str) -> bool:
        """Whether a socket lets it in, and says that first; a refusal is a 403 before there is a socket."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        sent = headers | ({"Cookie": cookies} if cookies else {})
        with socket.create_connection(("127.0.0.1", self._port), timeout=DEADLINE) as raw:
            try:
                with connect(f"ws://{self.name}{path}", sock=raw, additional_headers=sent) as talking:
                    return bool(talking.recv(DEADLINE) == expected)
            except InvalidStatus as refused:
                assert refused.response.status_code == 403
                return False


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """The port of an app that is served meanwhile."""
    stop = Event()
    listener, address = listen(Address(port=0), None)
    thread = Thread(target=serve, args=(app, listener, stop))
    thread.start()
    try:
        yield address.port
    finally:
        stop.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()
