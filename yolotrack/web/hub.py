"""Which streams there are and how they go, for all pages together; nothing is read while no page is open."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from threading import Event, Lock

from yolotrack.broker.base import RUNS, SharedBroker
from yolotrack.crew import Crew, join
from yolotrack.errors import NotFound, StoreError
from yolotrack.model import Run, RunRecord, RunStarted, RunStatus
from yolotrack.roles.watch import Paint, Rendition, Sight, Watch
from yolotrack.store.base import Store
from yolotrack.web.history import History, milliseconds, newest_runs

MOST_STREAMS = 100
"""The newest are shown."""
REFRESH_SECONDS = 1.0
LIST_SECONDS = 10.0
"""Between two looks at all runs of the database."""
FED_SECONDS = 3.0
"""Between two questions whether a stream has a publisher."""
QUIET_SECONDS = 3.0
"""A stream of which nothing was heard for so long is not live."""
LINGER_SECONDS = 5.0
"""Streams are read for so long after the last page left: a reload finds them as they were."""
SLOW_SECONDS = 2.0
"""A broker that takes longer to answer counts as away."""
PATIENCE_SECONDS = 5.0
ENDED = frozenset(status.value for status in RunStatus if status is not RunStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A stream and its newest run, as a page shows them. Times are milliseconds since 1970."""

    stream: str
    status: str
    """live, waiting (a publisher, but nothing is tracked), silent (neither), running (elsewhere, without this
    broker), complete or interrupted."""
    run_id: str
    source: str
    mode: str
    started_at: int
    ended_at: int | None
    width: int
    height: int
    rate: float | None
    fps: float
    objects: int
    ages: tuple[float, ...] | None
    """p50, p95 and p99 of capture to tracked, seconds."""
    counted: str
    """What the counts below are of: the whole run, or the time since the stream is watched."""
    published: int | None
    tracked: int | None
    failed: int
    dropped: int
    tracks: int | None


class Hub:
    """The streams of a broker and a database. Safe to call from any thread."""

    def __init__(
        self,
        broker: SharedBroker,
        history: History,
        open_paint: Callable[[Rendition], Paint],
        on_error: Callable[[], None],
    ) -> None:
        """`on_error` is called when `error` ended it, from a thread of its own."""
        self._broker = broker
        self._history = history
        self._open_paint = open_paint
        self._lock = Lock()
        self._published: dict[str, Run] = {}
        """The newest run of each stream on the broker."""
        self._records: dict[str, RunRecord] = {}
        """What the database last said, by run."""
        self._stored: dict[str, RunRecord] = {}
        """The newest run of each stream in the database."""
        self._watches: dict[str, Watch] = {}
        self._fed: dict[str, tuple[bool, float]] = {}
        self._pages = 0
        self._left_at = float("-inf")
        self._listed_at = float("-inf")
        self._refreshed_at = float("-inf")
        self._asked_at: float | None = None
        """When the broker was asked what it has not answered yet."""
        self._slow = False
        self._closed = Event()
        self._crew = Crew()
        self._crew.start("hub", self._follow, on_error)

    @property
    def error(self) -> Exception | None:
        """What ended it before its time."""
        return self._crew.error

    @property
    def is_away(self) -> bool:
        """Whether the broker does not answer."""
        asked_at = self._asked_at
        return self._slow or (asked_at is not None and time.monotonic() - asked_at > SLOW_SECONDS)

    @property
    def no_history(self) -> str:
        """Why there is none, in one line; empty where there is one."""
        return self._history.absence

    def join(self) -> None:
        """One more page is open."""
        with self._lock:
            self._pages += 1

    def leave(self) -> None:
        """One page less."""
        with self._lock:
            self._pages -= 1
            self._left_at = time.monotonic()

    def watch(self, stream: str) -> Watch | None:
        """What reads a stream; None while nothing does."""
        with self._lock:
            return self._watches.get(stream)

    def streams(self) -> list[StreamStatus]:
        """Those that go on first, each by name."""
        with self._lock:
            shown = [self._status(run) for run in self._newest()]
        return sorted(shown, key=lambda status: (status.status in ENDED, status.stream))

    def close(self) -> None:
        """Stop reading; idempotent."""
        self._closed.set()
        with self._lock:
            for watch in self._watches.values():
                watch.close()
        join(self._crew.threads, PATIENCE_SECONDS)

    def _follow(self) -> None:
        with closing(self._broker.read(RUNS, "start")) as entries:
            for entry in entries:
                if self._closed.is_set():
                    return
                if isinstance(entry, RunStarted):
                    self._note(entry.run)
                elif entry is None and time.monotonic() - self._refreshed_at >= REFRESH_SECONDS:
                    self._refresh()

    def _note(self, run: Run) -> None:
        with self._lock:
            self._published[run.stream] = run
            self._fed.pop(run.stream, None)
            self._refreshed_at = float("-inf")  # the next idle tick looks at it

    def _refresh(self) -> None:
        with self._lock:
            self._keep_newest()
            wanted = self._pages > 0 or time.monotonic() - self._left_at < LINGER_SECONDS
            if not wanted:
                self._end_watches(self._watches.keys())
                return
            going_on = [run for run in self._newest() if self._ending(run) is None]
            errors = [watch.error for watch in self._watches.values() if watch.error is not None]
        if errors:
            raise errors[0]
        self._ask_store(going_on)
        for run in going_on:
            if run.stream in self._published and self._is_at_work(run):
                self._begin(run.stream)
        self._refreshed_at = time.monotonic()

    def _keep_newest(self) -> None:
        """Forget streams that are no longer shown."""
        shown = {run.stream for run in self._newest()}
        self._published = {stream: run for stream, run in self._published.items() if stream in shown}
        self._fed = {stream: told for stream, told in self._fed.items() if stream in shown}
        self._end_watches(self._watches.keys() - shown)

    def _end_watches(self, streams: Collection[str]) -> None:
        for stream in list(streams):
            self._watches.pop(stream).close()

    def _begin(self, stream: str) -> None:
        with self._lock:
            if stream not in self._watches and not self._closed.is_set():
                self._watches[stream] = Watch(self._broker, stream, self._open_paint)

    def _is_at_work(self, run: Run) -> bool:
        record = self._records.get(run.run_id)
        return self._is_fed(run.stream) or (record is not None and record.status is RunStatus.RUNNING)

    def _is_fed(self, stream: str) -> bool:
        """Asks the broker now and then."""
        fed, asked_at = self._fed.get(stream, (False, float("-inf")))
        if time.monotonic() - asked_at > FED_SECONDS:
            self._asked_at = began = time.monotonic()
            fed = self._broker.is_fed(stream)
            self._asked_at = None
            self._slow = time.monotonic() - began > SLOW_SECONDS
            self._fed[stream] = (fed, time.monotonic())
        return fed

    def _ask_store(self, going_on: list[Run]) -> None:
        store = self._history.store()
        if store is None:
            return
        try:
            if time.monotonic() - self._listed_at > LIST_SECONDS:
                self._list(store)
            for run in going_on:
                self._look_up(store, run)
        except StoreError as error:
            self._history.absence = str(error)
        else:
            self._history.absence = ""

    def _list(self, store: Store) -> None:
        self._listed_at = time.monotonic()
        stored = newest_runs(store.runs())
        with self._lock:
            self._stored = stored
            self._records |= {record.run.run_id: record for record in stored.values()}
            current = {run.run_id for run in self._newest()}
            self._records = {run_id: record for run_id, record in self._records.items() if run_id in current}

    def _look_up(self, store: Store, run: Run) -> None:
        try:
            record = store.find_run(run.run_id)
        except NotFound:
            return
        with self._lock:
            self._records[run.run_id] = record

    # what follows is called under the lock

    def _newest(self) -> list[Run]:
        """The newest run of each of the newest streams, the newest first."""
        runs = {stream: record.run for stream, record in self._stored.items()}
        for stream, run in self._published.items():
            if stream not in runs or runs[stream].started_at <= run.started_at:
                runs[stream] = run
        return sorted(runs.values(), key=lambda run: run.started_at, reverse=True)[:MOST_STREAMS]

    def _ending(self, run: Run) -> tuple[str, int | None] | None:
        """How and when a run ended, if it did."""
        record, watch = self._records.get(run.run_id), self._watches.get(run.stream)
        if record is not None and record.status is not RunStatus.RUNNING:
            return record.status.value, milliseconds(record.ended_at.timestamp()) if record.ended_at else None
        ended = watch.sight().ended if watch is not None else None
        return (ended.status.value, None) if ended is not None and ended.run_id == run.run_id else None

    def _status(self, run: Run) -> StreamStatus:
        watch, record = self._watches.get(run.stream), self._records.get(run.run_id)
        sight = watch.sight() if watch is not None else None
        here = sight if sight is not None and sight.run_id == run.run_id else None
        ending = self._ending(run)
        ages = [here.moment.percentile(percent) for percent in (50, 95, 99)] if here is not None else []
        ledger = record.ledger if record is not None else None
        return StreamStatus(
            stream=run.stream,
            status=ending[0] if ending else self._going(run, here),
            run_id=run.run_id,
            source=run.source,
            mode=run.mode.value,
            started_at=milliseconds(run.started_at.timestamp()),
            ended_at=ending[1] if ending else None,
            width=run.width,
            height=run.height,
            rate=float(run.rate) if run.rate else None,
            fps=round(here.moment.fps, 2) if here is not None else 0.0,
            objects=here.moment.objects if here is not None else 0,
            ages=tuple(round(age, 4) for age in ages if age is not None) or None,
            counted="run" if ledger is not None else "watch",
            published=ledger.published if ledger is not None else None,
            tracked=ledger.tracked if ledger is not None else None,
            failed=ledger.failed if ledger is not None else here.failed if here is not None else 0,
            dropped=ledger.dropped if ledger is not None else here.dropped if here is not None else 0,
            tracks=record.tracks if record is not None else None,
        )

    def _going(self, run: Run, sight: Sight | None) -> str:
        if sight is not None and sight.quiet_seconds < QUIET_SECONDS:
            return "live"
        if run.stream not in self._published:
            return "running"
        fed, _ = self._fed.get(run.stream, (False, 0.0))
        return "waiting" if fed and not self.is_away else "silent"
