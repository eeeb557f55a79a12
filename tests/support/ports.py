"""Ports that misbehave: what is found where a broker should be."""

from __future__ import annotations

import http.server
import socket
import struct
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TypeAlias

Behaviour: TypeAlias = Callable[[socket.socket], None]
"""What is done with a connection; it is closed afterwards."""
METHOD, BASIC_CONSUME = 1, b"\x00\x3c\x00\x14"


class Port:
    """Listens on 127.0.0.1 and does with each connection what it was told last. A context manager."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._connections: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.number = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Port:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def become(self, behaviour: Behaviour) -> None:
        """Behave otherwise from now on, and cut what there is."""
        self.behaviour = behaviour
        self.cut()

    def cut(self) -> None:
        """End every connection."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        self._connections.add(connection)
        try:
            with connection, suppress(OSError):
                self.behaviour(connection)
        finally:
            self._connections.discard(connection)


def forward(port: int, *, at_most: int | None = None) -> Behaviour:
    """Lead to a port of this machine; break off after so many bytes from the client."""

    def behave(near: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=_copy, args=(far, near, None), daemon=True)
            back.start()
            _copy(near, far, at_most)
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    return behave


def deaf_to(queues: Container[str], port: int) -> Behaviour:
    """Lead to a broker whose channels hang from when they are told to consume one of these queues, as they do where
    the queue has lost most of its copies."""

    def behave(near: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=_copy, args=(far, near, None), daemon=True)
            back.start()
            with suppress(OSError), near.makefile("rb") as incoming:
                far.sendall(incoming.read(len("AMQP....")))
                _pass_frames(incoming, far, queues)
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    return behave


def _pass_frames(incoming: BinaryIO, far: socket.socket, queues: Container[str]) -> None:
    hanging: set[int] = set()
    while len(head := incoming.read(7)) == 7:
        kind, channel, size = struct.unpack(">BHI", head)
        rest = incoming.read(size + 1)
        if kind == METHOD and rest[:4] == BASIC_CONSUME and rest[7 : 7 + rest[6]].decode() in queues:
            hanging.add(channel)
        if channel not in hanging:
            far.sendall(head + rest)


def _copy(source: socket.socket, target: socket.socket, at_most: int | None) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if at_most is not None:
                at_most -= len(data)
                if at_most < 0:
                    return
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def says_nothing(connection: socket.socket) -> None:
    """Accepts, reads, never answers."""
    while connection.recv(4096):
        pass


def closes_at_once(_: socket.socket) -> None:
    """As a proxy does that has nobody behind it."""


def resets_at_once(connection: socket.socket) -> None:
    """The same, harshly."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def says(answer: bytes) -> Behaviour:
    """Gives one answer, whatever it is told, and closes."""

    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        says_nothing(connection)

    return behave


@contextmanager
def http_server() -> Iterator[int]:
    """The port of one that waits for the end of a line before it answers, as Python's does."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
