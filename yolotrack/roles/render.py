"""render: drawn pictures as JPEGs on a log of their own, for consumers that only show pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Event, Thread

from yolotrack.broker.base import RUNS, SharedBroker, annotated_log, tracks_log, video_log
from yolotrack.errors import BadPicture, BrokerError, StreamBusy
from yolotrack.model import Barrier, Pixels, Run, RunEnded, RunStarted, RunStatus, new_barrier
from yolotrack.roles.compile import merge
from yolotrack.video.base import Draw

log = logging.getLogger("yolotrack.render")


@dataclass(frozen=True, slots=True)
class RenderRole:
    """Draws every run that is under way or begins, each in a thread of its own.

    Of several renderers one draws a run; should it die, the rest of that run stays undrawn.
    """

    broker: SharedBroker
    decode: Callable[[bytes], Pixels]
    encode: Callable[[Pixels], bytes]
    open_draw: Callable[[int, int], Draw]

    def run(self, stop: Event) -> None:
        """Draw until `stop` is set or the broker closes."""
        threads: list[Thread] = []
        for run in self._runs(stop):
            thread = Thread(target=self._render, args=(run, stop), name=f"render {run.stream}", daemon=True)
            thread.start()
            threads = [other for other in threads if other.is_alive()] + [thread]
        for thread in threads:
            thread.join()

    def _runs(self, stop: Event) -> Iterator[Run]:
        """Those that begin from now on, and before them those of streams that are being fed."""
        barrier = new_barrier()
        newest: dict[str, Run] | None = {}
        with closing(self.broker.read(RUNS, "start")) as entries:
            self.broker.publish(RUNS, barrier)
            for entry in entries:
                if stop.is_set():
                    return
                if isinstance(entry, Barrier) and entry == barrier and newest is not None:
                    yield from (run for run in newest.values() if self.broker.is_fed(run.stream))
                    newest = None
                elif isinstance(entry, RunStarted) and newest is not None:
                    newest[entry.run.stream] = entry.run
                elif isinstance(entry, RunStarted):
                    yield entry.run

    def _render(self, run: Run, stop: Event) -> None:
        try:
            with closing(self.broker.feed(f"render-{run.run_id}")):
                log.info("rendering stream=%s run=%s", run.stream, run.run_id)
                self._draw_all(run, stop)
        except StreamBusy:
            log.info("another renders stream=%s run=%s", run.stream, run.run_id)
        except BrokerError as error:
            log.warning("rendering ended stream=%s run=%s error=%s", run.stream, run.run_id, error)

    def _draw_all(self, run: Run, stop: Event) -> None:
        topic, draw = annotated_log(run.stream), self.open_draw(run.width, run.height)
        video, tracks = (
            self.broker.read(video_log(run.stream), "start"),
            self.broker.read(tracks_log(run.stream), "start"),
        )
        drawn = 0
        for frame, outcome in merge(video, tracks, run.run_id, stop=stop):
            if frame is None or not isinstance(frame.picture, bytes):
                continue
            try:
                picture = self.encode(draw(self.decode(frame.picture), outcome))
            except BadPicture:
                continue
            self.broker.publish(topic, replace(frame, picture=picture))
            drawn += 1
        if not stop.is_set():
            self.broker.publish(topic, RunEnded(run.run_id, run.stream, drawn, RunStatus.COMPLETE))
