"""`yolotrack view --web`: the streams of a broker as a page."""

from __future__ import annotations

from contextlib import ExitStack, closing
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from yolotrack.config import Settings
    from yolotrack.roles.watch import Paint, Rendition

QUALITY = 80


def serve(settings: Settings, web: str, token: str | None, stream: str | None = None) -> None:
    """Serve the page at `web`, as `parse_address` reads it, until Ctrl-C or SIGTERM; it begins with `stream`.

    Prints where it is. Errors are those of `listen`, and `BrokerError` when the broker stayed away for too long.
    """
    from yolotrack.broker.rabbitmq import open_broker
    from yolotrack.cli.signals import draining, leaving
    from yolotrack.store.sql import open_store
    from yolotrack.video.draw import PALETTE
    from yolotrack.web import server
    from yolotrack.web.app import create_app
    from yolotrack.web.history import History, HistoryPage
    from yolotrack.web.hub import Hub
    from yolotrack.web.live import LivePage

    stop = Event()
    with leaving(), ExitStack() as stack:
        listener, address = server.listen(server.parse_address(web), token)
        stack.callback(listener.close)
        broker = stack.enter_context(closing(open_broker(settings.broker)))
        history = stack.enter_context(closing(History(lambda: open_store(settings.database, read_only=True))))
        hub = stack.enter_context(closing(Hub(broker, history, _open_paint(settings), stop.set)))
        palette = [color.as_hex() for color in PALETTE.colors]
        live = LivePage(hub, palette=palette, labels=settings.output.labels, traces=settings.output.traces)
        app = create_app([*live.routes, *HistoryPage(history).routes], host=address.host, token=token)
        stack.enter_context(draining(stop))
        print(f"{address.url}{f'#{stream}' if stream else ''}\nCtrl-C ends it", flush=True)
        server.serve(app, listener, stop)
        if hub.error is not None:
            raise hub.error


def _open_paint(settings: Settings) -> Callable[[Rendition], Paint]:
    from yolotrack.video.draw import Style
    from yolotrack.video.paint import Painter

    def open_paint(rendition: Rendition) -> Paint:
        style = Style(
            labels=rendition.labels,
            traces=rendition.traces,
            trace_length=settings.output.trace_length,
            classes=rendition.classes,
        )
        return Painter(rendition.width, style, QUALITY)

    return open_paint
