"""One connection in a thread of its own, which comes back by itself. Heartbeats run there, so nothing slow may."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pika
from pika.connection import Connection
from pika.exceptions import AMQPConnectionError, AMQPError

from yolotrack.broker.rabbitmq.addresses import Address
from yolotrack.broker.rabbitmq.outage import Outage
from yolotrack.broker.rabbitmq.trouble import Hope, Trouble, connection_trouble
from yolotrack.errors import BrokerClosed, BrokerError

log = logging.getLogger("yolotrack.broker")

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
CLOSE_SECONDS = 3.0
SLOW_SECONDS = 2.0
"""An attempt that takes longer is told of before it ends."""
ATTEMPT_SECONDS = 30.0
"""Longest attempt at one host, its name looked up and what it speaks found out."""
NAME_SECONDS = 15.0
"""How long a name may not resolve before there ever was a connection."""
CHANGED_SECONDS = 15.0
"""How long a broker that took us once may refuse us: one that is set up anew is not ready at once."""


class Part(Protocol):
    """Something that lives on a connection. Both methods are called in the connection's thread."""

    def start(self, connection: Connection) -> None:
        """The connection is open, for the first time or again: open channels, declare, go on."""

    def lost(self, error: BrokerError | None) -> None:
        """The connection is gone and will be opened again; with an error it will not."""


class Link:
    """Connects to the first node that takes it, tells its parts, and connects again when the connection is lost: to the
    next node at once, and round all of them with growing, jittered pauses.

    It gives up after `patience` seconds without a connection, and before the first one after `first_patience`; sooner
    where only a person can help: see `_allowed`.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        purpose: str,
        patience: float,
        *,
        first_patience: float | None = None,
        outage: Outage | None = None,
    ) -> None:
        self._addresses = addresses
        self._purpose = purpose
        self._patience = patience
        self._first_patience = patience if first_patience is None else min(first_patience, patience)
        self._outage = outage or Outage()
        self._next = 0
        self._children: list[Link] = []
        self._parts: list[Part] = []
        self._started: list[Part] = []
        self._connection: pika.SelectConnection | None = None
        self._opened = False
        """The connection that is or was under way last."""
        self._ever = False
        self._down_since = time.monotonic()
        self._troubles: dict[Address, Trouble] = {}
        """Why each node did not take us, last."""
        self._pause = 0.0
        """Before the next round, where somebody asked for one."""
        self.blocked = False
        """Whether the broker takes no messages on this connection, as it is short of memory or disk."""
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._failure: BrokerError | None = None
        self._thread = threading.Thread(target=self._run, name=f"rabbitmq-{purpose}", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> BrokerError | None:
        """Why there will be no connection any more."""
        return self._failure

    @property
    def connection(self) -> Connection | None:
        """The one that is open or being opened."""
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether there is a connection just now."""
        connection = self._connection
        return connection is not None and bool(connection.is_open)

    def alone(self, purpose: str) -> Link:
        """Another link to the same nodes, from the next one on, for a part that would hold up others on this one."""
        last = self._next
        turned = [*self._addresses[last + 1 :], *self._addresses[: last + 1]]
        link = Link(turned, purpose, self._patience, outage=self._outage)
        self._children.append(link)
        if self._closing.is_set():
            link.close()
        return link

    def wait_ready(self) -> None:
        """Wait for the first connection; `BrokerError` when there is none to be had."""
        if not self._ready.wait(self._first_patience + 2 * ATTEMPT_SECONDS):
            raise BrokerError(f"no connection to the broker: {self._addresses[self._next]} does not answer")
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
        """Do something in the connection's thread after a while, unless it is lost before; only from that thread."""
        if self._connection is not None:
            self._connection.ioloop.call_later(seconds, work)

    def restart(self, pause: float) -> None:
        """Drop the connection, whatever waits on it, and open another to the next node after a pause."""

        def drop() -> None:
            self._pause = pause
            self._abandon(AMQPConnectionError())

        self.call(drop)

    def close(self) -> None:
        """Close for good, and those that were made of it; idempotent."""
        self._closing.set()
        self.call(self._close_connection)
        for child in self._children:
            child.close()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._closing.is_set() and self._failure is None:
            connected = self._round()
            delay = FIRST_DELAY if connected else min(2 * delay, LONGEST_DELAY)
            pause = min(delay * random.uniform(0.5, 1.5), max(self._left(self._allowed()), FIRST_DELAY))  # noqa: S311  # jitter
            pause, self._pause = max(self._pause, pause), 0.0
            if self._failure is None:
                self._closing.wait(pause)
        self._fail(BrokerClosed("the broker is closed"))

    def _round(self) -> bool:
        """Try one node after the other until one takes us and the connection has ended; False when none does."""
        for place in self._turn():
            if self._closing.is_set() or self._failure is not None:
                return False
            self._next = place
            self._connect(self._addresses[place])
            if self._opened:
                self._next = (place + 1) % len(self._addresses)  # that one is just going away
                return True
            if self._left(self._longest) <= 0:
                break
        if not self._closing.is_set():
            self._judge()
        return False

    def _turn(self) -> Iterator[int]:
        count = len(self._addresses)
        return iter([(self._next + step) % count for step in range(count)])

    def _judge(self) -> None:
        """Nobody took us: say so, and give up when it has been for too long."""
        known = [address for address in self._addresses if address in self._troubles]
        reasons = "; ".join(f"{address}: {self._troubles[address].reason}" for address in known)
        allowed = self._allowed()
        if self._left(allowed) <= 0:
            down = time.monotonic() - self._down_since
            tried = f" for {down:.0f} s" if down >= 1 else ""
            self._fail(BrokerError(f"no connection to the broker{tried}: {reasons}{self._remedy()}"))
        elif known:
            self._outage.tell(f"no connection to the broker: {reasons}; trying for {allowed:.0f} s")

    def _allowed(self) -> float:
        """Seconds without a connection that what is in the way is worth."""
        hopes = {trouble.hope for trouble in self._troubles.values()}
        if not self._ever:
            if Hope.NONE in hopes:
                return 0.0
            return min(self._first_patience, NAME_SECONDS) if hopes == {Hope.UNRESOLVED} else self._first_patience
        return min(self._patience, CHANGED_SECONDS) if hopes == {Hope.NONE} else self._patience

    @property
    def _longest(self) -> float:
        """Seconds without a connection that are waited at most, whatever the troubles."""
        return self._patience if self._ever else self._first_patience

    def _left(self, allowed: float) -> float:
        return allowed - (time.monotonic() - self._down_since)

    def _remedy(self) -> str:
        return "; is it up?" if any(trouble.hope is not Hope.NONE for trouble in self._troubles.values()) else ""

    def _connect(self, address: Address) -> None:
        """One connection from its beginning to its end."""
        self._opened = False
        self._started = []
        try:
            self._connection = connection = pika.SelectConnection(
                address.parameters,
                on_open_callback=lambda connection: self._on_open(connection, address),
                on_open_error_callback=lambda connection, error: self._on_lost(connection, error, address),
                on_close_callback=lambda connection, error: self._on_lost(connection, error, address),
            )
            connection.ioloop.call_later(SLOW_SECONDS, lambda: self._tell_slow(address))
            connection.ioloop.call_later(ATTEMPT_SECONDS, self._give_up_attempt)
            connection.ioloop.start()
        except Exception as error:  # whatever it was, a new connection begins from a known state
            self._lost(error, address)
        ended, self._connection = self._connection, None
        if ended is not None:
            ended.ioloop.close()

    def _tell_slow(self, address: Address) -> None:
        if not self._opened and not self._closing.is_set():
            self._outage.tell(f"no answer from the broker at {address} yet; trying for {self._longest:.0f} s")

    def _give_up_attempt(self) -> None:
        if not self._opened:
            self._abandon(TimeoutError())

    def _on_open(self, connection: Connection, address: Address) -> None:
        self._opened = self._ever = True
        self._troubles.clear()
        self.blocked = False
        log.info("connected broker=%s purpose=%s", address, self._purpose)
        self._outage.over(str(address))
        connection.add_on_connection_blocked_callback(lambda *_: self._on_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._on_blocked(False))
        self._ready.set()
        for part in list(self._parts):
            self._start(part)
        if self._closing.is_set():
            self._close_connection()

    def _on_blocked(self, blocked: bool) -> None:
        self.blocked = blocked
        if blocked:
            log.warning("blocked: the broker takes no messages for now (memory or disk alarm)")
        else:
            log.warning("unblocked: the broker takes messages")

    def _start(self, part: Part) -> None:
        connection = self._connection
        if connection is not None and connection.is_open and part in self._parts and part not in self._started:
            self._started.append(part)
            part.start(connection)

    def _on_lost(self, connection: Connection, error: BaseException | str, address: Address) -> None:
        self._lost(error, address)
        connection.ioloop.stop()

    def _lost(self, error: BaseException | str, address: Address) -> None:
        if self._opened:
            self._down_since = time.monotonic()
        if not self._closing.is_set() and not self._pause:
            self._note(error, address)
        for part in list(self._parts):
            part.lost(None)

    def _note(self, error: BaseException | str, address: Address) -> None:
        log.debug("connection failed broker=%s purpose=%s error=%r", address, self._purpose, error)
        trouble = connection_trouble(error, address)
        self._troubles[address] = trouble
        if self._opened:
            self._outage.tell(f"lost the connection to the broker at {address}: {trouble.reason}; connecting again")

    def _abandon(self, why: Exception) -> None:
        """Close the socket at once. A close as it should be would wait for channels that may never answer."""
        connection = self._connection
        if connection is not None and not connection.is_closed:
            connection._terminate_stream(why)

    def _close_connection(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.close()  # gives up one that is still opening, its socket with it
            connection.ioloop.call_later(CLOSE_SECONDS, lambda: self._abandon(TimeoutError()))
        except AMQPError:  # closing or closed already
            connection.ioloop.stop()

    def _fail(self, error: BrokerError) -> None:
        if self._failure is None:
            self._failure = error
            self._ready.set()
            for part in list(self._parts):
                part.lost(error)
