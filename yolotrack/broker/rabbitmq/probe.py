"""What is spoken on a port that does not speak as a broker should."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from enum import Enum, auto

from yolotrack.broker.rabbitmq.addresses import Address

SECONDS = 2.0
"""Longest wait for each answer; two are waited for."""
GREETING = b"AMQP\x00\x00\x09\x01"
END_OF_REQUEST = b"\r\n\r\n"
TLS_ALERT, METHOD_FRAME = b"\x15", b"\x01"
HTTP = (b"http", b"<!doctyp", b"<html")
"""How answers begin; to a request that it does not understand some server sends the page alone."""


class Answer(Enum):
    """What a port answers to AMQP's greeting."""

    AMQP = auto()
    """As a broker does, without TLS."""
    TLS = auto()
    HTTP = auto()
    OTHER = auto()
    NOTHING = auto()
    CLOSED = auto()
    AWAY = auto()
    """It cannot be connected to."""


def ask(address: Address) -> Answer:
    """Connect without TLS, greet, and see; where TLS is spoken as the address says, greet within. Never raises.

    Takes some seconds at most.
    """
    try:
        answer = _greet(_connect(address))
    except ConnectionResetError:  # before connecting was done
        answer = Answer.CLOSED
    except OSError:
        return Answer.AWAY
    if answer in (Answer.CLOSED, Answer.TLS):
        try:
            within = _connect_tls(address)
        except OSError:
            return answer
        with within:
            answer = _greet(within) if address.tls else Answer.AMQP
        return Answer.TLS if answer is Answer.AMQP else answer
    return answer


def _connect(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), SECONDS)


def _connect_tls(address: Address) -> socket.socket:
    """With whom does not matter, as nothing is said."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = _connect(address)
    try:
        return context.wrap_socket(connection, server_hostname=address.host)
    except OSError:
        connection.close()
        raise


def _greet(connection: socket.socket) -> Answer:
    with connection:
        try:
            connection.sendall(GREETING)
            return _answer(_receive(connection))
        except OSError:  # closed in our face
            return Answer.CLOSED


def _receive(connection: socket.socket) -> bytes | None:
    """The first bytes; empty where it was closed, None where nothing comes, even to the end of a request."""
    for more in (b"", END_OF_REQUEST):
        with suppress(TimeoutError):
            connection.sendall(more)
            return connection.recv(8)
    return None


def _answer(data: bytes | None) -> Answer:
    if data is None:
        return Answer.NOTHING
    if not data:
        return Answer.CLOSED
    if data.startswith(METHOD_FRAME):
        return Answer.AMQP
    if data.startswith(TLS_ALERT):
        return Answer.TLS
    return Answer.HTTP if data.lower().startswith(HTTP) else Answer.OTHER
