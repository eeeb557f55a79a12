"""The page's socket and questions, over a real broker and a real database, without a browser."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.rabbit import RabbitNode, open_rabbit
from tests.support.stores import batch_of, claimed, make_run, open_file, tracked
from tests.support.waiting import DEADLINE, no_thread_left, wait_until
from tests.support.web import served
from yolotrack.broker.base import RUNS, tracks_log
from yolotrack.errors import BadPicture, StoreError
from yolotrack.model import Frame, FrameTracks, Run, RunEnded, RunStarted, RunStatus, utc_now
from yolotrack.roles.watch import Deliver, Key, Paint, Rendition, Watch
from yolotrack.store.base import Store
from yolotrack.web import history as histories
from yolotrack.web import hub as hubs
from yolotrack.web import live as lives
from yolotrack.web.app import create_app
from yolotrack.web.history import History, HistoryPage
from yolotrack.web.hub import Hub
from yolotrack.web.live import LivePage

STREAM = "cam"
PATIENCE = 3 * DEADLINE


class Stage:
    """A stream on a broker, fed by the test, and the app that shows it."""

    def __init__(self, node: RabbitNode, path: Path, stack: ExitStack) -> None:
        self.broker = stack.enter_context(closing(open_rabbit(node.url)))
        self.painted: Counter[tuple[Rendition, int]] = Counter()
        self.path = path
        self.run = replace(make_run(STREAM), started_at=utc_now())
        self.index = 0
        """Of the newest frame that was shown when the test began."""
        self.unreadable = -1
        """A frame whose picture is none."""
        self.failed = Event()
        self.history = stack.enter_context(closing(History(self._open_store)))
        self.hub = stack.enter_context(closing(Hub(self.broker, self.history, self._open_paint, self.failed.set)))
        live = LivePage(self.hub, palette=["#ff0000"], labels=True, traces=False)
        app = create_app([*live.routes, *HistoryPage(self.history).routes], host="127.0.0.1")
        self.port = stack.enter_context(served(app))

    def begin(self, run: Run | None = None) -> None:
        """The run, with a publisher that stays."""
        self.run = run or self.run
        self.broker.publish(RUNS, RunStarted(self.run))
        self.lease = self.broker.feed(STREAM)

    def frame(self, index: int) -> None:
        """A frame and its tracks."""
        tracks = replace(tracked(self.run, index), captured_at=utc_now())
        self.broker.publish_frame(
            Frame(self.run.run_id, STREAM, index, index / 25, tracks.captured_at, b"%d" % index), detect=False
        )
        self.broker.publish(tracks_log(STREAM), tracks)

    def ask(self, path: str) -> tuple[int, Any]:
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=DEADLINE)
        return answer.status_code, answer.json()

    def _open_store(self) -> Store:
        return open_file(self.path, read_only=True)

    def _open_paint(self, rendition: Rendition) -> Paint:
        def paint(jpeg: bytes, tracks: FrameTracks) -> bytes:
            self.painted[rendition, tracks.index] += 1
            if tracks.index == self.unreadable:
                raise BadPicture("it is none")
            return b"drawn " + jpeg

        return paint


class Page:
    """A page that only listens."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.hello = json.loads(socket.recv(DEADLINE))
        self.streams: list[dict[str, Any]] = []
        self.no_history = ""
        self.broker_away = False

    def say(self, **message: Any) -> None:
        self._socket.send(json.dumps(message))

    def look(self, *streams: str, width: int = 400, **style: Any) -> None:
        self.say(do="look", streams=streams, width=width, **style)

    def seen(self, header: dict[str, Any]) -> None:
        self.say(do="seen", stream=header["stream"], look=header["look"])

    def picture(self, seconds: float = PATIENCE) -> tuple[dict[str, Any], bytes]:
        """The next one; `TimeoutError` when none comes."""
        heard = self._socket.recv(seconds)
        while isinstance(heard, str):
            self._note(json.loads(heard))
            heard = self._socket.recv(seconds)
        (length,) = struct.unpack_from(">I", heard)
        return json.loads(heard[4 : 4 + length]), heard[4 + length :]

    def gets_nothing(self) -> bool:
        """Whether the next things that it hears are the states of the streams."""
        return all(isinstance(self._told(), dict) for _ in range(4))

    def wait(self, **wanted: Any) -> dict[str, Any]:
        """Until the stream's state is that; pictures are passed over."""
        found: dict[str, Any] = {}

        def holds() -> bool:
            told = self._told()
            found.update(told["streams"][0] if told and told["streams"] else {})
            return bool(found) and all(found[name] == value for name, value in wanted.items())

        wait_until(holds, str(wanted), PATIENCE)
        return found

    def _told(self) -> dict[str, Any] | None:
        heard = self._socket.recv(PATIENCE)
        if isinstance(heard, bytes):
            return None
        message: dict[str, Any] = json.loads(heard)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        self.streams = message.get("streams", self.streams)
        self.no_history = message.get("no_history", self.no_history)
        self.broker_away = message.get("broker_away", self.broker_away)


@contextmanager
def opened(stage: Stage) -> Iterator[Page]:
    with connect(f"ws://127.0.0.1:{stage.port}/live") as socket:
        yield Page(socket)


@pytest.fixture
def stage(rabbit: RabbitNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for module, name in ((hubs, "REFRESH_SECONDS"), (hubs, "FED_SECONDS"), (lives, "STATE_SECONDS")):
        monkeypatch.setattr(module, name, 0.2)
    monkeypatch.setattr(histories, "RETRY_SECONDS", 0.2)
    with no_thread_left(), ExitStack() as stack:
        stage = Stage(rabbit, tmp_path / "tracks.db", stack)
        yield stage
        assert not stage.failed.is_set(), stage.hub.error


@pytest.fixture
def page(stage: Stage) -> Iterator[Page]:
    """One that looks at the stream, which is live."""
    stage.begin()
    with opened(stage) as page:
        wait_until(lambda: stage.hub.watch(STREAM), "the stream to be watched", PATIENCE)
        page.look(STREAM)
        flow(stage, page)
        yield page


def flow(stage: Stage, page: Page) -> None:
    """Frames from 0 on until one is shown, since those before somebody looks are not, and the last one is."""
    for index in range(1000):
        stage.frame(index)
        with suppress(TimeoutError):
            shown = None
            while shown != index:
                header, _ = page.picture(0.2 if shown is None else PATIENCE)
                page.seen(header)
                shown = header["frame"]
            stage.index = index
            return
    raise AssertionError("no picture came")


def test_the_next_picture_comes_when_the_last_was_seen_and_is_the_newest(stage: Stage, page: Page) -> None:
    first = stage.index + 1
    stage.frame(first)
    header, jpeg = page.picture()
    assert (header["frame"], jpeg) == (first, b"drawn %d" % first)
    assert header["tracks"][0] == [1, "car", 0.5, [first + 0.2, 1.5, first + 100.1, 51.0]]
    for index in range(first + 1, first + 20):
        stage.frame(index)
    assert page.gets_nothing()
    page.seen(header)
    assert page.picture()[0]["frame"] == first + 19
    assert max(stage.painted.values()) == 1


def test_on_a_long_line_pictures_come_before_the_last_was_seen(
    stage: Stage, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = SimpleNamespace(size=2, note=lambda *_, **__: None)
    monkeypatch.setattr(lives, "_Line", partial(lives._Line, window=two))
    page.look(STREAM, labels=False)
    first, _ = page.picture()
    stage.frame(stage.index + 1)
    second, _ = page.picture()
    assert (first["frame"], second["frame"]) == (stage.index, stage.index + 1)
    for index in range(stage.index + 2, stage.index + 5):
        stage.frame(index)
    assert page.gets_nothing(), "two are under way"
    page.seen(first)
    assert page.picture()[0]["frame"] == stage.index + 4
    assert page.gets_nothing()


def test_its_window_hears_whether_a_newer_picture_waited(
    stage: Stage, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bool] = []
    monkeypatch.setattr(lives.Window, "note", lambda _self, _took, _now, *, waiting: heard.append(waiting))
    watch = stage.hub.watch(STREAM)
    assert watch is not None
    page.look(STREAM, labels=False)
    header, _ = page.picture()
    heard.clear()  # what was said of the earlier look has been heard by now
    page.seen(header)
    wait_until(lambda: heard, "the page to be heard", PATIENCE)
    stage.frame(stage.index + 1)
    header, _ = page.picture()
    stage.frame(stage.index + 2)
    wait_until(lambda: watch.has_newer((stage.run.run_id, stage.index + 1)), "a newer picture", PATIENCE)
    page.seen(header)
    wait_until(lambda: len(heard) == 2, "the page to be heard", PATIENCE)
    assert heard == [False, True]


def test_a_picture_of_an_earlier_look_opens_no_second_place(stage: Stage, page: Page) -> None:
    first = stage.index + 1
    stage.frame(first)
    old, _ = page.picture()
    page.look(STREAM, width=1000)
    new, _ = page.picture()
    assert (new["frame"], new["look"]) == (first, old["look"] + 1)
    page.seen(old)
    stage.frame(first + 1)
    assert page.gets_nothing(), "the new one is still under way"
    page.seen(new)
    assert page.picture()[0]["frame"] == first + 1
    assert {rendition.width for rendition, _ in stage.painted} == {480, 1920}


def test_many_pages_cost_one_drawing(stage: Stage, page: Page) -> None:
    with ExitStack() as stack:
        others = [stack.enter_context(opened(stage)) for _ in range(5)]
        for other in others:
            other.look(STREAM)
            assert other.picture()[0]["frame"] == stage.index, "the last one, for whoever comes late"
        stage.frame(stage.index + 1)
        page.picture()
    assert max(stage.painted.values()) == 1


def test_a_page_that_looks_away_costs_no_drawing(stage: Stage, page: Page) -> None:
    page.look()
    page.wait(status="live")
    before = sum(stage.painted.values())
    for index in range(stage.index + 1, stage.index + 6):
        stage.frame(index)
    page.wait(objects=2)
    assert page.gets_nothing()
    assert sum(stage.painted.values()) == before


def test_when_the_last_page_has_left_nothing_is_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "LINGER_SECONDS", 0.2)
    stage.begin()
    with opened(stage) as page:
        page.wait(status="waiting")
        assert stage.hub.watch(STREAM) is not None
    wait_until(lambda: stage.hub.watch(STREAM) is None, "the watch to end", PATIENCE)


def test_a_stream_that_newer_ones_push_out_is_not_read_and_may_come_back(
    stage: Stage, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = stage.hub.watch(STREAM)
    monkeypatch.setattr(hubs, "MOST_STREAMS", 1)
    other = replace(make_run("other"), started_at=utc_now())
    stage.broker.publish(RUNS, RunStarted(other))
    wait_until(lambda: stage.hub.watch(STREAM) is None, "its watch to end", PATIENCE)
    page.wait(stream="other")
    stage.begin(replace(make_run(STREAM), started_at=utc_now()))
    wait_until(lambda: stage.hub.watch(STREAM), "the stream to be watched again", PATIENCE)
    assert stage.hub.watch(STREAM) is not watch
    flow(stage, page)


def test_a_picture_that_cannot_be_read_is_not_asked_for_again(
    stage: Stage, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Key | None] = []
    ask = Watch.ask

    def counted(watch: Watch, looker: Hashable, rendition: Rendition, after: Key | None, deliver: Deliver) -> None:
        asked.append(after)
        ask(watch, looker, rendition, after, deliver)

    monkeypatch.setattr(Watch, "ask", counted)
    stage.unreadable = stage.index + 1
    stage.frame(stage.unreadable)
    known = (stage.run.run_id, stage.unreadable)
    wait_until(lambda: known in asked, "what comes after it to be asked for", PATIENCE)
    assert page.gets_nothing()
    assert asked.count(known) == 1
    stage.frame(stage.unreadable + 1)
    assert page.picture()[0]["frame"] == stage.unreadable + 1


def test_the_state_follows_the_run(stage: Stage, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "QUIET_SECONDS", 1.0)
    told = page.wait(status="waiting", run_id=stage.run.run_id)
    assert (told["width"], told["height"], told["rate"], told["counted"]) == (1280, 720, 25.0, "watch")
    stage.lease.close()
    page.wait(status="silent")
    end = RunEnded(stage.run.run_id, STREAM, stage.index + 1, RunStatus.INTERRUPTED)
    stage.broker.publish(tracks_log(STREAM), end)
    page.wait(status="interrupted")
    stage.begin(replace(make_run(STREAM), started_at=utc_now()))
    page.wait(status="waiting", run_id=stage.run.run_id)
    monkeypatch.setattr(hubs, "QUIET_SECONDS", 60.0)
    stage.frame(0)
    assert page.wait(status="live")["objects"] == 2


def test_a_database_that_comes_later_is_noticed(stage: Stage, page: Page) -> None:
    page.wait(counted="watch")
    assert "tracks.db" in page.no_history
    assert stage.ask(f"/api/streams/{STREAM}/runs")[0] == 404
    with closing(open_file(stage.path)) as store:
        claim = claimed(store, stage.run)
        store.commit(claim, batch_of([tracked(stage.run, index) for index in range(5)]))
        told = page.wait(counted="run", tracked=5)  # it may look between claim and commit
        assert (told["published"], told["tracks"], page.no_history) == (5, 2, "")
        store.end_run(claim, RunStatus.COMPLETE, 5)
        assert page.wait(status="complete")["ended_at"] > told["started_at"]


def test_a_broker_that_does_not_answer_is_told_and_waited_for(
    rabbit: RabbitNode, stage: Stage, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "QUIET_SECONDS", 0.5)
    page.wait(status="waiting")
    with rabbit.frozen():
        wait_until(lambda: page.wait() and page.broker_away, "the page to hear of it", PATIENCE)
        page.wait(status="silent")
    wait_until(lambda: page.wait() and not page.broker_away, "the broker to be back", PATIENCE)
    stage.frame(stage.index + 1)
    assert page.picture()[0]["frame"] == stage.index + 1


@pytest.mark.parametrize(
    "message",
    ["nonsense", "{}", '{"do": "look"}', '{"do": "look", "streams": ["a"], "width": -1}', '"' + "x" * 100_000],
)
def test_a_message_that_is_none_ends_the_connection(stage: Stage, message: str) -> None:
    with connect(f"ws://127.0.0.1:{stage.port}/live") as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed) as ended:
            while True:
                socket.recv(PATIENCE)
        assert ended.value.rcvd is not None and ended.value.rcvd.code in (1008, 1009)


def test_more_pages_than_there_is_room_for_are_told_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MOST_PAGES", 1)
    with opened(stage):
        with connect(f"ws://127.0.0.1:{stage.port}/live") as socket, pytest.raises(ConnectionClosed) as ended:
            socket.recv(PATIENCE)
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1013, "1 pages are open already; close one")


def test_the_history_of_a_track(stage: Stage) -> None:
    run = make_run(STREAM)
    with closing(open_file(stage.path)) as store:
        claim = claimed(store, run)
        frames = [tracked(run, index, ids=(1, 2) if index < 2000 else (2,)) for index in range(2500)]
        store.commit(claim, batch_of(frames))
        store.end_run(claim, RunStatus.COMPLETE, 2500)
    code, told = stage.ask(f"/api/runs/{run.run_id}/tracks/1")
    assert code == 200
    assert (told["summary"]["class_name"], told["summary"]["observations"]) == ("car", 2000)
    assert 900 <= len(told["path"]) <= 1000
    assert len({after[0] - before[0] for before, after in pairwise(told["path"])}) == 1, "evenly"
    assert told["path"][-1] == [1999, 79.96, pytest.approx(2049.2, abs=0.1), pytest.approx(26.25, abs=0.1)]
    assert [row["frame"] for row in told["rows"]] == list(range(1999, 1949, -1))
    assert [track["track_id"] for track in stage.ask(f"/api/runs/{run.run_id}/tracks")[1]["tracks"]] == [2, 1]
    (listed,) = stage.ask(f"/api/streams/{STREAM}/runs")[1]["runs"]
    assert (listed["status"], listed["published"], listed["tracks"]) == ("complete", 2500, 2)


@pytest.mark.parametrize("path", ["/api/runs/{run}/tracks/9", "/api/runs/nothing/tracks/1", "/api/runs/x/tracks"])
def test_what_is_not_there_is_told_in_one_line(stage: Stage, path: str) -> None:
    run = make_run(STREAM)
    with closing(open_file(stage.path)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, 0)]))
    code, told = stage.ask(path.format(run=run.run_id))
    assert code == 404
    assert told["error"] and "\n" not in told["error"]


def test_a_database_that_breaks_is_told_and_does_not_end_the_page(stage: Stage, page: Page) -> None:
    open_file(stage.path).close()
    page.wait(counted="watch")
    wait_until(lambda: page.wait() and not page.no_history, "the database to be noticed", PATIENCE)
    stage.path.write_bytes(b"no database " * 1000)
    for name in ("-wal", "-shm"):
        Path(f"{stage.path}{name}").unlink(missing_ok=True)
    with pytest.raises(StoreError):
        open_file(stage.path, read_only=True)
    wait_until(lambda: page.wait() and page.no_history, "the damage to be told", PATIENCE)
