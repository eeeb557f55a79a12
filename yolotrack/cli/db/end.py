"""`yolotrack db end`: a run that nobody finishes is ended by hand."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated

import typer

from yolotrack.cli import common
from yolotrack.errors import StoreError


def end(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, beginning of an id, or latest.")],
    stream: Annotated[str | None, typer.Option("--stream", metavar="NAME", help="Only runs of this stream.")] = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """End a running run as interrupted, with the frames that have their outcome; prints its id.

    Whoever still writes the run is refused from then on. Viewers and a waiting publisher learn of the end with the next
    message of the run that a worker receives.
    """
    from yolotrack.model import RunStatus
    from yolotrack.roles.books import interrupt
    from yolotrack.store.sql import open_existing

    settings = common.settings_from(config, db, log_level)
    with closing(open_existing(settings.database)) as store:
        record = store.find_run(run, stream=stream)
        run_id = record.run.run_id
        if record.status is not RunStatus.RUNNING:
            raise StoreError(f"run {run_id} has ended already: it is {record.status.value}")
        frames = interrupt(store, run_id)
    print(run_id)
    print(f"ended as interrupted, with {frames} frames", file=sys.stderr)
