"""`yolotrack work`: detect and track for publishers anywhere."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options
from yolotrack.errors import UsageError

if TYPE_CHECKING:
    from threading import Event

    from yolotrack.broker.base import SharedBroker
    from yolotrack.config import Settings
    from yolotrack.roles.render import RenderRole
    from yolotrack.store.sql import SQLStore

ROLES = ("detect", "track")
"""What `all` means."""
RENDER = "render"


def work(
    role: Annotated[
        str, typer.Option("--role", help="all (detect and track), or of detect, track, render a list.")
    ] = "all",
    model: options.Model = None,
    conf: options.Conf = None,
    iou: options.Iou = None,
    imgsz: options.Imgsz = None,
    max_det: options.MaxDet = None,
    classes: options.Classes = None,
    device: options.Device = None,
    half: options.Half = None,
    batch: options.Batch = None,
    cpu_isa: options.CpuIsa = None,
    tracker: options.Tracker = None,
    broker: options.Broker = None,
    namespace: options.Namespace = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
) -> None:
    """Take frames from the broker, detect and track, write the database. Start as many as you like, anywhere.

    Ctrl-C finishes what is in hand. Killing one loses nothing: the others go on.
    """
    from threading import Event

    from yolotrack.cli.signals import leaving

    settings = common.settings_from(
        config,
        db,
        log_level,
        model=options.model_section(model, conf, iou, imgsz, max_det, classes, device, half, batch, cpu_isa),
        tracker=options.given(name=tracker),
        broker=options.given(url=broker, namespace=namespace),
        chatty=True,
    )
    with leaving():
        run_worker(settings, _roles(role), Event())


def _roles(text: str) -> frozenset[str]:
    wanted = frozenset(ROLES) if text == "all" else frozenset(part.strip() for part in text.split(","))
    if not wanted or not wanted <= {*ROLES, RENDER}:
        raise UsageError(f"--role {text}: choose all, or among {', '.join((*ROLES, RENDER))}")
    return wanted


def run_worker(settings: Settings, roles: frozenset[str], stop: Event) -> None:
    """Open what the roles need, cheapest refusal first, and work until `stop`."""
    from yolotrack.broker.rabbitmq import open_broker
    from yolotrack.cli.signals import draining
    from yolotrack.video.jpeg import decode
    from yolotrack.vision.detector import open_detector
    from yolotrack.vision.tracker import open_tracker
    from yolotrack.worker import Worker

    open_tracker(settings.tracker, None)  # refused now rather than at the first frame
    with ExitStack() as stack:
        store = stack.enter_context(closing(_open_store(settings, stop))) if "track" in roles else None
        detector = stack.enter_context(closing(open_detector(settings.model))) if "detect" in roles else None
        broker = stack.enter_context(closing(open_broker(settings.broker)))
        worker = Worker(
            broker,
            settings,
            decode,
            detector,
            store,
            lambda run: open_tracker(settings.tracker, run.rate),
            _renderer(settings, broker) if RENDER in roles else None,
        )
        with draining(stop):
            worker.run(stop)


def _open_store(settings: Settings, stop: Event) -> SQLStore:
    """However long a server restarts: a worker that begins meanwhile waits as one that is at work does."""
    from yolotrack.roles.endure import open_patiently
    from yolotrack.store.sql import open_store
    from yolotrack.worker import STORE_PATIENCE

    return open_patiently(lambda: open_store(settings.database), stop, patience=STORE_PATIENCE)


def _renderer(settings: Settings, broker: SharedBroker) -> RenderRole:
    from yolotrack.roles.render import RenderRole
    from yolotrack.video.draw import open_annotator
    from yolotrack.video.jpeg import decode, encode

    return RenderRole(
        broker,
        decode,
        lambda pixels: encode(pixels, settings.publish.quality),
        lambda width, height: open_annotator(width, height, settings.output),
    )
