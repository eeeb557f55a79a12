"""`yolotrack retrack`: another tracker, or other parameters, on what the detector found."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options

if TYPE_CHECKING:
    from yolotrack.cli.report import ProgressReporter
    from yolotrack.config import Settings
    from yolotrack.model import FrameTracks, RunRecord
    from yolotrack.pipeline import RunSummary
    from yolotrack.store.base import Store


def retrack(
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Id, beginning of an id, or latest.")] = "latest",
    stream: Annotated[str | None, typer.Option("--stream", help="Only runs of this stream.")] = None,
    tracker: options.Tracker = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Track a run again without detecting again, into a new run of the same stream: another tracker, other parameters.

    The run must have been tracked with `database.detections: true`. Parameters are those of the settings.
    """
    from yolotrack.cli.report import ProgressReporter, print_summaries
    from yolotrack.cli.signals import draining, leaving
    from yolotrack.model import RunStatus
    from yolotrack.store.sql import open_existing

    settings = common.settings_from(config, db, log_level, tracker=options.given(name=tracker))
    stop = Event()
    with leaving(), closing(open_existing(settings.database)) as store:
        original = store.find_run(run, stream=stream)
        if original.status is RunStatus.RUNNING:
            print(f"run {original.run.run_id} has not ended: its frames so far are tracked", file=sys.stderr)
        with ProgressReporter(quiet=quiet) as reporter, draining(stop, reporter.announce_stop):
            summary = _retrack(settings, store, original, reporter, stop)
        print_summaries([summary], common.masked_database(settings), as_json=as_json)
        if stop.is_set():
            raise typer.Exit(common.INTERRUPTED)


def _retrack(
    settings: Settings, store: Store, original: RunRecord, reporter: ProgressReporter, stop: Event
) -> RunSummary:
    from yolotrack.pipeline import RunSummary
    from yolotrack.roles.retrack import retrack as track_again
    from yolotrack.vision.tracker import open_tracker

    started = time.monotonic()
    run_id = track_again(
        store,
        original,
        lambda run: open_tracker(settings.tracker, run.rate),
        stop=stop,
        keep_detections=settings.database.detections,
        on_frame=_progress(original, reporter),
    )
    seconds = time.monotonic() - started
    record = store.find_run(run_id)
    by_class = Counter(track.class_name for track in store.tracks(run_id))
    return RunSummary(record.run, record.status, record.ledger, 0, seconds, dict(by_class), None)


def _progress(original: RunRecord, reporter: ProgressReporter) -> Callable[[FrameTracks], None]:
    """Tells the reporter how far the new run is."""
    from yolotrack.pipeline import Progress

    expected = original.ledger.settled

    def on_frame(frame: FrameTracks) -> None:
        reporter(Progress(original.run, expected, frame.index + 1, 0, len(frame.tracks)))

    return on_frame
