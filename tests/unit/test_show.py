"""What a window shows, over the embedded broker: the newest frame, or a run at its own pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import supervision as sv

from tests.support.runs import BEGIN, make_run
from tests.support.waiting import wait_until
from yolotrack.broker.base import tracks_log, video_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.cli.viewer import save_picture, told_age, told_time
from yolotrack.errors import LogCut, OutputError
from yolotrack.model import Frame, FrameTracks, Outcome, Run, RunEnded, RunStatus, utc_now
from yolotrack.roles.show import Feed, Live, Replay
from yolotrack.video.overlay import LIVE, Overlay, fitted, write

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    opened = MemoryBroker(capacity=4096, retain=4096)
    yield opened
    opened.close()


def publish(broker: MemoryBroker, run: Run, frames: range, pace: float = 0.001, end: bool = False) -> None:
    """Frames of a run, `pace` seconds apart in the video, and their tracks."""
    for index in frames:
        where = (run.run_id, run.stream, index, index * pace, utc_now())
        broker.publish(video_log(run.stream), Frame(*where, f"picture {index}".encode()))
        broker.publish(tracks_log(run.stream), FrameTracks(*where, Outcome.TRACKED, sv.Detections.empty()))
    if end:
        broker.publish(tracks_log(run.stream), RunEnded(run.run_id, run.stream, frames.stop, RunStatus.COMPLETE))


def next_index(feed: Feed) -> int:
    found: list[int] = []

    def looked() -> bool:
        shot = feed.look()
        if shot is not None:
            assert shot.jpeg == f"picture {shot.tracks.index}".encode()
            found.append(shot.tracks.index)
        return bool(found)

    wait_until(looked, "a frame")
    return found[0]


def test_live_gives_the_newest_frame_once(broker: MemoryBroker) -> None:
    run = make_run()
    with closing(Live(broker, run.stream)) as live:
        assert live.look() is None
        assert live.going().quiet_seconds == float("inf") and not live.going().ended
        publish(broker, run, range(50))
        seen = [next_index(live)]
        while seen[-1] < 49:
            seen.append(next_index(live))
        assert seen == sorted(set(seen))
        assert live.look() is None, "not again"
        publish(broker, run, range(50, 51), end=True)
        assert next_index(live) == 50
        wait_until(lambda: live.going().ended, "the end")


def test_live_goes_on_while_nobody_looks(broker: MemoryBroker) -> None:
    run = make_run()
    with closing(Live(broker, run.stream)) as live:
        live.look()
        publish(broker, run, range(10))
        first = next_index(live)
        for _ in range(3):
            live.rest()
        publish(broker, run, range(10, 400))
        seen = [next_index(live)]
        while seen[-1] < 399:
            seen.append(next_index(live))
        assert first < 10 and len(seen) < 200, "what nobody looked at is not shown late"


def test_a_replay_gives_every_frame_of_its_run_in_time(broker: MemoryBroker) -> None:
    other, run = make_run(), make_run()
    publish(broker, other, range(30), end=True)
    publish(broker, run, range(6), pace=0.15, end=True)
    began = time.monotonic()
    with closing(Replay(broker, run)) as replay:
        seen = [next_index(replay)]
        while seen[-1] < 5:
            seen.append(next_index(replay))
        assert time.monotonic() - began >= 5 * 0.15 - 0.01, "not before its time"
        assert seen == sorted(set(seen)) and seen[0] == 0
        wait_until(lambda: replay.look() is None and replay.going().ended, "the end")


def test_a_late_replay_skips_and_one_that_stood_still_does_not(broker: MemoryBroker, monkeypatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("yolotrack.roles.show.time", SimpleNamespace(monotonic=lambda: clock[0]))
    run = make_run()
    publish(broker, run, range(16), pace=0.1, end=True)
    with closing(Replay(broker, run)) as replay:
        assert next_index(replay) == 0
        wait_until(lambda: replay._ahead.qsize() >= 14, "the rest to be read")
        clock[0] += 0.55
        assert next_index(replay) == 5, "half a second late: what is due now"
        clock[0] += 60.0
        assert next_index(replay) == 6, "a minute: it stood still"


def test_a_replay_of_what_is_gone_says_so(broker: MemoryBroker) -> None:
    run = make_run()
    publish(broker, run, range(5, 9), end=True)
    with closing(Replay(broker, run)) as replay, pytest.raises(LogCut, match="leave out `--from start`"):
        while True:
            replay.look()


def test_a_replay_that_is_closed_reads_no_further(broker: MemoryBroker) -> None:
    run = make_run()
    publish(broker, run, range(100), pace=10.0)
    replay = Replay(broker, run)
    assert next_index(replay) == 0
    replay.close()
    wait_until(lambda: not replay._reading.is_alive(), "its thread to end")


def test_times_and_ages_are_told_shortly() -> None:
    ages = {0.0624: "62 ms", 1.44: "1.4 s", 12.3: "12 s", 200: "3 min", 20_000: "6 h"}
    assert {seconds: told_age(seconds) for seconds in ages} == ages
    times = {0.0: "0:00.0", 59.96: "1:00.0", 65.25: "1:05.2", 3599.96: "1:00:00.0", 3723.4: "1:02:03.4"}
    assert {seconds: told_time(seconds) for seconds in times} == times


def tracks_of(run: Run, index: int) -> FrameTracks:
    return FrameTracks(run.run_id, run.stream, index, 0.0, BEGIN, Outcome.TRACKED, sv.Detections.empty())


def test_a_saved_picture_is_named_and_none_is_replaced(tmp_path: Path) -> None:
    run, drawn = make_run(), np.full((20, 30, 3), 7, np.uint8)
    paths = [save_picture(tmp_path, tracks_of(run, 12), drawn) for _ in range(2)]
    assert [path.name for path in paths] == [f"cam-{run.run_id}-000012.png", f"cam-{run.run_id}-000012-2.png"]
    assert all(np.array_equal(cv2.imread(str(path)), drawn) for path in paths)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}


def test_a_picture_that_cannot_be_saved_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^cannot write .*: there is no folder .*nowhere; create it first$"):
        save_picture(tmp_path / "nowhere", tracks_of(make_run(), 0), np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 270), (960, 540)), ((1280, 720), (1280, 720)), ((3840, 2160), (1600, 900))]
)
def test_pictures_fit_a_window(size: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = np.full((size[1], size[0], 3), 100, np.uint8)
    canvas = fitted(pixels)
    assert canvas.shape[1::-1] == expected
    write(canvas, Overlay("street", "live", LIVE))
    assert (pixels == 100).all(), "the picture itself stays as it is"


@pytest.mark.parametrize("size", [(16, 960), (960, 16), (2, 2)])
def test_what_is_written_is_cut_off_at_the_edges(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), 200, np.uint8)
    write(pixels, Overlay("street", "live", LIVE, (("age", "62 ms"),) * 9, "a long notice " * 9, (("q", "quit"),) * 9))
    assert (pixels != 200).any() or min(size) < 12
