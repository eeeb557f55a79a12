"""The app that serves pages: one look, one guard, the routes of whoever mounts it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from yolotrack.web.guard import Guard

STATIC = Path(__file__).with_name("static")
ICON = "/static/icon.svg"


def create_app(routes: Sequence[BaseRoute], *, host: str, token: str | None = None) -> Starlette:
    """An app of these routes, with `/static/` beside them, behind the guard.

    `host` is what the server is bound to; `token` as in `Guard`. Where no route is for `/`, it leads to the first.
    """

    async def lead(_request: Request) -> Response:
        return RedirectResponse(getattr(routes[0], "path", "/"))

    async def icon(_request: Request) -> Response:
        return RedirectResponse(ICON)

    shared = [
        Mount("/static", StaticFiles(directory=STATIC)),
        Route("/favicon.ico", icon),
        Route("/", lead),
    ]
    return Starlette(routes=[*routes, *shared], middleware=[Middleware(Guard, host=host, token=token)])
