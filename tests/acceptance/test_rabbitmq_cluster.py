"""RabbitMQ as a cluster of three: any one of them may die, and nothing is different afterwards."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.cluster import Cluster, Member
from tests.support.histories import assert_logs_whole, assert_nothing_left, assert_same, dump_of
from tests.support.rabbit_trio import RabbitTrio, rabbit_trio
from tests.support.scene_videos import SceneVideo
from yolotrack.model import RunStatus

pytestmark = pytest.mark.timeout(240)

OpenCluster = Callable[..., Cluster]
Videos = tuple[SceneVideo, SceneVideo]
References = dict[str, dict[str, Any]]

SLOW = {"SCENE_SECONDS": "0.1", "YOLOTRACK_BROKER__ORPHAN_SECONDS": "15"}
"""So that faults come in the middle, and a publisher has the time to come back."""


@pytest.fixture(scope="module")
def trio_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitTrio]:
    with rabbit_trio(tmp_path_factory.mktemp("trio")) as started:
        yield started


@pytest.fixture
def trio(trio_of_module: RabbitTrio) -> RabbitTrio:
    """All of it runs, whatever the test before did to it."""
    trio_of_module.start()
    return trio_of_module


def in_the_middle(cluster: Cluster, video: SceneVideo) -> int:
    done = cluster.done(video.stream)
    assert 0 < done < video.frames
    return done


@contextmanager
def paused(members: list[Member]) -> Iterator[None]:
    """Nodes take longer to start than all of the rest of the video would."""
    for member in members:
        member.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for member in members:
            member.send(signal.SIGCONT)


def assert_nothing_happened(cluster: Cluster, video: SceneVideo, references: References) -> None:
    assert_same(dump_of(cluster, video.stream), references[video.stream])
    record = cluster.wait_ended(video.stream)
    assert record.status is RunStatus.COMPLETE
    assert_logs_whole(cluster, record)
    assert_nothing_left(cluster)


def test_the_leader_of_any_queue_may_be_killed(
    trio: RabbitTrio, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster(trio, **SLOW)
    detectors = [opened.work("detect") for _ in range(2)]
    opened.work("track")
    publisher = opened.publish(video)
    topics = ("frames", "detections.0", f"video.{video.stream}")
    for place, topic in enumerate(topics):
        opened.wait_done(video.stream, 1 + place * video.frames // 4)
        with paused(detectors):
            leader = trio.leader(f"{opened.namespace}.{topic}")
        leader.kill()
        opened.wait_done(video.stream, in_the_middle(opened, video) + 20, seconds=30)
        with paused(detectors):
            leader.start()
    publisher.end()
    assert_nothing_happened(opened, video, references)


def test_a_rolling_restart_changes_nothing(
    trio: RabbitTrio, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[1]
    opened = cluster(trio, **SLOW)
    detector, _ = (opened.work(role) for role in ("detect", "track"))
    publisher = opened.publish(video)
    for place, node in enumerate(trio.nodes):
        opened.wait_done(video.stream, 1 + place * video.frames // 4)
        node.stop()
        opened.wait_done(video.stream, in_the_middle(opened, video) + 20, seconds=30)
        with paused([detector]):
            node.start()
    publisher.end()
    assert_nothing_happened(opened, video, references)


@pytest.mark.nightly  # a hanging queue is made in tests/integration/test_rabbitmq_sick.py in less time
def test_a_queue_that_lost_most_of_its_copies_is_named_and_taken_up_again(
    trio: RabbitTrio, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[1]
    opened = cluster(trio, **SLOW | {"YOLOTRACK_BROKER__ORPHAN_SECONDS": "60"})
    detector, tracker = (opened.work(role) for role in ("detect", "track"))
    publisher = opened.publish(video)
    opened.wait_done(video.stream, video.frames // 4)
    for node in trio.nodes[1:]:
        node.kill()
    late = opened.work("detect")
    sick = f"queue does not answer, trying again while the others go on queue={opened.namespace}"
    for member, topic in ((detector, "detections.0"), (late, "frames"), (late, "suspects")):
        opened.wait(lambda member=member, topic=topic: f"{sick}.{topic} " in member.text, f"{topic} to be named", 40)
    in_the_middle(opened, video)
    trio.start()
    publisher.end()
    assert_nothing_happened(opened, video, references)
    assert f"queue answers again queue={opened.namespace}.frames" in late.text
    assert f"queue answers again queue={opened.namespace}.detections.0" in detector.text
    for member in (detector, tracker, publisher, late):
        assert "AMQP" not in member.text
