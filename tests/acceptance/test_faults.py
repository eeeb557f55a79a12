"""Kill, freeze or cut off anything, at any moment: the table stays the one that a quiet run writes."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.dying import FREEZING, KILLING
from tests.support.histories import assert_logs_whole, assert_nothing_left, assert_same, dump_of
from tests.support.rabbit import RabbitNode
from tests.support.scene_videos import SceneVideo
from yolotrack.model import RunRecord, RunStatus

OpenCluster = Callable[..., Cluster]
Videos = tuple[SceneVideo, SceneVideo]
References = dict[str, dict[str, Any]]

KILLS = 20
SLOW = {"SCENE_SECONDS": "0.025"}
"""A detector that takes its time, so that faults come in the middle."""


def in_the_middle(cluster: Cluster, video: SceneVideo) -> int:
    """How many frames are done, which are some and not all."""
    done = cluster.done(video.stream)
    assert 0 < done < video.frames
    return done


def assert_nothing_happened(cluster: Cluster, video: SceneVideo, references: References, number: int = 1) -> RunRecord:
    """The run is as if there had been no fault."""
    assert_same(dump_of(cluster, video.stream, number), references[video.stream])
    record = cluster.wait_ended(video.stream, number)
    assert record.status is RunStatus.COMPLETE
    assert_logs_whole(cluster, record)
    return record


def test_twenty_kills_of_workers_change_nothing(
    cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video, dice = scene_videos[0], random.Random(20)
    opened = cluster(**SLOW)
    workers = [opened.work(role) for role in ("detect", "detect", "detect", "track", "track")]
    opened.publish(video)
    for kill in range(KILLS):
        opened.wait_done(video.stream, 1 + kill * video.frames // 2 // KILLS)
        victim = dice.randrange(len(workers))
        workers[victim].kill()
        in_the_middle(opened, video)
        workers[victim] = opened.replace(workers[victim])
    assert_nothing_happened(opened, video, references)
    assert_nothing_left(opened)


@pytest.fixture(scope="module")
def one_detector(
    rabbit: RabbitNode, scene_videos: Videos, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster with a detect worker that outlives the trackers of several tests."""
    with Cluster(rabbit, tmp_path_factory.mktemp("points"), scene_videos[0].path.parent) as opened:
        opened.work("detect")
        yield opened


@pytest.mark.parametrize("point", KILLING)
def test_a_tracker_killed_at_the_worst_moment_changes_nothing(
    point: str, one_detector: Cluster, scene_videos: Videos, references: References
) -> None:
    opened, video = one_detector, scene_videos[0]
    number = len(opened.runs(video.stream)) + 1
    doomed = opened.doomed_tracker(point, 4)
    opened.publish(video)
    doomed.end(-signal.SIGKILL)
    in_the_middle(opened, video)
    successor = opened.work("track")
    try:
        assert_nothing_happened(opened, video, references, number)
        assert "took over" in successor.text
    finally:
        successor.stop()  # or the next one would never get the shard


def test_a_tracker_frozen_past_its_heartbeat_is_refused(
    cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster(heartbeat=2)
    frozen = opened.doomed_tracker(FREEZING, 4)
    opened.work("detect")
    opened.publish(video)
    opened.wait(lambda: frozen.frozen, "the tracker to freeze")
    done = in_the_middle(opened, video)
    opened.work("track")
    opened.wait_ended(video.stream)
    assert done < video.frames
    frozen.send(signal.SIGCONT)
    opened.wait(lambda: "fenced" in frozen.text, "the frozen tracker's commit to be refused")
    assert_nothing_happened(opened, video, references)
    assert not frozen.ended
    assert_nothing_left(opened)


def test_a_broker_that_goes_and_comes_back_changes_nothing(
    own_rabbit: RabbitNode, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    # a publisher needs up to 7.5 s to come back
    opened = cluster(own_rabbit, **SLOW, YOLOTRACK_BROKER__ORPHAN_SECONDS="15")
    for role in ("detect", "track"):
        opened.work(role)
    publisher = opened.publish(video)
    for place, go in enumerate((opened.node.stop, opened.node.kill) * 2):
        opened.wait_done(video.stream, 1 + place * video.frames // 5)
        go()
        done = in_the_middle(opened, video)
        opened.node.start()
        opened.wait_done(video.stream, done + 20, seconds=30)
    publisher.end()
    assert_nothing_happened(opened, video, references)
    assert_nothing_left(opened)


def test_all_connections_closed_are_back_within_five_seconds(
    own_rabbit: RabbitNode, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[1]
    opened = cluster(own_rabbit, **SLOW | {"SCENE_SECONDS": "0.15"})
    for role in ("detect", "track"):
        opened.work(role)
    opened.publish(video)
    for place in range(2):
        opened.wait_done(video.stream, 1 + place * video.frames // 3)
        opened.node.control("close_all_connections", "a test")
        opened.wait_done(video.stream, in_the_middle(opened, video) + 20, seconds=5)
    assert_nothing_happened(opened, video, references)
    assert_nothing_left(opened)


def test_a_publisher_killed_half_way_leaves_an_interrupted_run_and_a_free_stream(
    cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster()
    opened.work()
    publisher = opened.publish(video, "--realtime")
    opened.wait_done(video.stream, video.frames // 3)
    publisher.kill()
    in_the_middle(opened, video)
    opened.publish(video)  # which takes the stream at once, while the run before is running still
    assert_nothing_happened(opened, video, references, number=2)
    record = opened.wait_ended(video.stream)
    assert record.status is RunStatus.INTERRUPTED
    assert 0 < record.ledger.published < video.frames
    assert record.ledger.in_flight == 0
    assert_begins_like(dump_of(opened, video.stream), references[video.stream])
    assert_logs_whole(opened, record)
    assert_nothing_left(opened)


def assert_begins_like(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """As far as it goes it is the same, and all that it holds of each frame."""
    count = len(found["frames"])
    assert found["frames"] == expected["frames"][:count]
    assert found["observations"] == [row for row in expected["observations"] if row[0] < count]
