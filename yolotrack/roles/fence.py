"""Tells a publisher that was cut off whether its run was ended meanwhile: then it must stop."""

from __future__ import annotations

import time
from contextlib import closing
from threading import Event

from yolotrack.broker.base import RUNS, Broker, Lease
from yolotrack.errors import BrokerClosed
from yolotrack.model import Run, RunEnded, new_barrier

LEASE_SECONDS = 30.0
"""Longest wait for a lease to come back. A broker that has not noticed the end of the old connection gives it later."""
LOOK_SECONDS = 0.1


class Fence:
    """Used by one thread. Whoever ends the run of a publisher that is gone says so in the log of runs, before it does.

    Nobody does while the lease is held, so the log needs to be read only after the lease was lost.
    """

    def __init__(self, broker: Broker, lease: Lease, run: Run) -> None:
        self._broker = broker
        self._lease = lease
        self._run = run
        self._breaks = lease.breaks

    def ended(self) -> RunEnded | None:
        """How the run was ended by others, if it was; costs nothing unless the lease was lost since the last call."""
        breaks = self._lease.breaks
        if breaks == self._breaks or not self._lease.is_held:
            return None
        self._breaks = breaks
        return self._read()

    def ended_at_last(self, stop: Event) -> RunEnded | None:
        """The same when all is published: waits for a lease that is lost to come back, `LEASE_SECONDS` at most."""
        deadline = time.monotonic() + LEASE_SECONDS
        while self._breaks != self._lease.breaks and not self._lease.is_held and time.monotonic() < deadline:
            if stop.wait(LOOK_SECONDS):
                break
        return self._read() if self._lease.breaks else None

    def _read(self) -> RunEnded | None:
        barrier = new_barrier()
        with closing(self._broker.read(RUNS, self._run.started_at)) as log:
            self._broker.publish(RUNS, barrier)
            for message in log:
                if isinstance(message, RunEnded) and message.run_id == self._run.run_id:
                    return message
                if message == barrier:
                    return None
        raise BrokerClosed("the broker is closed")
