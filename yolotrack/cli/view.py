"""`yolotrack view`: watch a stream."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing
from threading import Event
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from yolotrack.cli import common, options, webopt
from yolotrack.errors import UsageError
from yolotrack.model import STREAM_PATTERN

if TYPE_CHECKING:
    from yolotrack.broker.base import SharedBroker
    from yolotrack.config import Settings
    from yolotrack.model import Run
    from yolotrack.roles.view import Moment


def view(
    stream: Annotated[
        str | None, typer.Argument(help="Name of the stream; default: the running one that began last.")
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="One line a second instead of a window.")] = False,
    web: webopt.Web = None,
    token: webopt.Token = None,
    since: Annotated[
        Literal["now", "start"], typer.Option("--from", help="The newest frame, or the newest run from its first.")
    ] = "now",
    once: Annotated[
        bool, typer.Option("--once/--follow", help="Until a run ends, or on to the next ones until stopped.")
    ] = False,
    broker: options.Broker = None,
    namespace: options.Namespace = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
) -> None:
    """Watch a stream: a window, a page for browsers, or one line a second. Watching slows nobody down."""
    if stream is not None and not STREAM_PATTERN.match(stream):
        raise UsageError(f"{stream!r} is no name of a stream: letters, digits, '.', '_' and '-', at most 64")
    settings = common.settings_from(config, db, log_level, broker=options.given(url=broker, namespace=namespace))
    if web is not None:
        if headless or as_json or once or since != "now":
            raise UsageError("--web goes without --headless, --json, --once and --from")
        from yolotrack.cli.web import serve

        serve(settings, web, token, stream)
    elif token is not None:
        raise UsageError("--token guards a page: it goes with --web")
    elif headless or as_json:
        _print_moments(settings, stream, replay=since == "start", once=once, as_json=as_json)
    else:
        _show(settings, stream, replay=since == "start", once=once)


def _print_moments(settings: Settings, stream: str | None, *, replay: bool, once: bool, as_json: bool) -> None:
    from yolotrack.broker.rabbitmq import open_broker
    from yolotrack.cli.signals import draining, leaving
    from yolotrack.roles.view import moments

    stop = Event()
    with leaving(), closing(open_broker(settings.broker, watched=True)) as broker, draining(stop):
        name, run = _find(broker, stream, replay=replay, stop=stop)
        if name is None:
            return
        for moment in moments(broker, name, since=run, once=once, stop=stop):
            print(json.dumps(_as_dict(moment)) if as_json else _line(moment), flush=True)


def _find(broker: SharedBroker, stream: str | None, *, replay: bool, stop: Event) -> tuple[str | None, Run | None]:
    """Which stream to watch, and from which run on; waits for a stream, where none was named, until `stop` is set."""
    from yolotrack.roles.streams import Streams

    if stream is not None and not replay:
        return stream, None
    with closing(Streams(broker)) as streams:
        stream = stream or streams.chosen(replay=replay)
        if stream is None:
            print("waiting for a stream", file=sys.stderr)
        while stream is None and not stop.is_set():
            stream = streams.started()
        return stream, streams.newest(stream) if replay and stream is not None else None


def _as_dict(moment: Moment) -> dict[str, object]:
    ages = {f"p{percent}": moment.percentile(percent) for percent in (50, 95, 99)}
    return {
        "stream": moment.stream,
        "frames": len(moment.latencies),
        "fps": round(moment.fps, 2),
        "objects": moment.objects,
        "lost": moment.lost,
        "latency": ages,
    }


def _line(moment: Moment) -> str:
    ages = [moment.percentile(percent) for percent in (50, 95, 99)]
    told = "/".join("-" if age is None else f"{1000 * age:.0f}" for age in ages)
    return f"{moment.stream}: {moment.fps:.1f} fps, {moment.objects} objects, latency p50/p95/p99 {told} ms" + (
        f", {moment.lost} lost" if moment.lost else ""
    )


def _show(settings: Settings, stream: str | None, *, replay: bool, once: bool) -> None:
    from yolotrack.broker.rabbitmq import open_broker
    from yolotrack.cli.signals import draining, leaving
    from yolotrack.cli.viewer import INSTEAD, Viewer, Wish
    from yolotrack.video.draw import style_of
    from yolotrack.video.window import Window

    stop = Event()
    with leaving(), ExitStack() as stack:
        window = stack.enter_context(closing(Window(stop, instead=INSTEAD)))
        broker = stack.enter_context(closing(open_broker(settings.broker, watched=True)))
        stack.enter_context(draining(stop))
        wish = Wish(stream, replay, once, style_of(settings.output))
        stack.enter_context(closing(Viewer(broker, window, wish, stop))).run()
