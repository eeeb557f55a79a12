"""When detection cannot follow: an archive waits and loses nothing, live skips and stays fresh."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.histories import assert_logs_whole, assert_nothing_left, assert_same, dump_of
from tests.support.scene_videos import SceneVideo
from tests.support.waiting import Background
from yolotrack.broker.base import tracks_log
from yolotrack.model import FrameTracks, Mode, Outcome, RunEnded, RunStatus, utc_now

OpenCluster = Callable[..., Cluster]
Videos = tuple[SceneVideo, SceneVideo]
References = dict[str, dict[str, Any]]

MAX_FRAMES = 16
LOOK_SECONDS = 0.1
"""Of the detector: ten pictures a second, where 25 come."""
OLDEST = 2.5
"""Seconds from capture to tracks that a live frame may take: a handful of looks. Without a bound it were ten."""


def test_an_archive_waits_for_room_and_loses_nothing(
    cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster(YOLOTRACK_BROKER__MAX_FRAMES=str(MAX_FRAMES))
    publisher = opened.publish(video)
    opened.wait(lambda: opened.ready("frames") >= MAX_FRAMES, "a full queue")
    most = _watch_queue(opened, seconds=1.0)
    assert most <= MAX_FRAMES + 1
    assert not publisher.ended
    opened.work()
    publisher.end()
    assert_same(dump_of(opened, video.stream), references[video.stream])
    assert_logs_whole(opened, opened.wait_ended(video.stream))
    assert_nothing_left(opened)


@pytest.mark.parametrize(
    ("options", "frames"),
    [((), MAX_FRAMES), (("--max-frames", 9, "--wait"), 9), (("--mode", "live", "--realtime", "--wait"), 2)],
    ids=["archive", "wait", "live"],
)
def test_a_publisher_without_workers_says_so_once_and_goes_on(
    options: tuple[object, ...], frames: int, cluster: OpenCluster, scene_videos: Videos
) -> None:
    opened = cluster(YOLOTRACK_BROKER__MAX_FRAMES=str(MAX_FRAMES))
    publisher = opened.publish(scene_videos[0], *options)
    opened.wait(lambda: "frames wait, no worker takes any; start `yolotrack work`" in publisher.text, "the line")
    opened.work()
    said = publisher.end()
    (told,) = re.findall(r"(\d+) frames wait", said)
    assert frames <= int(told) <= frames + 1, "a frame may be on its way"


def _watch_queue(cluster: Cluster, seconds: float) -> int:
    """The most frames that wait, over a while in which nothing should change."""
    import time

    most, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        most = max(most, cluster.ready("frames"))
    return most


def test_live_skips_detection_counts_what_it_dropped_and_stays_fresh(
    cluster: OpenCluster, scene_videos: Videos
) -> None:
    video = scene_videos[0]
    opened = cluster(SCENE_SECONDS=str(LOOK_SECONDS))
    worker = opened.work()
    opened.wait(lambda: "purpose=consume" in worker.text, "the worker at the broker")
    ages = Background(lambda: _ages(opened, video))
    publisher = opened.publish(video, "--mode", "live", "--realtime")
    publisher.end()
    record = opened.wait_ended(video.stream)
    assert record.status is RunStatus.COMPLETE
    assert record.run.mode is Mode.LIVE
    _assert_drops(opened, record.ledger.dropped, video)
    assert_logs_whole(opened, record)  # the video is whole: detection skips, not the log
    tracked, dropped = ages.result(30)
    assert len(tracked) == record.ledger.tracked
    assert max(tracked) < OLDEST
    assert max(dropped) < OLDEST
    assert_nothing_left(opened)


def _ages(cluster: Cluster, video: SceneVideo) -> tuple[list[float], list[float]]:
    """Seconds from the capture of each frame until its outcome came here: of tracked ones, and of dropped ones."""
    ages: dict[Outcome, dict[int, float]] = {outcome: {} for outcome in Outcome}
    with closing(cluster.broker.read(tracks_log(video.stream), "start")) as reader:
        for message in reader:
            if isinstance(message, RunEnded):
                break
            if isinstance(message, FrameTracks):
                age = (utc_now() - message.captured_at).total_seconds()
                ages[message.outcome].setdefault(message.index, age)
    return list(ages[Outcome.TRACKED].values()), list(ages[Outcome.DROPPED].values())


def _assert_drops(cluster: Cluster, dropped: int, video: SceneVideo) -> None:
    """About as many as the detector cannot look at, and each accounted for."""
    found = dump_of(cluster, video.stream)
    outcomes = [outcome for _, _, outcome, _ in found["frames"]]
    assert outcomes.count(Outcome.DROPPED) == dropped
    assert outcomes.count(Outcome.TRACKED) == video.frames - dropped
    assert 0.3 * video.frames < dropped < 0.9 * video.frames
