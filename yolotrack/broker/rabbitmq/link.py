"""One connection in a thread of its own, which comes back by itself. Heartbeats run there, so nothing slow may."""

from __future__ import annotations

import logging
import random
import ssl
import threading
import time
from collections.abc import Callable
from typing import Protocol

import pika
from pika.connection import Connection
from pika.exceptions import AMQPError, ProbableAccessDeniedError, ProbableAuthenticationError

from yolotrack.errors import BrokerClosed, BrokerError
from yolotrack.secrets import mask_text, mask_url

log = logging.getLogger("yolotrack.broker")

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
HEARTBEAT = 10
BLOCKED_SECONDS = 300
CLOSE_SECONDS = 3.0


class Part(Protocol):
    """Something that lives on a connection. Both methods are called in the connection's thread."""

    def start(self, connection: Connection) -> None:
        """The connection is open, for the first time or again: open channels, declare, go on."""

    def lost(self, error: BrokerError | None) -> None:
        """The connection is gone and will be opened again; with an error it will not."""


class Link:
    """Connects, tells its parts, and connects again with growing, jittered pauses when the connection is lost.

    It gives up after `patience` seconds without a connection; refused credentials end it at once.
    """

    def __init__(self, url: str, purpose: str, patience: float) -> None:
        self._url = url
        self._purpose = purpose
        self._patience = patience
        self._parameters = _parameters(url, purpose)
        self._parts: list[Part] = []
        self._started: list[Part] = []
        self._connection: pika.SelectConnection | None = None
        self._down_since: float | None = time.monotonic()
        self._told = False
        """Of this outage; each attempt fails with the same words."""
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._failure: BrokerError | None = None
        self._thread = threading.Thread(target=self._run, name=f"rabbitmq-{purpose}", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> BrokerError | None:
        """Why there will be no connection any more."""
        return self._failure

    def wait_ready(self) -> None:
        """Wait for the first connection; `BrokerError` when there is none to be had."""
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def attach(self, part: Part) -> None:
        """Tell a part of this connection and of those that follow it."""
        self._parts.append(part)
        self.call(lambda: self._start(part))
        if self._failure is not None:
            part.lost(self._failure)

    def detach(self, part: Part) -> None:
        """Tell it no more."""
        if part in self._parts:
            self._parts.remove(part)

    def call(self, work: Callable[[], None]) -> bool:
        """Do something in the connection's thread, later; False when there is no connection to do it on."""
        connection = self._connection
        if connection is None:
            return False
        try:
            connection.ioloop.add_callback_threadsafe(work)
        except (AMQPError, AssertionError, OSError, ValueError):
            return False
        return True

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do something in the connection's thread after a while; only from that thread."""
        if self._connection is not None:
            self._connection.ioloop.call_later(seconds, work)

    def close(self) -> None:
        """Close for good; idempotent."""
        self._closing.set()
        self.call(self._close_connection)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._closing.is_set() and self._failure is None:
            self._connect()
            delay = FIRST_DELAY if self._started else min(2 * delay, LONGEST_DELAY)
            self._started = []
            if self._down_since is not None and time.monotonic() - self._down_since > self._patience:
                self._fail(BrokerError(f"no connection to {mask_url(self._url)} for {self._patience:.0f} s: is it up?"))
            else:
                self._closing.wait(delay * random.uniform(0.5, 1.5))  # noqa: S311  # jitter
        self._fail(BrokerClosed("the broker is closed"))

    def _connect(self) -> None:
        """One connection from its beginning to its end."""
        try:
            self._connection = pika.SelectConnection(
                self._parameters,
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_lost,
                on_close_callback=self._on_lost,
            )
            self._connection.ioloop.start()
        except Exception as error:  # whatever it was, a new connection begins from a known state
            self._lost(error)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.ioloop.close()

    def _on_open(self, connection: Connection) -> None:
        self._down_since = None
        self._told = False
        log.info("connected broker=%s purpose=%s", mask_url(self._url), self._purpose)
        connection.add_on_connection_blocked_callback(
            lambda *_: log.warning("blocked: the broker takes no messages for now (memory or disk alarm)")
        )
        connection.add_on_connection_unblocked_callback(lambda *_: log.warning("unblocked: the broker takes messages"))
        self._ready.set()
        for part in list(self._parts):
            self._start(part)
        if self._closing.is_set():
            self._close_connection()

    def _start(self, part: Part) -> None:
        connection = self._connection
        if connection is not None and connection.is_open and part in self._parts and part not in self._started:
            self._started.append(part)
            part.start(connection)

    def _on_lost(self, connection: Connection, error: BaseException | str) -> None:
        self._lost(error)
        connection.ioloop.stop()

    def _lost(self, error: BaseException | str) -> None:
        self._down_since = self._down_since or time.monotonic()
        if not self._closing.is_set() and not self._told:
            self._told = True
            log.warning("connection lost, trying again purpose=%s error=%s", self._purpose, mask_text(repr(error)))
        for part in list(self._parts):
            part.lost(None)
        if isinstance(error, ProbableAuthenticationError | ProbableAccessDeniedError):
            self._fail(BrokerError(f"{mask_url(self._url)} refuses these credentials or this virtual host"))

    def _close_connection(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.close()  # gives up one that is still opening, its socket with it
            connection.ioloop.call_later(CLOSE_SECONDS, connection.ioloop.stop)
        except AMQPError:  # closing or closed already
            connection.ioloop.stop()

    def _fail(self, error: BrokerError) -> None:
        if self._failure is None:
            self._failure = error
            self._ready.set()
            for part in list(self._parts):
                part.lost(error)


def refusal(reason: Exception) -> BrokerError | None:
    """Why a channel was closed, if no retry mends that; None if one may."""
    text = getattr(reason, "reply_text", str(reason))
    if getattr(reason, "reply_code", 0) not in (403, 406):
        return None
    return BrokerError(f"the broker refuses: {text}{_remedy(text)}")


def _remedy(text: str) -> str:
    if "inequivalent arg" in text:
        return "; delete that queue, or choose another --namespace"
    if "message size" in text:
        return "; publish with a lower --quality, or raise max_message_size in its rabbitmq.conf"
    return ""


def _parameters(url: str, purpose: str) -> pika.URLParameters:
    try:
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError):
        raise BrokerError(
            f"{mask_url(url)} is no broker URL; it looks like amqp://user:pass@host:5672/"
            " (in a password, / # ? are %2F %23 %3F)"
        ) from None
    parameters.heartbeat = HEARTBEAT if "heartbeat=" not in url else parameters.heartbeat
    parameters.blocked_connection_timeout = BLOCKED_SECONDS
    parameters.client_properties = {"connection_name": f"yolotrack {purpose}"}
    if parameters.ssl_options is None and url.startswith("amqps:"):
        parameters.ssl_options = pika.SSLOptions(ssl.create_default_context(), parameters.host)
    return parameters
