"""`yolotrack compile`: one annotated video of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options
from yolotrack.errors import UsageError

if TYPE_CHECKING:
    from threading import Event

    from yolotrack.cli.report import ProgressReporter
    from yolotrack.config import Settings
    from yolotrack.model import Run
    from yolotrack.roles.compile import Pair


def compile_(
    output: Annotated[Path, typer.Option("--output", "-o", help="The annotated video.")],
    stream: Annotated[str | None, typer.Option("--stream", help="Its newest run.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Id of the run, or how it begins.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Draw on this file, from the database; no broker needed.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, help="Longest time, seconds, that nothing new may come.")
    ] = 60.0,
    overwrite: options.Overwrite = False,
    stride: options.Stride = None,
    start: options.StartTime = None,
    end: options.EndTime = None,
    max_frames: options.MaxFrames = None,
    broker: options.Broker = None,
    namespace: options.Namespace = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
    quiet: common.QuietOption = False,
) -> None:
    """Make an annotated video: from the broker's logs, of a running run too, or from file and database."""
    from threading import Event

    from yolotrack.cli.report import ProgressReporter
    from yolotrack.cli.signals import leaving

    settings = common.settings_from(
        config,
        db,
        log_level,
        source=options.given(stride=stride, start=start, end=end, max_frames=max_frames),
        broker=options.given(url=broker, namespace=namespace),
    )
    stop = Event()
    with leaving(), ProgressReporter(quiet=quiet) as reporter, ExitStack() as stack:
        job = _Compile(settings, output, overwrite, reporter, stop)
        if source is not None:
            job.from_file(stack, source, stream, run)
        else:
            job.from_logs(stack, stream, run, timeout)
        if stop.is_set():
            raise typer.Exit(common.INTERRUPTED)
    print(output)


class _Compile:
    """One video on its way."""

    def __init__(
        self, settings: Settings, output: Path, overwrite: bool, reporter: ProgressReporter, stop: Event
    ) -> None:
        self._settings = settings
        self._output = output
        self._overwrite = overwrite
        self._reporter = reporter
        self._stop = stop

    def from_file(self, stack: ExitStack, name: str, stream: str | None, run: str | None) -> None:
        """From the original file and the database: every frame of the run, however old it is."""
        from yolotrack.roles.compile import pairs_of_file
        from yolotrack.store.sql import open_store
        from yolotrack.video.source import open_source

        source = stack.enter_context(closing(open_source(name, self._settings.source)))
        store = stack.enter_context(closing(open_store(self._settings.database, read_only=True)))
        record = store.find_run(run or "latest", stream=stream)
        pairs = pairs_of_file(source, store.outcomes(record.run.run_id), stop=self._stop)
        self._write(record.run, pairs, record.ledger.published, sound=name)

    def from_logs(self, stack: ExitStack, stream: str | None, run: str | None, timeout: float) -> None:
        """From the broker's two logs of a stream, up to the end of the run."""
        from yolotrack.broker.base import tracks_log, video_log
        from yolotrack.broker.rabbitmq import open_broker
        from yolotrack.roles.compile import merge
        from yolotrack.roles.runs import find_run

        if stream is None and run is None:
            raise UsageError("name what to compile: --stream NAME or --run ID")
        broker = stack.enter_context(closing(open_broker(self._settings.broker)))
        found = find_run(broker, stream, run, seconds=timeout, stop=self._stop)
        video, tracks = broker.read(video_log(found.stream), "start"), broker.read(tracks_log(found.stream), "start")
        pairs = merge(video, tracks, found.run_id, stop=self._stop, patience=timeout)
        self._write(found, pairs, None)

    def _write(self, run: Run, pairs: Iterator[Pair], expected: int | None, sound: str | None = None) -> None:
        import numpy as np

        from yolotrack.cli.signals import draining
        from yolotrack.pipeline import Progress
        from yolotrack.roles.compile import compile_video
        from yolotrack.video.draw import Annotator
        from yolotrack.video.jpeg import decode
        from yolotrack.video.sink import open_sink

        sink = open_sink(
            self._output,
            width=run.width,
            height=run.height,
            rate=run.rate,
            settings=self._settings.output,
            overwrite=self._overwrite,
            audio_from=sound,
        )

        def counted() -> Iterator[Pair]:
            for count, pair in enumerate(pairs, start=1):
                self._reporter(Progress(run, expected, count, 0, len(pair[1].tracks)))
                yield pair

        draw = Annotator(run.width, run.height, self._settings.output)
        blank = np.zeros((run.height, run.width, 3), np.uint8)
        with draining(self._stop, self._reporter.announce_stop):
            compile_video(counted(), draw, sink, decode=decode, blank=blank)
