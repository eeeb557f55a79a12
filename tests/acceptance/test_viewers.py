"""Whoever watches sees everything, and slows nobody."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster, Member
from tests.support.histories import assert_same, dump_of
from tests.support.scene_strip import read_stamp
from tests.support.scene_videos import SceneVideo
from yolotrack.config import SourceSettings
from yolotrack.video.source import open_source

OpenCluster = Callable[..., Cluster]
Videos = tuple[SceneVideo, SceneVideo]
References = dict[str, dict[str, Any]]

SLOW = {"SCENE_SECONDS": "0.03"}
"""A device whose pace is the pipeline's, so that two runs take equally long."""
TRIES = 3


def start_viewer(cluster: Cluster, video: SceneVideo, *options: str) -> Member:
    """One that prints, and does so already."""
    viewer = cluster.start("view", video.stream, "--headless", "--json", "--once", *options)
    cluster.wait(lambda: "fps" in viewer.text, "the viewer's first line")
    return viewer


def frames_in(viewer: Member) -> int:
    return sum(json.loads(line)["frames"] for line in viewer.text.splitlines() if line.startswith("{"))


def frames_shown(path: Path, video: SceneVideo) -> list[int]:
    """Which frames of the scene a compiled video shows."""
    with closing(open_source(str(path), SourceSettings())) as source:
        stamps = [read_stamp(picture.pixels) for picture in source]
    assert {scene for scene, _ in stamps} == {video.scene}
    return [frame for _, frame in stamps]


def test_two_viewers_and_two_compilers_each_see_every_frame(
    cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster(**SLOW)
    viewers = [start_viewer(opened, video) for _ in range(2)]
    opened.work()
    opened.publish(video)
    outputs = [opened.folder / f"{number}.mp4" for number in range(2)]
    named = [("--stream", video.stream), ()]  # the newest run of a stream, and the newest of all
    compilers = [
        opened.start("compile", "-o", path, *which, "--quiet") for path, which in zip(outputs, named, strict=True)
    ]
    assert_same(dump_of(opened, video.stream), references[video.stream])
    for member in (*viewers, *compilers):
        member.end()
    assert [frames_in(viewer) for viewer in viewers] == [video.frames] * 2
    for path in outputs:
        assert frames_shown(path, video) == list(range(video.frames))


def test_a_stopped_viewer_and_a_stopped_compiler_slow_nobody(
    cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[1]
    opened = cluster(**SLOW)
    opened.work()
    opened.publish(video)
    opened.wait_ended(video.stream)
    ratios = []
    for attempt in range(TRIES):  # a machine with other work may disturb one
        alone = _rate(opened, video, references, 2 * attempt + 2)
        watchers = [
            start_viewer(opened, video),
            opened.start("compile", "-o", opened.folder / f"stopped-{attempt}.mp4", "--stream", video.stream),
        ]
        for watcher in watchers:
            watcher.send(signal.SIGSTOP)
        ratios.append(_rate(opened, video, references, 2 * attempt + 3) / alone)
        for watcher in watchers:
            watcher.kill()
        if ratios[-1] >= 0.9:
            return
    raise AssertionError(f"tracked frames per second, watched over unwatched: {ratios}")


def _rate(cluster: Cluster, video: SceneVideo, references: References, number: int) -> float:
    """Frames tracked per second in the `number`-th run of the stream, which is this one."""
    cluster.publish(video)
    record = cluster.wait_ended(video.stream, number)
    assert_same(dump_of(cluster, video.stream, number), references[video.stream])
    assert record.ended_at is not None
    return video.frames / (record.ended_at - record.run.started_at).total_seconds()
