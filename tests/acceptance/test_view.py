"""`view` in a window on a screen that nobody sees, and what it says where there is none."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.cluster import Cluster
from tests.support.commands import yolotrack
from tests.support.rabbit import RabbitNode
from tests.support.scene_strip import HEIGHT, read_stamp
from tests.support.scene_videos import SceneVideo
from tests.support.screen import Screen
from yolotrack.roles.streams import Streams
from yolotrack.video.overlay import HELD, Overlay, card, write

OpenCluster = Callable[..., Cluster]
Videos = tuple[SceneVideo, SceneVideo]

WIDTH, TALL = 960, 540
"""Of a window with the videos here, which are half as large."""
MIDDLE = (slice(TALL // 2 - 80, TALL // 2 + 80), slice(WIDTH // 2 - 80, WIDTH // 2 + 80))
BESIDE_PANEL = (slice(40, TALL - 60), slice(300, WIDTH))
"""Where only the picture is, and what is drawn on its objects."""
LIVE = ("--realtime", "--mode", "live", "--loop")


class Watching:
    """`view` in a window."""

    def __init__(self, cluster: Cluster, screen: Screen, *arguments: str) -> None:
        self.cluster = cluster
        self.screen = screen
        self.viewer = cluster.start("view", *arguments, DISPLAY=screen.display)

    @property
    def picture(self) -> np.ndarray:
        """What the window shows."""
        return self.screen.picture()[:TALL, :WIDTH]

    def stamp(self) -> tuple[int, int] | None:
        """Scene and frame of the picture, read above the panel; None where there is none, or half of one."""
        row = cv2.resize(self.picture[:12], (WIDTH // 2, 6), interpolation=cv2.INTER_AREA)[2:3]
        try:
            return read_stamp(np.repeat(row, HEIGHT, axis=0))
        except ValueError:
            return None

    def wait(self, condition: Callable[[], object], what: str) -> None:
        self.cluster.wait(condition, what)

    def wait_for_scene(self, scene: int) -> int:
        """Until it shows a scene; which frame of it."""
        seen: list[int] = []

        def shown() -> bool:
            stamp = self.stamp()
            seen.extend([stamp[1]] if stamp is not None and stamp[0] == scene else [])
            return bool(seen)

        self.wait(shown, f"a picture of scene {scene}")
        return seen[0]

    def wait_for_another_frame(self) -> None:
        first = self.stamp()
        self.wait(lambda: self.stamp() not in (first, None), "another frame")

    def delay(self, video: SceneVideo) -> int:
        """Frames between the one that is shown and the last one that was tracked; the video goes round in a circle."""
        stamp = self.stamp()
        return video.frames if stamp is None else (self.cluster.done(video.stream) - 1 - stamp[1]) % video.frames

    def press(self, key: str) -> None:
        self.screen.press(key)

    def quit(self) -> str:
        """Press q; what it printed."""
        self.press("q")
        return self.viewer.end()


def strong(picture: np.ndarray) -> int:
    """Pixels in the colours that only annotations have."""
    values = picture[BESIDE_PANEL].astype(int)
    return int(((values.max(axis=2) - values.min(axis=2)) > 200).sum())


def waiting_card(stream: str) -> np.ndarray:
    pixels = card()
    write(pixels, Overlay(stream, f"waiting for {stream}", HELD))
    return pixels[: TALL // 2]


def test_a_window_waits_shows_and_obeys_its_keys(cluster: OpenCluster, screen: Screen, scene_videos: Videos) -> None:
    street, bridge = scene_videos
    opened = cluster()
    watching = Watching(opened, screen, "street")
    watching.wait(lambda: np.array_equal(watching.picture[: TALL // 2], waiting_card("street")), "`waiting for street`")

    opened.work()
    opened.publish(street, *LIVE)
    watching.wait_for_scene(street.scene)
    watching.wait_for_another_frame()
    assert screen.windows("yolotrack - street")

    watching.press("space")
    _wait_still(watching)
    held = watching.stamp()
    opened.wait_done("street", opened.done("street") + 30)
    assert watching.stamp() == held, "a pause holds the picture"

    full = strong(watching.picture)
    watching.press("l")
    watching.wait(lambda: 0 < strong(watching.picture) < 0.8 * full, "a picture without labels")
    bare = strong(watching.picture)
    watching.press("t")
    watching.wait(lambda: 0 < strong(watching.picture) < bare, "a picture without traces")
    middle = watching.picture[MIDDLE]
    watching.press("question")
    watching.wait(lambda: _dark(watching.picture[MIDDLE]) > max(0.5, _dark(middle)), "help in the middle")
    watching.press("question")
    watching.wait(lambda: np.array_equal(watching.picture[MIDDLE], middle), "what was there before the help")

    watching.press("s")
    watching.wait(lambda: ".png" in watching.viewer.text, "the name of a saved picture")
    _assert_saved(watching, street, held)

    watching.press("space")
    watching.wait(lambda: watching.delay(street) <= 10, "the newest frame again")
    watching.press("n")
    opened.publish(bridge, *LIVE)
    opened.wait_done("bridge", 1)
    watching.press("n")
    watching.wait_for_scene(bridge.scene)
    assert screen.windows("yolotrack - bridge") and not screen.windows("yolotrack - street")
    assert len(watching.quit().splitlines()) == 1


def _wait_still(watching: Watching) -> None:
    """Until two looks, some frames apart, see the same."""

    def still() -> bool:
        before, done = watching.stamp(), watching.cluster.done("street")
        watching.cluster.wait_done("street", done + 5)
        return before is not None and watching.stamp() == before

    watching.wait(still, "a picture that stands still")


def _dark(picture: np.ndarray) -> float:
    """How much of it is dark."""
    return float((picture.max(axis=2) < 110).mean())


def _assert_saved(watching: Watching, video: SceneVideo, held: tuple[int, int] | None) -> None:
    name = watching.viewer.text.strip()
    found = re.fullmatch(r"street-([0-9a-f-]{36})-(\d{6})\.png", name)
    assert found, name
    (record,) = watching.cluster.runs("street")
    assert found[1] == record.run.run_id
    saved = cv2.imread(str(watching.cluster.folder / name))
    assert saved is not None and saved.shape == (TALL // 2, WIDTH // 2, 3)
    assert read_stamp(saved) == held == (video.scene, int(found[2]) % video.frames)


def test_a_broker_that_goes_and_a_window_that_stood_still_leave_no_delay(
    cluster: OpenCluster, screen: Screen, scene_videos: Videos, own_rabbit: RabbitNode
) -> None:
    street = scene_videos[0]
    opened = cluster(own_rabbit, heartbeat=5, YOLOTRACK_BROKER__ORPHAN_SECONDS="60")
    opened.work()
    opened.publish(street, *LIVE)
    opened.wait_done("street", 1)
    watching = Watching(opened, screen)
    watching.wait_for_scene(street.scene)

    own_rabbit.stop()
    watching.wait(lambda: _nothing_new(watching), "a picture that stands still")
    own_rabbit.start()
    done = opened.done("street")
    opened.wait_done("street", done + 25)
    watching.wait(lambda: watching.delay(street) <= 10, "the newest frame after the restart")
    watching.wait_for_another_frame()

    done = opened.done("street")
    watching.viewer.send(signal.SIGSTOP)
    opened.wait_done("street", done + 60)
    watching.viewer.send(signal.SIGCONT)
    watching.wait(lambda: watching.delay(street) <= 10, "the newest frame after it stood still")
    watching.quit()


def _nothing_new(watching: Watching) -> bool:
    """The panel says in its second line that nothing came, in another colour than it says `live` in."""
    line = watching.picture[50:80, 20:190].reshape(-1, 3)
    return bool((np.abs(line.astype(int) - HELD).max(axis=1) < 8).sum() > 20)


def test_a_run_is_replayed_from_its_start_and_ends(cluster: OpenCluster, screen: Screen, scene_videos: Videos) -> None:
    street = scene_videos[0]
    opened = cluster()
    opened.work()
    opened.publish(street, "--wait", "--max-frames", "20").end()
    opened.publish(street, "--wait", "--max-frames", "150").end()
    lines = opened.start("view", "--headless", "--json", "--from", "start", "--once").end()
    watching = Watching(opened, screen, "--from", "start", "--once")

    seen = list(_frames_until_end(watching))

    assert watching.viewer.end() == ""
    assert seen == sorted(seen) and len(seen) >= 8, "at its own pace"
    assert seen[0] < 60 and seen[-1] >= 90
    moments = [json.loads(line) for line in lines.splitlines()]
    assert {moment["stream"] for moment in moments} == {"street"}
    assert sum(moment["frames"] for moment in moments) == 150, "the newest run, and all of it"


def _frames_until_end(watching: Watching) -> Iterator[int]:
    last = -1

    def next_or_end() -> bool:
        stamp = watching.stamp()
        return watching.viewer.ended or (stamp is not None and stamp[1] != last)

    while True:
        watching.wait(next_or_end, "another frame, or the end")
        stamp = watching.stamp()
        if watching.viewer.ended:
            return
        if stamp is not None and stamp[1] != last:
            last = stamp[1]
            yield last


def test_a_window_ends_with_the_run(cluster: OpenCluster, screen: Screen, scene_videos: Videos) -> None:
    street = scene_videos[0]
    opened = cluster()
    watching = Watching(opened, screen, "--once")
    watching.wait(lambda: screen.windows("yolotrack"), "a window")
    opened.work()
    opened.publish(street, "--realtime", "--max-frames", "50")
    watching.wait_for_scene(street.scene)
    assert watching.viewer.end() == ""


def test_the_newest_running_stream_is_found(cluster: OpenCluster, scene_videos: Videos) -> None:
    opened = cluster()
    streams = Streams(opened.broker)
    assert streams.chosen(replay=False) is None

    first = opened.publish(scene_videos[0], *LIVE)
    opened.wait(lambda: streams.started() == "street", "a run of street")
    opened.publish(scene_videos[1], *LIVE)
    opened.wait(lambda: streams.started() == "bridge", "a run of bridge")

    assert streams.chosen(replay=False) == "bridge"
    assert [streams.after(name) for name in ("street", "bridge", "a", "c")] == ["bridge", "street", "bridge", "street"]
    first.stop()
    opened.wait(lambda: streams.after("bridge") is None, "street to be gone")
    with_both = Streams(opened.broker)
    assert with_both.chosen(replay=False) == "bridge"
    newest = with_both.newest("street")
    assert newest is not None and newest.stream == "street"
    assert with_both.newest("nobody") is None
    with_both.close()
    streams.close()


def test_without_a_display_it_names_what_goes(tmp_path: Path) -> None:
    line = yolotrack("view", "street", folder=tmp_path, code=1).only_line
    assert line.startswith("no window can be opened: ")
    assert "--web" in line and "--headless" in line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["a:b"], "'a:b' is no name of a stream"),
        (["--token", "secret-secret-secret"], "--token guards a page"),
        (["--web", "--json"], "--web goes without"),
        (["--web", "street", "--from", "start"], "--web goes without"),
    ],
)
def test_what_makes_no_sense_together(tmp_path: Path, arguments: list[str], line: str) -> None:
    assert yolotrack("view", *arguments, folder=tmp_path, code=2).only_line.startswith(line)
