"""Which runs there are, out of the log of runs: for those who have no database at hand."""

from __future__ import annotations

import time
from contextlib import closing
from math import inf
from threading import Event

from yolotrack.broker.base import RUNS, Broker
from yolotrack.errors import NotFound
from yolotrack.model import Barrier, Run, RunStarted, new_barrier


def find_run(broker: Broker, stream: str | None, run: str | None, *, seconds: float, stop: Event) -> Run:
    """The newest run of a stream (of any, without one), or the one whose id begins with `run`.

    Where there is none yet, waits `seconds` for one to start; then `NotFound`. However long it takes to read what there
    is, that does not count.
    """
    barrier = new_barrier()
    found: Run | None = None
    deadline = inf
    all_read = False
    with closing(broker.read(RUNS, "start")) as log:
        broker.publish(RUNS, barrier)
        for message in log:
            if isinstance(message, Barrier) and message == barrier:
                all_read, deadline = True, time.monotonic() + seconds
            elif isinstance(message, RunStarted) and _fits(message.run, stream, run):
                found = message.run
            if all_read and found is not None:
                return found
            if stop.is_set() or time.monotonic() > deadline:
                break
    wanted = f"run {run}" if run else f"run of the stream {stream}" if stream else "run"
    raise NotFound(f"no {wanted} was published to this broker; `yolotrack publish` starts one")


def _fits(candidate: Run, stream: str | None, run: str | None) -> bool:
    return (stream is None or candidate.stream == stream) and (run is None or candidate.run_id.startswith(run))
