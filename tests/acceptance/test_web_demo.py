"""`yolotrack demo --web`, as a visitor uses it: in a browser, and with whatever else may come over the wire."""

from __future__ import annotations

import csv
import http.client
import io
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.browser import chromium
from tests.support.commands import PATIENCE, SCRIPTED, SLOW, Running, yolotrack
from tests.support.players import played
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OpenPage = Callable[..., Any]


class App:
    """The command, serving on a port of its own, its temporary files in `folder`."""

    def __init__(self, running: Running, folder: Path) -> None:
        assert running.process.stdout is not None
        self.url = running.process.stdout.readline().decode().strip()
        self._running = running
        self._folder = folder
        assert urlsplit(self.url).hostname == "127.0.0.1", running.shown

    @property
    def files(self) -> set[str]:
        """Names of everything the app holds of its jobs."""
        return {path.name for path in self._folder.glob("yolotrack-demo-*/files/**/*") if path.is_file()}

    @property
    def folders(self) -> list[Path]:
        return list(self._folder.glob("yolotrack-demo-*"))

    @property
    def jobs(self) -> list[str]:
        return [path.name for path in self._folder.glob("yolotrack-demo-*/files/*")]

    def end(self, number: int) -> tuple[int, str]:
        done = self._running.end(number)
        return done.code, done.err

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """One request on a connection of its own; an iterable as body goes in chunks, its length not told."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes | None))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, text.decode()


@contextmanager
def serving(folder: Path, *options: object, **env: str) -> Iterator[App]:
    """`demo --web` on a free port."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    with Running("demo", "--web", "127.0.0.1:0", *options, folder=folder, env={"TMPDIR": str(temporary), **env}) as it:
        app = App(it, temporary)
        yield app
        if it.process.poll() is None:
            app.end(signal.SIGTERM)
        assert "Traceback" not in it.shown, it.shown


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages of one visitor; complaints of the browser fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE * 1000)
    complaints: list[str] = []

    def opened(url: str) -> Page:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield opened
    context.close()
    # pages that are open when their app ends go on asking for it
    assert [text for text in complaints if not re.search("ERR_CONNECTION_(REFUSED|RESET)", text)] == []


def picture_of(page: Page) -> str:
    """What the canvas shows."""
    return str(page.evaluate("document.getElementById('picture').toDataURL()"))


def wait_for_done(page: Page) -> None:
    page.wait_for_selector("#results:not([hidden])")


def wait_for_text(page: Page, place: str, text: str) -> None:
    wait_until(lambda: text in page.inner_text(place), f"{text!r} in {place}", PATIENCE)


def downloaded(page: Page, link: str, target: Path) -> Path:
    with page.expect_download() as download:
        page.click(link)
    download.value.save_as(target)
    return target


def test_the_street_is_watched_and_its_results_are_downloaded(tmp_path: Path, open_page: OpenPage) -> None:
    with serving(tmp_path, "--model", SCRIPTED) as app:
        page = open_page(app.url)
        page.click("#street")
        wait_for_text(page, "#frames", " of 300")
        first = picture_of(page)
        wait_until(lambda: picture_of(page) != first, "another picture", PATIENCE)
        wait_for_done(page)

        assert page.inner_text("#frames") == "300 of 300"
        assert int(page.inner_text("#tracks")) > 10
        assert not page.is_visible("#picture")
        wait_until(lambda: page.evaluate("document.getElementById('video').currentTime") > 0.2, "it to play", PATIENCE)
        video = played(downloaded(page, "#get-video", tmp_path / "a.mp4"))
        assert (video.codec, video.pixels, video.size, len(video.times)) == ("h264", "yuv420p", (960, 540), 300)
        table = downloaded(page, "#get-table", tmp_path / "t.csv").read_text()
        rows = list(csv.DictReader(io.StringIO(table)))
        assert max(int(row["frame"]) for row in rows) == 299
        assert max(int(row["tracker_id"]) for row in rows) == int(page.inner_text("#tracks"))
        assert app.files == {"annotated.mp4", "tracks.csv"}


def test_an_upload_is_tracked_from_the_queue_while_its_page_comes_and_goes(
    tmp_path: Path, open_page: OpenPage, disc_video: Path
) -> None:
    with serving(tmp_path, "--model", SLOW, SCRIPTED_SECONDS="0.1") as app:
        first, second = open_page(app.url), open_page(app.url)
        for page in (first, second):
            page.set_input_files("#file", disc_video)
            page.click("#upload")
            page.wait_for_url("**/try#*")
        wait_for_text(second, "#state", "1 ahead of yours")
        wait_for_text(first, "#frames", " of 50")
        url = first.url
        first.close()

        again = open_page(url)
        wait_for_done(again)
        wait_for_done(second)

        assert again.inner_text("#frames") == second.inner_text("#frames") == "50 of 50"
        assert app.files == {"annotated.mp4", "tracks.csv"}
        again.click("#again")
        assert again.is_visible("#street")
        assert "#" not in again.url


def test_cancelling_ends_the_job_and_keeps_nothing(tmp_path: Path, open_page: OpenPage, disc_video: Path) -> None:
    with serving(tmp_path, "--model", SLOW, SCRIPTED_SECONDS="1") as app:
        page = open_page(app.url)
        page.set_input_files("#file", disc_video)
        page.click("#upload")
        wait_for_text(page, "#state", "Tracking")
        assert "upload" in app.files

        page.click("#cancel")

        wait_for_text(page, "#failure", "Cancelled; nothing was kept.")
        assert app.files == set()


def test_what_is_no_video_fails_with_one_line_and_leaves_nothing(tmp_path: Path, open_page: OpenPage) -> None:
    (tmp_path / "cat.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    with serving(tmp_path, "--model", SCRIPTED) as app:
        page = open_page(app.url)
        page.set_input_files("#file", tmp_path / "cat.mp4")
        page.click("#upload")

        wait_for_text(page, "#failure", "This did not work: this file is no video that plays")
        assert str(tmp_path) not in page.inner_text("body")
        assert app.files == set()
        assert page.is_visible("#upload")


def test_longer_videos_are_cut_and_larger_ones_refused(tmp_path: Path, open_page: OpenPage, disc_video: Path) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(1024 * 1024 + 1))
    with serving(tmp_path, "--model", SCRIPTED, "--max-seconds", 1, "--max-mb", 1) as app:
        page = open_page(app.url)
        wait_for_text(page, "#limits", "At most 1 MB; of a longer video the first 1 s.")
        page.set_input_files("#file", large)
        assert page.inner_text("#refusal") == "This video is too large."
        assert page.is_disabled("#upload")
        page.set_input_files("#file", disc_video)
        page.click("#upload")
        wait_for_done(page)

        assert page.inner_text("#frames") == "25 of 25"
        assert "only the first 1 s were tracked" in page.inner_text("#note")
        kept = set(app.jobs)
        told, answer = app.ask("POST", "/try/jobs", large.read_bytes())
        assert told == 413
        assert "this video is larger than the 1 MB that are accepted here" in answer
        told, _ = app.ask("POST", "/try/jobs", (bytes(64 * 1024) for _ in range(17)))
        assert told == 413, "its length was not told"
        assert set(app.jobs) == kept


def test_the_queue_is_bounded_and_the_wire_is_not_trusted(tmp_path: Path, disc_video: Path) -> None:
    content = disc_video.read_bytes()
    with serving(tmp_path, "--model", SLOW, SCRIPTED_SECONDS="1") as app:
        assert app.ask("POST", "/try/jobs", content)[0] == 201
        wait_until(lambda: "tracks.db" in app.files, "the first to run", PATIENCE)

        codes = [app.ask("POST", "/try/jobs", content)[0] for _ in range(6)]

        assert codes == [201] * 5 + [503]
        assert app.ask("POST", "/try/jobs?seed=1")[0] == 503
        assert len(app.jobs) == 6
        for path in ("/try/jobs?seed=-1", "/try/jobs?seed=9999999999", "/try/jobs?seed=x"):
            assert app.ask("POST", path)[0] == 400
        job = app.jobs[0]
        for name in ("scratch", "tracks.csv", "..%2F..%2Fetc%2Fpasswd", "upload"):
            assert app.ask("GET", f"/try/jobs/{job}/{name}")[0] == 404
        assert app.ask("DELETE", "/try/jobs/nobody")[0] == 404


def test_an_empty_or_broken_upload_gives_its_place_back(tmp_path: Path, disc_video: Path) -> None:
    content = disc_video.read_bytes()
    with serving(tmp_path, "--model", SCRIPTED) as app:
        assert app.ask("POST", "/try/jobs", b"")[0] == 400
        for _ in range(7):
            connection = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=PATIENCE)
            connection.putrequest("POST", "/try/jobs")
            connection.putheader("Content-Length", "1000")
            connection.endheaders(b"half of it")
            connection.close()

        wait_until(lambda: app.ask("POST", "/try/jobs", content)[0] == 201, "a place in the queue", PATIENCE)
        wait_until(lambda: len(app.jobs) == 1, "broken uploads to be gone", PATIENCE)


def test_without_weights_the_page_says_so_and_offers_the_street(tmp_path: Path, open_page: OpenPage) -> None:
    with serving(tmp_path, "--model", "nothing.pt") as app:
        page = open_page(app.url)

        wait_for_text(page, "#refusal", "Videos cannot be tracked here: no weights at nothing.pt")
        assert page.is_disabled("#file")
        page.click("#street")
        page.wait_for_url("**/try#*")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_in_the_middle_of_a_job_leaves_nothing(tmp_path: Path, number: int, disc_video: Path) -> None:
    with serving(tmp_path, "--model", SLOW, SCRIPTED_SECONDS="0.2") as app:
        assert app.ask("POST", "/try/jobs", disc_video.read_bytes())[0] == 201
        wait_until(lambda: "tracks.db" in app.files, "the job to run", PATIENCE)

        code, said = app.end(number)

        assert code == 0
        assert said == ""
        assert app.folders == []


def test_what_a_killed_one_left_goes_when_the_next_one_begins_and_what_one_that_lives_holds_stays(
    tmp_path: Path, disc_video: Path
) -> None:
    content = disc_video.read_bytes()
    with serving(tmp_path, "--model", SLOW, SCRIPTED_SECONDS="1") as killed:
        assert killed.ask("POST", "/try/jobs", content)[0] == 201
        killed.end(signal.SIGKILL)
        (left,) = killed.folders
    with serving(tmp_path, "--model", SLOW, SCRIPTED_SECONDS="1") as living:
        assert living.ask("POST", "/try/jobs", content)[0] == 201
        (held,) = set(living.folders) - {left}
        for folder in (left, held):
            os.utime(folder / "lock", (0, 0))

        with serving(tmp_path, "--model", SCRIPTED):
            assert not left.exists()
            assert "upload" in {path.name for path in held.rglob("*")}


def test_the_browser_opens_where_there_is_a_display(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    with serving(tmp_path, "--model", SCRIPTED, BROWSER=f"{browser} %s", DISPLAY=":0") as app:
        wait_until(lambda: (tmp_path / "opened").exists(), "the browser", PATIENCE)
        wait_until(lambda: (tmp_path / "opened").read_text() == f"{app.url}\n", "the address", PATIENCE)


def test_options_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    assert "--seed goes without --web" in yolotrack("demo", "--web", "--seed", "3", folder=tmp_path, code=2).only_line
    assert "--max-mb goes with --web" in yolotrack("demo", "--max-mb", "3", folder=tmp_path, code=2).only_line
    assert "add --token" in yolotrack("demo", "--web", "0.0.0.0:0", folder=tmp_path, code=2).only_line


def test_a_page_of_another_site_cannot_start_a_job(tmp_path: Path) -> None:
    with serving(tmp_path, "--model", SCRIPTED) as app:
        told = app.ask("POST", "/try/jobs?seed=1", headers={"Origin": "http://evil.example", "Content-Length": "0"})

        assert told[0] == 403
        assert app.jobs == []
