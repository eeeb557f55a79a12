"""Who may see a page, and what every answer says about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.support.web import Asking, served
from yolotrack.web.app import create_app

TOKEN = "0123456789abcdef"
OTHER = "0123456789abcdeF"
ANY = "0.0.0.0"  # noqa: S104  # what an app is told that it is bound to
KNOWS = {"authorization": f"Bearer {TOKEN}"}

Client = Callable[..., Asking]


async def secret(_request: Request) -> Response:
    return PlainTextResponse("secret")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("secret")
    await socket.close()


def hears(asking: Asking, **headers: str) -> bool:
    return asking.hears("/live", "secret", **headers)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Clients of an app with that token, bound to that host, which call it by that name."""
    ports: dict[tuple[str | None, str], int] = {}
    with ExitStack() as stack:

        def opened(token: str | None = None, host: str = "127.0.0.1", name: str = "") -> Asking:
            if (token, host) not in ports:
                routes = [Route("/", secret), Route("/post", secret, methods=["POST"]), WebSocketRoute("/live", talk)]
                ports[token, host] = stack.enter_context(served(create_app(routes, host=host, token=token)))
            asking = Asking(ports[token, host], name)
            stack.callback(asking.http.close)
            return asking

        yield opened


def log_in(asking: Asking, token: str) -> httpx.Response:
    return asking.post("/login", {"token": token})


@pytest.mark.parametrize("name", ["127.0.0.1:8000", "localhost:9000", "[::1]:8000", "127.8.8.8", "LOCALHOST"])
def test_loopback_names_are_served(client: Client, name: str) -> None:
    asking = client(name=name)
    assert asking.get("/").text == "secret"
    assert hears(asking)


@pytest.mark.parametrize(
    "name", ["evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:80", "localhost.evil"]
)
def test_a_name_that_only_leads_here_is_not(client: Client, name: str) -> None:
    asking = client(name=name)
    assert asking.get("/").status_code == 421
    assert asking.get("/static/style.css").status_code == 421
    assert not hears(asking)


@pytest.mark.parametrize("bad", ["", "[", "a b", "@", "127.0.0.1@evil.example", "\xff"])
def test_a_host_that_is_none_is_refused(client: Client, bad: str) -> None:
    assert client().get("/", {"host": bad.encode("latin-1")}).status_code == 421


def test_a_name_that_it_is_bound_to_is_served(client: Client) -> None:
    asking = client(TOKEN, host="cam.example", name="cam.example:8000")
    assert asking.get("/", KNOWS).text == "secret"


def test_bound_to_all_addresses_the_token_decides(client: Client) -> None:
    asking = client(TOKEN, host=ANY, name="any.example")
    assert asking.get("/").status_code == 401
    assert asking.get("/", KNOWS).text == "secret"
    assert client(None, host=ANY, name="any.example").get("/").status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1", "", "http://["]
)
def test_pages_of_other_sites_are_refused(client: Client, origin: str) -> None:
    asking = client()
    assert asking.post("/post", origin=origin).status_code == 403
    assert not hears(asking, origin=origin)


def test_pages_of_its_own_are_not(client: Client) -> None:
    asking = client()
    own = f"http://{asking.name}"
    assert asking.post("/post", origin=own).text == "secret"
    assert hears(asking, origin=own)


def test_without_the_token_nothing_is_seen(client: Client) -> None:
    asking = client(TOKEN)
    assert asking.get("/").status_code == 401
    assert asking.get("/").json() == {"error": "a token is needed"}
    assert asking.get("/nothing").status_code == 401, "nor what there is"
    assert asking.post("/post").status_code == 401
    assert not hears(asking)
    form = asking.get("/", {"accept": "text/html,*/*"})
    assert form.status_code == 401
    assert 'action="/login"' in form.text
    assert asking.get("/static/style.css").status_code == 200


@pytest.mark.parametrize("given", [OTHER, TOKEN[:-1], TOKEN + "0", "", "é", "0" * 10_000])
def test_a_wrong_token_is_refused(client: Client, given: str) -> None:
    asking = client(TOKEN)
    answer = log_in(asking, given)
    assert answer.status_code == 401
    assert "That is not the token." in answer.text
    assert "set-cookie" not in answer.headers
    assert asking.get("/").status_code == 401
    assert asking.get("/", {"authorization": f"Bearer {given or None}".encode()}).status_code == 401


def test_the_token_opens_and_stays_out_of_the_cookie(client: Client) -> None:
    asking = client(TOKEN)
    answer = log_in(asking, TOKEN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {part.strip().lower() for part in cookie.split(";")[1:]} >= {"httponly", "samesite=strict"}
    assert asking.get("/").text == "secret"
    assert hears(asking)
    assert client(TOKEN, "localhost").get("/", {"cookie": cookie.split(";")[0]}).status_code == 401, "another process"


def test_a_foreign_page_cannot_log_in(client: Client) -> None:
    answer = client(TOKEN).post("/login", {"token": TOKEN}, origin="http://evil.example")
    assert answer.status_code == 403


def test_an_empty_cookie_opens_nothing(client: Client) -> None:
    asking = client(TOKEN)
    log_in(asking, TOKEN)
    (name,) = asking.http.cookies
    asking.http.cookies.clear()
    asking.http.cookies.set(name, "")
    assert asking.get("/").status_code == 401


@pytest.mark.parametrize("path", ["/", "/nothing", "/static/style.css", "/login"])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_every_answer_says_that_nothing_comes_from_elsewhere(client: Client, path: str, token: str | None) -> None:
    headers = client(token).get(path, {"accept": "text/html"}).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;")
    assert "unsafe" not in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
