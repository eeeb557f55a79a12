"""`yolotrack view`: watch a stream."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options

if TYPE_CHECKING:
    from threading import Event

    from yolotrack.broker.base import Broker
    from yolotrack.config import Settings
    from yolotrack.roles.view import Moment


def view(
    stream: Annotated[str, typer.Argument(help="Name of the stream.")],
    headless: Annotated[bool, typer.Option("--headless", help="One line a second instead of a window.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Until a run ends; otherwise until stopped.")] = False,
    broker: options.Broker = None,
    namespace: options.Namespace = None,
    config: common.ConfigOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
) -> None:
    """Watch a stream: a window, or one line a second. Watching slows nobody down."""
    from threading import Event

    from yolotrack.broker.rabbitmq import open_broker
    from yolotrack.cli.signals import draining, leaving

    settings = common.settings_from(config, None, log_level, broker=options.given(url=broker, namespace=namespace))
    stop = Event()
    with leaving(), ExitStack() as stack:
        if headless or as_json:
            opened = stack.enter_context(closing(open_broker(settings.broker)))
            stack.enter_context(draining(stop))
            _print_moments(opened, stream, once=once, as_json=as_json, stop=stop)
        else:
            _show(stack, settings, stream, once=once, stop=stop)


def _print_moments(broker: Broker, stream: str, *, once: bool, as_json: bool, stop: Event) -> None:
    from yolotrack.roles.view import moments

    for moment in moments(broker, stream, once=once, stop=stop):
        print(json.dumps(_as_dict(moment)) if as_json else _line(moment), flush=True)


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


def _show(stack: ExitStack, settings: Settings, stream: str, *, once: bool, stop: Event) -> None:
    from yolotrack.broker.rabbitmq import open_broker
    from yolotrack.cli.signals import draining
    from yolotrack.roles.view import newest_pictures
    from yolotrack.video.draw import Annotator
    from yolotrack.video.jpeg import decode
    from yolotrack.video.window import Window

    window = stack.enter_context(closing(Window(stop)))
    broker = stack.enter_context(closing(open_broker(settings.broker)))
    stack.enter_context(draining(stop))
    pictures = newest_pictures(
        broker, stream, decode, lambda width, height: Annotator(width, height, settings.output), once=once, stop=stop
    )
    for pixels in pictures:
        if pixels is not None:
            window.show(stream, pixels)
