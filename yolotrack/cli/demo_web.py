"""`yolotrack demo --web`: the page on which visitors have a video tracked."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import ExitStack, closing
from threading import Event, Thread
from typing import TYPE_CHECKING

from yolotrack.cli.private_folder import private_folder

if TYPE_CHECKING:
    from yolotrack.config import Settings

MEGABYTE = 1024 * 1024


def serve_demo(settings: Settings, web: str, token: str | None, max_mb: int, max_seconds: int) -> None:
    """Serve the page until Ctrl-C or SIGTERM, in a temporary folder that is gone afterwards."""
    from yolotrack.cli.signals import draining, leaving
    from yolotrack.cli.studio import PipelineStudio, preview
    from yolotrack.web.app import create_app
    from yolotrack.web.server import listen, parse_address, serve
    from yolotrack.web.try_jobs import Jobs, Limits
    from yolotrack.web.try_routes import TryPage

    uploads, street = _playable(settings), _playable(_with_bundled_model(settings))
    limits = Limits(upload_bytes=max_mb * MEGABYTE, video_seconds=max_seconds)
    stop = Event()
    with leaving(), ExitStack() as stack:
        listener, address = listen(parse_address(web), token)
        stack.callback(listener.close)
        folder = stack.enter_context(private_folder("yolotrack-demo-"))
        jobs = stack.enter_context(closing(Jobs(PipelineStudio(uploads, street, max_seconds), folder, limits)))
        app = create_app(TryPage(jobs, preview).routes, host=address.host, token=token)
        stack.enter_context(draining(stop))
        print(f"{address.url}try\nCtrl-C ends it", flush=True)
        _open_browser(f"{address.url}try")
        serve(app, listener, stop)


def _with_bundled_model(settings: Settings) -> Settings:
    """The model that knows the street."""
    from yolotrack.demo.source import IMGSZ, WEIGHTS

    model = settings.model.model_copy(update={"weights": str(WEIGHTS), "imgsz": IMGSZ, "classes": ()})
    return settings.model_copy(update={"model": model})


def _playable(settings: Settings) -> Settings:
    """A video that every browser plays, whatever the settings want for other videos."""
    output = settings.output.model_copy(update={"codec": "h264", "crf": None})
    return settings.model_copy(update={"output": output})


def _open_browser(url: str) -> None:
    """Where somebody sits in front of this machine; it may take its time."""
    display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display:
        Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
