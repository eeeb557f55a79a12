"""Who may see a page: the right host, the right origin and, where one is set, a token. Nothing comes from elsewhere.

A browser proves that it knows the token once, in a form, and then holds a cookie that scripts cannot read and that
ends with this process; programs send `Authorization: Bearer`. The token never stands in a URL.
"""

from __future__ import annotations

import ipaddress
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGIN = "/login"
OPEN = "/static/"
"""What anybody may have: the same files are in the package."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with less, browsers do not tell the origin of a form
    "X-Content-Type-Options": "nosniff",
}
FORM_BYTES = 4096
_FORM = (Path(__file__).with_name("static") / "login.html").read_text(encoding="utf-8")
_WRONG = '<p class="problem" role="alert">That is not the token.</p>'


class Guard:
    """Lets through what may pass, answers the rest itself, and puts `HEADERS` on every answer. ASGI middleware."""

    def __init__(self, app: ASGIApp, *, host: str, token: str | None) -> None:
        """`host` is what the server is bound to. Only loopback names and itself are served, so that a foreign name
        that resolves to this machine is not; bound to all addresses the token alone decides.
        """
        self._app = app
        self._host = host.strip("[]").lower()
        self._token = token
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        answer = await self._answer(scope, receive)
        if answer is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: the browser sees a 403
        else:
            await answer(scope, receive, _with_headers(send))

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """What is said instead of what was asked for; None where that may pass."""
        asked = HTTPConnection(scope)
        if not self._serves(asked.headers.get("host", "")):
            return PlainTextResponse("this server is not known by that name\n", 421)
        if not _own_origin(asked):
            return PlainTextResponse("pages of other sites may not ask here\n", 403)
        path = asked.url.path
        if self._token is None or path.startswith(OPEN):
            return None
        if path == LOGIN and scope.get("method") == "POST":
            return await self._log_in(Request(scope, receive), self._token)
        return None if self._knows(asked, self._token) else _refused(asked)

    def _serves(self, host: str) -> bool:
        name = _name_of(host)
        return name == self._host or _is_loopback(name) or (self._token is not None and _is_any(self._host))

    def _knows(self, asked: HTTPConnection, token: str) -> bool:
        kind, _, given = asked.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(given.strip(), token):
            return True
        return _same(asked.cookies.get(_cookie_name(asked), ""), self._session)

    async def _log_in(self, request: Request, token: str) -> Response:
        if not _same(await _field(request, "token"), token):
            return HTMLResponse(_FORM.replace("<!-- problem -->", _WRONG), 401)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(_cookie_name(request), self._session, httponly=True, samesite="strict", secure=secure)
        return answer


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped


def _own_origin(asked: HTTPConnection) -> bool:
    """No origin is that of a program, or of a plain link to a page."""
    origin = asked.headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == asked.headers["host"].lower()


def _refused(asked: HTTPConnection) -> Response:
    if "text/html" in asked.headers.get("accept", ""):
        return HTMLResponse(_FORM, 401)
    return JSONResponse({"error": "a token is needed"}, 401, {"WWW-Authenticate": "Bearer"})


async def _field(request: Request, name: str) -> str:
    """One field of a posted form; empty where the form has none, or is too large to be ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES:
            return ""
    return parse_qs(body.decode(errors="replace")).get(name, [""])[0]


def _cookie_name(asked: HTTPConnection) -> str:
    """Browsers share cookies between the ports of a host."""
    server = asked.scope.get("server")
    return f"yolotrack-{server[1] if server else 0}"


def _same(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(), wanted.encode())


def _name_of(host: str) -> str:
    """A Host header without its port; empty for nonsense."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
