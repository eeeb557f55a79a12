"""`yolotrack view --web` in a real browser: what a visitor sees, and what happens to it meanwhile."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.browser import chromium
from tests.support.cluster import PATIENCE, Cluster, Member
from tests.support.rabbit import RabbitNode
from tests.support.scene_videos import SceneVideo
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

STREAM = "street"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
TOKEN = "0123456789abcdef"
LIVE = ".pill[data-status=live]"
GROUND = "getComputedStyle(document.documentElement).backgroundColor"
Open = Callable[..., "Page"]


class Stage:
    """A cluster with a worker, a stream that goes on, and the page."""

    def __init__(self, cluster: Cluster, video: SceneVideo) -> None:
        self.cluster = cluster
        self._video = video
        self.worker = cluster.work()
        self.publisher = self.publish()
        self.url = self.serve()

    def publish(self) -> Member:
        return self.cluster.publish(self._video, "--realtime", "--mode", "live", "--loop", stream=STREAM)

    def serve(self, *options: str, **env: str) -> str:
        """Another server of the page; where it is."""
        member = self.cluster.start("view", "--web", "127.0.0.1:0", *options, **env)
        self.cluster.wait(lambda: "Ctrl-C" in member.text, "the page's address")
        self.server = member
        return member.text.splitlines()[0]


@pytest.fixture(scope="module")
def stage(
    rabbit: RabbitNode, scene_videos: tuple[SceneVideo, SceneVideo], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("web")
    with Cluster(rabbit, folder, scene_videos[0].path.parent) as cluster:
        yield Stage(cluster, scene_videos[0])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def visit(browser: Browser, stage: Stage) -> Iterator[Open]:
    """Opens the page; whatever the browser complains of fails the test, a policy that was broken too."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(place: str = "", url: str = stage.url, before: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESK, **options})
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        context.add_init_script(before)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url + place)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [told for told in complaints if not re.search("ERR_CONNECTION_(REFUSED|RESET)", told)] == [], (
        "but for a server that ended"
    )


PIXELS = """(where) => {
    const canvas = document.querySelector(where);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue, alpha] = [data[at], data[at + 1], data[at + 2], data[at + 3]];
        %s
    }
    return sum;
}"""
SUM = PIXELS % "sum = (31 * sum + red + 7 * green + 3 * blue) % 1000000007;"
STRONG = PIXELS % "sum += Math.max(red, green, blue) - Math.min(red, green, blue) > 150;"
PAINTED = PIXELS % "sum += alpha > 0;"


def picture(page: Page, canvas: str = "#picture") -> int:
    """A number that tells pictures apart."""
    return int(page.evaluate(SUM, canvas))


def wait_for_pictures(page: Page, count: int, canvas: str = "#picture") -> None:
    """Until so many different ones were seen."""
    seen: set[int] = set()

    def look() -> bool:
        seen.add(picture(page, canvas))
        return len(seen) > count

    wait_until(look, f"{count} pictures in {canvas}", PATIENCE)


def strong(page: Page) -> int:
    """Pixels of the large picture in the strong colours that only annotations have."""
    return int(page.evaluate(STRONG, "#picture"))


def painted(page: Page) -> int:
    """Pixels of the path's canvas that are not empty."""
    return int(page.evaluate(PAINTED, "#path"))


def path_points(page: Page) -> int:
    return int(page.get_attribute("#path", "data-points") or 0)


def rows(page: Page) -> list[str]:
    return page.locator("#tracks tbody tr").all_inner_texts()


def wait_for_rows(page: Page, count: int = 3) -> None:
    wait_until(lambda: len(rows(page)) >= count, "tracks in the table", PATIENCE)


def figure(page: Page, name: str) -> str:
    """The value under a figure's name."""
    return page.locator("#figures > div", has=page.locator(f"dt:text-is('{name}')")).locator("dd").inner_text()


def test_the_grid_shows_every_stream_as_it_is_now(visit: Open) -> None:
    page = visit()
    tile = page.locator(".tile")
    tile.locator(LIVE).wait_for()
    assert tile.count() == 1
    assert tile.locator(".tile-name").inner_text() == STREAM
    wait_for_pictures(page, 3, ".tile canvas")
    wait_until(lambda: re.fullmatch(r"\d+ / \d+ / \d+", tile.locator(".age").inner_text()), "ages", PATIENCE)
    for told in (".fps", ".objects"):  # of the last second, which may be one before the first tracks
        wait_until(lambda told=told: float(tile.locator(told).inner_text()) > 0, told, PATIENCE)
    assert page.inner_text("#summary") == "1 live of 1 stream"


def test_a_stream_opens_large_and_its_table_fills(visit: Open) -> None:
    page = visit()
    page.locator(".tile").click()
    wait_for_pictures(page, 3)
    wait_for_rows(page)
    assert page.inner_text("#name") == STREAM
    assert all(re.match(r"#\d+\s+(car|truck|person)\s+[01]\.\d\d\s+\d+\.\d s", row) for row in rows(page)), rows(page)
    wait_until(lambda: figure(page, "age on this screen").count("/") == 2, "ages", PATIENCE)
    page.go_back()
    page.locator(".tile").wait_for()
    assert not page.is_visible("#stream")


def test_a_click_on_a_track_shows_its_path_and_history(visit: Open) -> None:
    page = visit(f"#{STREAM}")
    wait_for_rows(page)
    page.click("#tracks tbody tr >> nth=0")
    page.wait_for_selector("#track:not([hidden])")
    wait_until(lambda: path_points(page) > 5 and painted(page) > 100, "a path", PATIENCE)
    frames = page.locator("#track-figures > div", has=page.locator("dt:text-is('frames')")).locator("dd")
    frames.wait_for()  # only the database knows how many
    assert int(frames.inner_text()) > 0
    page.click("#track-rows summary")
    page.wait_for_selector("#track-rows tbody tr")
    page.keyboard.press("Escape")
    page.wait_for_selector("#track", state="hidden")
    assert page.is_hidden("#path")


def test_a_click_on_the_picture_chooses_what_is_there(visit: Open) -> None:
    page = visit(f"#{STREAM}")
    wait_for_rows(page)
    stage_box = page.locator("#picture").bounding_box()
    assert stage_box is not None

    def hit() -> bool:
        """Objects move: try the places where the street is, until one is hit."""
        for down in (0.35, 0.5, 0.65):
            for across in range(1, 10):
                place = {"x": stage_box["width"] * across / 10, "y": stage_box["height"] * down}
                page.click("#stage", position=place)  # type: ignore[arg-type]
                if page.is_visible("#track"):
                    return True
        return False

    wait_until(hit, "something to be hit", PATIENCE)
    assert re.fullmatch(rf".*#{STREAM}/\d+", page.url)


def test_styles_switch_in_the_page(visit: Open) -> None:
    page = visit(f"#{STREAM}")
    wait_for_rows(page)
    page.keyboard.press("t")
    assert page.get_attribute("#traces", "aria-pressed") == "false"
    boxes_and_labels = fewest(page)
    page.keyboard.press("l")
    wait_until(lambda: 0 < strong(page) < 0.7 * boxes_and_labels, "labels to go", PATIENCE)
    page.click("#classes summary")
    page.check("#classes-list input[value=truck]")
    page.keyboard.press("l")
    wait_until(lambda: strong(page) < 0.5 * boxes_and_labels, "all but lorries to go", PATIENCE)
    assert len({row.split()[1] for row in rows(page)}) > 1, "the table still has them all"
    page.uncheck("#classes-list input[value=truck]")
    wait_until(lambda: strong(page) > 0.7 * boxes_and_labels, "everything to be back", PATIENCE)


def fewest(page: Page) -> int:
    """Strong pixels in the barest of some pictures."""
    found: list[int] = []
    wait_until(lambda: found.append(strong(page)) or len(found) >= 5, "five pictures", PATIENCE)  # type: ignore[func-returns-value]
    return min(found)


def test_it_works_by_keyboard_alone(visit: Open) -> None:
    page = visit()
    page.locator(LIVE).first.wait_for()
    while page.evaluate("document.activeElement.className") != "tile":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    wait_for_rows(page)
    page.focus("#tracks tbody tr >> nth=0")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#track:not([hidden])")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="hidden")
    page.keyboard.press("Escape")
    page.wait_for_selector("#track", state="hidden")
    page.keyboard.press(" ")
    page.wait_for_selector("#paused:not([hidden])")
    page.keyboard.press(" ")
    wait_for_pictures(page, 1)
    page.keyboard.press(" ")
    page.keyboard.press("Escape")
    page.wait_for_selector(".tile")
    assert page.evaluate("document.activeElement.dataset.stream") == STREAM, "back where it was"
    wait_for_pictures(page, 2, ".tile canvas")  # a pause ends with the stream that it was for


def test_a_row_keeps_the_focus_when_one_above_it_leaves(visit: Open) -> None:
    page = visit(f"#{STREAM}")
    wait_for_rows(page)
    plant = """() => {
        window.focused = document.querySelector("#tracks tbody tr:last-child");
        const above = focused.cloneNode(true);
        above.dataset.track = 0;
        focused.parentElement.prepend(above);
        focused.focus();
    }"""
    page.evaluate(plant)
    page.wait_for_selector("#tracks tr[data-track='0']", state="detached")
    assert page.evaluate("!focused.isConnected || document.activeElement === focused")


def test_the_focus_stays_in_its_place_when_its_row_leaves(visit: Open) -> None:
    page = visit(f"#{STREAM}")
    wait_for_rows(page)
    plant = """() => {
        const gone = document.querySelector("#tracks tbody tr:first-child").cloneNode(true);
        gone.dataset.track = 0;
        document.querySelector("#tracks tbody").prepend(gone);
        gone.focus();
    }"""
    page.evaluate(plant)
    page.wait_for_selector("#tracks tr[data-track='0']", state="detached")
    in_first = "document.activeElement === document.querySelector('#tracks tbody tr:first-child')"
    wait_until(lambda: page.evaluate(in_first), "the first row to have the focus", PATIENCE)


def test_odd_input_does_no_harm(visit: Open) -> None:
    page = visit("#%")
    wait_until(lambda: page.inner_text("#stage-note") == "There is no stream % yet.", "the page to say so", PATIENCE)
    assert page.evaluate("import('/static/words.js').then((words) => [59.96, 3599.96].map(words.clock))") == [
        "1:00.0",
        "1:00:00.0",
    ]
    shown = page.evaluate(
        """async () => {
            const { Detail } = await import("/static/detail.js");
            const detail = new Detail(["#fff"], () => {});
            const tracks = Array.from({ length: 400 }, (_, id) => [id + 1, "car", 0.5, [0, 0, 9, 9]]);
            const bitmap = await createImageBitmap(new ImageData(2, 2));
            detail.show({ run_id: "r", frame: 0, media_time: 0, tracks }, bitmap);
            return document.querySelectorAll("#tracks tbody tr").length;
        }"""
    )
    assert shown == 400


def test_a_browser_that_keeps_nothing_switches_too(visit: Open) -> None:
    keeps_nothing = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })"
    page = visit(before=keeps_nothing, color_scheme="dark")
    page.locator(LIVE).wait_for()
    ground = page.evaluate(GROUND)
    page.click("#theme")
    assert page.evaluate(GROUND) != ground


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_a_phone_in_dark_and_light(visit: Open, scheme: str, tmp_path: Path) -> None:
    page = visit(viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True)
    ground = page.evaluate(GROUND)
    assert (min(map(int, re.findall(r"\d+", ground))) > 128) == (scheme == "light")
    for place, then in (
        (".tile", "#tracks tbody tr"),
        ("#tracks tbody tr >> nth=0", "#track-figures dd"),
        ("#track-rows > summary", "#track-rows tbody tr"),
        ("#runs > summary", "#runs tbody tr"),
    ):
        page.locator(place).tap()
        page.locator(then).first.wait_for()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"something sticks out after {place}"
    page.click("#theme")
    assert page.evaluate(GROUND) != ground


def test_a_page_left_open_does_not_grow(visit: Open) -> None:
    page = visit(f"#{STREAM}")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.evaluate(
        """() => {
            window.count = 0;
            const native = window.createImageBitmap;
            window.createImageBitmap = (...all) => { window.count += 1; return native(...all); };
        }"""
    )

    def held() -> dict[str, float]:
        session.send("HeapProfiler.collectGarbage")
        metrics = {found["name"]: found["value"] for found in session.send("Performance.getMetrics")["metrics"]}
        return {
            "megabytes of scripts": metrics["JSHeapUsedSize"] / 1e6,
            "buffers": metrics["ArrayBufferContents"],
            "elements": metrics["Nodes"],
            "megabytes of the process": renderers_memory() / 1e6,
        }

    wait_until(lambda: page.evaluate("window.count") > 50, "the page to be warm", PATIENCE)
    before = held()
    wait_until(lambda: page.evaluate("window.count") > 200, "150 pictures", PATIENCE)
    grown = {name: value - before[name] for name, value in held().items()}
    allowed = {"megabytes of scripts": 3, "buffers": 20, "elements": 1000, "megabytes of the process": 40}
    assert all(grown[name] < most for name, most in allowed.items()), grown


def renderers_memory() -> int:
    """Bytes that pages of the browsers of this test session hold."""
    family = psutil.Process().children(recursive=True)
    return sum(one.memory_info().rss for one in family if "--type=renderer" in one.cmdline())


def test_a_stream_that_goes_away_and_comes_back_is_shown(visit: Open, stage: Stage) -> None:
    page = visit(f"#{STREAM}")
    page.wait_for_selector(f"#status{LIVE}")
    run = figure(page, "run")
    stage.publisher.kill()
    page.wait_for_selector("#status[data-status=silent], #status[data-status=interrupted]")
    page.wait_for_selector("#status[data-status=interrupted]")
    assert strong(page) > 0, "the last picture stays"
    page.click("#runs > summary")
    page.wait_for_selector("#runs tbody tr")
    stage.publisher = stage.publish()
    page.wait_for_selector(f"#status{LIVE}")
    wait_until(lambda: figure(page, "run") != run, "another run", PATIENCE)
    wait_for_pictures(page, 2)


def test_a_worker_that_goes_away_is_shown(visit: Open, stage: Stage) -> None:
    page = visit()
    page.locator(LIVE).first.wait_for()
    stage.worker.kill()
    page.wait_for_selector(".pill[data-status=waiting]")
    stage.worker = stage.cluster.work()
    page.locator(LIVE).first.wait_for()


def test_without_a_database_it_says_so_and_shows_pictures(visit: Open, stage: Stage, tmp_path: Path) -> None:
    url = stage.serve(YOLOTRACK_DATABASE__URL=f"sqlite:///{tmp_path / 'none.db'}")
    page = visit(f"#{STREAM}", url)
    wait_for_pictures(page, 2)
    wait_until(lambda: page.inner_text("#problems").startswith("No history: "), "why there is none", PATIENCE)
    wait_for_rows(page)
    page.click("#tracks tbody tr >> nth=0")
    wait_until(lambda: path_points(page) > 3, "the path that this page saw", PATIENCE)
    wait_until(lambda: "Only what this page saw" in page.inner_text("#track-note"), "why there is no more", PATIENCE)
    assert not (tmp_path / "none.db").exists()


def test_the_right_token_opens_the_page_and_ctrl_c_ends_it(browser: Browser, stage: Stage) -> None:
    url = stage.serve("--token", TOKEN)
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{url}#{STREAM}")
    page.fill("#token", "not the token at all")
    page.press("#token", "Enter")
    page.wait_for_selector(".problem")
    assert "That is not the token" in page.inner_text(".problem")
    page.fill("#token", TOKEN)
    page.press("#token", "Enter")
    page.wait_for_selector(f"#status{LIVE}")
    wait_for_pictures(page, 2)
    assert page.url == f"{url}#{STREAM}"
    assert TOKEN not in page.evaluate("document.cookie")
    stage.server.send(signal.SIGSTOP)
    wait_until(lambda: "is lost" in page.inner_text("#problems"), "the silence to be noticed", PATIENCE)
    stage.server.send(signal.SIGCONT)
    page.wait_for_selector("#problems p", state="detached")
    wait_for_pictures(page, 2)
    stage.server.send(signal.SIGINT)
    assert stage.server.end().splitlines() == [url, "Ctrl-C ends it"], "quietly, and the token is not told"
    wait_until(lambda: "is lost" in page.inner_text("#problems"), "the page to say so", PATIENCE)
    context.close()
