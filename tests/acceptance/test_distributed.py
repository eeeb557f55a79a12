"""Any number of workers write the table that one writes, row for row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.cluster import Cluster
from tests.support.histories import assert_logs_whole, assert_nothing_left, assert_same, dump_of
from tests.support.scene_videos import SceneVideo
from yolotrack.model import RunStatus

Videos = tuple[SceneVideo, SceneVideo]
References = dict[str, dict[str, Any]]


def publish_and_compare(cluster: Cluster, videos: Videos, references: References) -> None:
    """Both at once, while the workers of the cluster work."""
    for video in videos:
        cluster.publish(video)
    for video in videos:
        assert_same(dump_of(cluster, video.stream), references[video.stream])
        record = cluster.wait_ended(video.stream)
        assert record.status is RunStatus.COMPLETE
        assert record.ledger.published == record.ledger.tracked == video.frames
        assert_logs_whole(cluster, record)
    assert_nothing_left(cluster)


def test_four_workers_write_what_one_writes(
    cluster: Callable[..., Cluster], scene_videos: Videos, references: References
) -> None:
    opened = cluster()
    for _ in range(4):
        opened.work()
    publish_and_compare(opened, scene_videos, references)


def test_detectors_and_trackers_apart_on_two_shards_write_the_same(
    cluster: Callable[..., Cluster], scene_videos: Videos, references: References
) -> None:
    opened = cluster(YOLOTRACK_BROKER__SHARDS="2")
    for role in ("detect", "detect", "detect", "track", "track"):
        opened.work(role)
    publish_and_compare(opened, scene_videos, references)


def test_one_process_without_a_broker_writes_the_same(
    scene_videos: Videos, references: References, cluster: Callable[..., Cluster]
) -> None:
    opened = cluster()
    paths = [video.path for video in scene_videos]
    opened.start("run", *paths, "--quiet", "--model", "tests.support.scene_model:make").end()
    for video in scene_videos:
        assert_same(dump_of(opened, video.stream), references[video.stream])
