"""Which streams are running, out of the log of runs: for those who watch without knowing a name."""

from __future__ import annotations

from yolotrack.broker.base import RUNS, SharedBroker
from yolotrack.errors import BrokerClosed
from yolotrack.model import Barrier, Run, RunStarted, new_barrier


class Streams:
    """The newest run of every stream, as the log of runs tells. Used by one thread."""

    def __init__(self, broker: SharedBroker) -> None:
        """Reads the log up to now."""
        self._broker = broker
        self._log = broker.read(RUNS, "start")
        self._entries = iter(self._log)
        self._newest: dict[str, Run] = {}
        """By stream, the run that began last behind all others."""
        barrier = new_barrier()
        broker.publish(RUNS, barrier)
        for entry in self._entries:
            if isinstance(entry, RunStarted):
                self._note(entry.run)
            elif isinstance(entry, Barrier) and entry == barrier:
                return
        raise BrokerClosed("the broker is closed")

    def newest(self, stream: str) -> Run | None:
        """The run of a stream that began last; None where there is none."""
        self._catch_up()
        return self._newest.get(stream)

    def chosen(self, *, replay: bool) -> str | None:
        """Of the streams that are being published, the one whose run began last; to `replay`, else one that was."""
        self._catch_up()
        streams = list(reversed(self._newest))
        running = next((stream for stream in streams if self._broker.is_fed(stream)), None)
        return streams[0] if running is None and replay and streams else running

    def after(self, stream: str) -> str | None:
        """The next of those that are being published, by name and round in a circle; None where there is no other."""
        self._catch_up()
        others = sorted(self._newest.keys() - {stream}, key=lambda other: (other < stream, other))
        return next((other for other in others if self._broker.is_fed(other)), None)

    def started(self) -> str | None:
        """The stream of a run that begins; waits for one, but no longer than an idle tick."""
        entry = next(self._entries, None)
        if not isinstance(entry, RunStarted):
            return None
        self._note(entry.run)
        return entry.run.stream

    def close(self) -> None:
        """Stop reading."""
        self._log.close()

    def _note(self, run: Run) -> None:
        self._newest.pop(run.stream, None)
        self._newest[run.stream] = run

    def _catch_up(self) -> None:
        for entry in self._entries:
            if isinstance(entry, RunStarted):
                self._note(entry.run)
            elif entry is None:
                return
