"""The WebSocket of the page: the state of all streams, and pictures of those it looks at, at the page's own pace.

The page says, in JSON, `{"do": "look", "streams": [...], "width": 480, "labels": true, "traces": true, "classes": []}`
when what it shows has changed, `{"do": "seen", "stream": ..., "look": ...}` once it has drawn a picture, `look` being
from the picture's header, and `{"do": "clock", "at": ...}`, which comes back with this clock's time. It hears the
`streams` once a second as text, and pictures as bytes: the length of a JSON header (32 bit, big-endian), the header,
the JPEG. The next picture of a stream comes after the last one was seen, or sooner where the line is long.
"""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from yolotrack.model import FrameTracks
from yolotrack.roles.pairs import Key
from yolotrack.roles.watch import Drawn, Rendition, Watch
from yolotrack.web.app import STATIC
from yolotrack.web.history import milliseconds
from yolotrack.web.hub import MOST_STREAMS, Hub
from yolotrack.web.window import Window

WIDTHS = (480, 960, 1920)
"""Pictures are drawn this wide; few sizes, so that pages share them."""
STATE_SECONDS = 1.0
SLOWEST_PAGE = 30.0
"""Seconds that a page may take for one message."""
MOST_PAGES = 32
TOO_MANY, MALFORMED = 1013, 1008
_LENGTH = struct.Struct(">I")
_Name = Annotated[str, msgspec.Meta(max_length=200)]


class _Look(msgspec.Struct, frozen=True, tag_field="do", tag="look"):
    streams: Annotated[list[_Name], msgspec.Meta(max_length=MOST_STREAMS)]
    width: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    labels: bool = True
    traces: bool = True
    classes: Annotated[list[_Name], msgspec.Meta(max_length=100)] = []

    @property
    def rendition(self) -> Rendition:
        width = next((width for width in WIDTHS if width >= self.width), WIDTHS[-1])
        return Rendition(width, self.labels, self.traces, tuple(sorted(set(self.classes))))


class _Seen(msgspec.Struct, frozen=True, tag_field="do", tag="seen"):
    stream: _Name
    look: int


class _Clock(msgspec.Struct, frozen=True, tag_field="do", tag="clock"):
    at: float


_said = msgspec.json.Decoder(_Look | _Seen | _Clock)


class LivePage:
    """The page and its socket."""

    def __init__(self, hub: Hub, *, palette: Sequence[str], labels: bool, traces: bool) -> None:
        """`palette` holds the colours of tracks as in `#00c4ff`, by id; `labels` and `traces` are what a page begins
        with.
        """
        self._hub = hub
        self._hello = json.dumps({"say": "hello", "palette": list(palette), "labels": labels, "traces": traces})
        self._open = 0

    @property
    def routes(self) -> list[BaseRoute]:
        """For the app."""
        return [Route("/", self.page), WebSocketRoute("/live", self.live)]

    async def page(self, _request: Request) -> Response:
        """The page itself."""
        return FileResponse(STATIC / "index.html")

    async def live(self, socket: WebSocket) -> None:
        """One page, until it leaves."""
        await socket.accept()
        if self._open >= MOST_PAGES:
            return await socket.close(TOO_MANY, f"{MOST_PAGES} pages are open already; close one")
        self._open += 1
        self._hub.join()
        page = _Page(self._hub, socket)
        try:
            await socket.send_text(self._hello)
            await page.run()
        finally:
            page.forget_all()
            self._hub.leave()
            self._open -= 1


@dataclass(slots=True, eq=False)
class _Line:
    """One stream on its way to one page."""

    asked: Watch | None = None
    """Who owes a picture, or is the owner of one that is not sent yet. Of a watch that has ended none comes."""
    sent: deque[float] = field(default_factory=deque)
    """When pictures were sent that were not seen yet, the oldest first."""
    window: Window = field(default_factory=Window)


class _Page:
    """One browser. Everything here runs in the event loop, but for `deliver`."""

    def __init__(self, hub: Hub, socket: WebSocket) -> None:
        self._hub = hub
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._look: _Look | None = None
        self._looks = 0
        self._lines: dict[str, _Line] = {}
        """Of this look's streams."""
        self._shown: dict[str, tuple[Rendition, Key]] = {}
        """What came last, whether or not it could be read."""
        self._outbox: dict[str, Drawn] = {}
        self._clocks: list[float] = []
        self._something = asyncio.Event()

    async def run(self) -> None:
        """Until the page leaves, takes too long, or says what nobody understands."""
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._send())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (WebSocketDisconnect, asyncio.TimeoutError):
            pass
        except msgspec.MsgspecError:
            await self._socket.close(MALFORMED, "not understood; reload the page")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def forget_all(self) -> None:
        """What was asked for is no longer wanted."""
        for line in self._lines.values():
            if line.asked is not None:
                line.asked.forget(self)

    async def _receive(self) -> None:
        while True:
            said = _said.decode(await self._socket.receive_text())
            if isinstance(said, _Look):
                self._turn_to(said)
            elif isinstance(said, _Seen):
                if said.look == self._looks:
                    self._note_seen(said.stream)
                    self._ask()
            else:
                self._clocks.append(said.at)
                self._something.set()

    def _turn_to(self, look: _Look) -> None:
        self.forget_all()
        self._look = look
        self._looks += 1
        self._outbox.clear()
        self._lines = {stream: _Line() for stream in look.streams}
        self._ask()

    def _note_seen(self, stream: str) -> None:
        line = self._lines.get(stream)
        if line is None or not line.sent:
            return  # it says so of what was not sent
        now, watch = time.monotonic(), self._hub.watch(stream)
        _, last = self._shown[stream]
        waiting = watch is not None and watch.has_newer(last)
        line.window.note(now - line.sent.popleft(), now, waiting=waiting)

    def _ask(self) -> None:
        """The next picture of every stream that is looked at, where one more may be on its way."""
        for stream, line in self._lines.items():
            watch = self._hub.watch(stream)
            if watch is not None and line.asked is not watch and len(line.sent) < line.window.size:
                line.asked = watch
                self._ask_of(watch, stream)

    def _ask_of(self, watch: Watch, stream: str) -> None:
        assert self._look is not None  # noqa: S101  # there are lines
        rendition, last = self._shown.get(stream, (None, None))
        after = last if rendition == self._look.rendition else None
        watch.ask(self, self._look.rendition, after, self._deliver)

    def _deliver(self, drawn: Drawn) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._arrived, drawn)

    def _arrived(self, drawn: Drawn) -> None:
        stream = drawn.tracks.stream
        if self._look is None or stream not in self._lines or drawn.rendition != self._look.rendition:
            return  # asked for by an earlier look
        self._outbox[stream] = drawn
        self._something.set()

    async def _send(self) -> None:
        told_at = float("-inf")
        while True:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._something.wait(), STATE_SECONDS)
            self._something.clear()
            if time.monotonic() - told_at >= STATE_SECONDS:
                told_at = time.monotonic()
                await self._say(await asyncio.to_thread(self._state))
                self._ask()
            while self._clocks:
                await self._say({"say": "clock", "at": self._clocks.pop(), "now": milliseconds(time.time())})
            while self._outbox:
                await self._show(self._outbox.pop(next(iter(self._outbox))))

    def _state(self) -> dict[str, Any]:
        streams = [asdict(status) for status in self._hub.streams()]
        return {
            "say": "streams",
            "streams": streams,
            "broker_away": self._hub.is_away,
            "no_history": self._hub.no_history,
        }

    async def _say(self, message: dict[str, Any]) -> None:
        await asyncio.wait_for(self._socket.send_text(json.dumps(message)), SLOWEST_PAGE)

    async def _show(self, drawn: Drawn) -> None:
        stream = drawn.tracks.stream
        line = self._lines[stream]
        self._shown[stream] = (drawn.rendition, drawn.key)
        if drawn.jpeg is not None:
            header = json.dumps({"look": self._looks, **_header(drawn.tracks)}).encode()
            message = b"".join((_LENGTH.pack(len(header)), header, drawn.jpeg))
            line.sent.append(time.monotonic())  # now: it may be seen before we hear that it is sent
            await asyncio.wait_for(self._socket.send_bytes(message), SLOWEST_PAGE)
        line.asked = None
        self._ask()


def _header(tracks: FrameTracks) -> dict[str, Any]:
    """What belongs to a picture: boxes are pixels of the original one."""
    found = tracks.tracks
    ids, scores, names = found.tracker_id, found.confidence, found.data.get("class_name", [])
    rows = zip(ids, names, scores, found.xyxy, strict=True) if ids is not None and scores is not None else ()
    return {
        "stream": tracks.stream,
        "run_id": tracks.run_id,
        "frame": tracks.index,
        "media_time": round(tracks.media_time, 3),
        "captured_at": tracks.captured_at.timestamp() * 1000,
        "tracks": [
            [int(track), str(name), round(float(score), 3), [round(float(side), 1) for side in box]]
            for track, name, score, box in rows
        ],
    }
