"""`yolotrack publish`: frames into the broker."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options
from yolotrack.model import Outcome, RunStatus

if TYPE_CHECKING:
    from threading import Event

    from yolotrack.config import Settings
    from yolotrack.model import FrameTracks, Run, RunEnded
    from yolotrack.video.base import Source


CUT_OFF = (
    "the run was ended as interrupted: its publisher was away for longer than broker.orphan_seconds, or somebody ended "
    "it; publish again for a new run"
)


def publish(
    source: Annotated[str, typer.Argument(help="A file, a folder or glob of images, a URL, a webcam number.")],
    stream: options.Stream = None,
    mode: Annotated[str | None, typer.Option("--mode", help="archive, live, or auto: live for cameras.")] = None,
    quality: Annotated[int | None, typer.Option("--quality", help="JPEG quality, 1-100.")] = None,
    stride: options.Stride = None,
    start: options.StartTime = None,
    end: options.EndTime = None,
    max_frames: options.MaxFrames = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="At the source's own pace.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="From the beginning again, until stopped.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until every frame is tracked.")] = False,
    broker: options.Broker = None,
    namespace: options.Namespace = None,
    config: common.ConfigOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Send the frames of a video to the workers. Needs no worker to be running yet."""
    from threading import Event

    from yolotrack.cli.signals import leaving

    settings = common.settings_from(
        config,
        None,
        log_level,
        publish=options.given(mode=mode, quality=quality),
        source=options.given(stride=stride, start=start, end=end, max_frames=max_frames),
        broker=options.given(url=broker, namespace=namespace),
    )
    stop = Event()
    with leaving(), ExitStack() as stack:
        opened = _open(stack, settings, source, realtime=realtime, loop=loop, stop=stop)
        tally = Tally() if wait else None
        ended, run = _publish(settings, opened, stream, tally, quiet=quiet, stop=stop)
        _print(run, ended, tally, as_json=as_json)
        if stop.is_set():
            raise typer.Exit(common.INTERRUPTED)
        if ended.status is not RunStatus.COMPLETE:
            print(f"error: {run.stream}: {CUT_OFF}", file=sys.stderr)
            raise typer.Exit(common.FAILED)
        if tally is not None and tally.failed:
            common.tell_failed(run.stream, tally.failed, ended.frame_count, tally.reason)
            raise typer.Exit(common.FAILED)


@dataclass(slots=True)
class Tally:
    """How the frames of a run ended so far."""

    counts: Counter[str] = field(default_factory=Counter)
    reason: str = ""
    """Why the first of the failed ones did."""

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.counts["failed"]

    def add(self, outcome: FrameTracks) -> None:
        """Count one frame."""
        self.counts[outcome.outcome.value] += 1
        if self.failed and not self.reason:
            self.reason = outcome.reason


def _open(stack: ExitStack, settings: Settings, name: str, *, realtime: bool, loop: bool, stop: Event) -> Source:
    from yolotrack.video.pace import Looped, Paced
    from yolotrack.video.source import open_source

    opened: Source = open_source(name, settings.source)
    if loop:
        opened = Looped(opened, lambda: open_source(name, settings.source))
    if realtime:
        opened = Paced(opened, stop)
    return stack.enter_context(closing(opened))


def _publish(
    settings: Settings, source: Source, stream: str | None, tally: Tally | None, *, quiet: bool, stop: Event
) -> tuple[RunEnded, Run]:
    from yolotrack.broker.base import RUNS, shard_topic
    from yolotrack.broker.rabbitmq import open_broker
    from yolotrack.cli.report import ProgressReporter
    from yolotrack.cli.run import motion_estimator, stream_names
    from yolotrack.cli.signals import draining
    from yolotrack.model import Mode, RunStarted
    from yolotrack.pipeline import Progress, new_run
    from yolotrack.roles import publish as role
    from yolotrack.roles.attendance import Lookout
    from yolotrack.roles.fence import Fence
    from yolotrack.video.jpeg import encode

    chosen = None if settings.publish.mode == "auto" else Mode(settings.publish.mode)
    run = new_run(source, stream_names([source], stream)[0], chosen)
    expected = source.info.frame_count
    with ExitStack() as stack:
        broker = stack.enter_context(closing(open_broker(settings.broker)))
        lease = stack.enter_context(closing(broker.feed(run.stream)))
        stack.enter_context(closing(Lookout(broker, shard_topic(run.stream, settings.broker.shards))))
        reporter = stack.enter_context(ProgressReporter(quiet=quiet))
        stack.enter_context(draining(stop, reporter.announce_stop))
        broker.publish(RUNS, RunStarted(run))
        ended = role.publish(
            source,
            run,
            broker,
            shard_topic(run.stream, settings.broker.shards),
            stop=stop,
            estimate_motion=motion_estimator(settings),
            encode=lambda pixels: encode(pixels, settings.publish.quality),
            fence=Fence(broker, lease, run),
            on_frame=lambda count: reporter(Progress(run, expected, count, 0, 0)),
        )
        if tally is not None:
            published = ended.frame_count
            ended = role.wait_tracked(
                broker,
                run,
                stop=stop,
                on_frame=lambda count: reporter(Progress(run, published, count, 0, 0)),
                on_outcome=tally.add,
            ) or replace(ended, status=RunStatus.RUNNING)  # nobody waits any more; the workers go on
    return ended, run


def _print(run: Run, ended: RunEnded, tally: Tally | None, *, as_json: bool) -> None:
    document: dict[str, object] = {
        "run_id": run.run_id,
        "stream": run.stream,
        "source": run.source,
        "status": ended.status.value,
        "published": ended.frame_count,
    }
    if tally is not None:
        document |= {outcome.value: tally.counts[outcome.value] for outcome in Outcome}
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(f"{name}: {value}" for name, value in document.items()))
