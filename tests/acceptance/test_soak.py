"""Minutes of faults of every kind, one after the other; then everything must add up."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster, Member
from tests.support.histories import assert_logs_whole, assert_nothing_left, assert_same, dump_of
from tests.support.rabbit import RabbitNode, rabbit_node
from tests.support.scene_videos import SceneVideo
from yolotrack.model import RunStatus

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]

SECONDS = 180.0
LONGEST_QUIET = 6.0
ROLES = ("detect", "detect", "detect", "track", "track")

References = dict[str, dict[str, Any]]


class Trouble:
    """Does one thing after another to a cluster whose workers are replaced when they die."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self._cluster = cluster
        self._dice = dice
        self.workers = [cluster.work(role) for role in ROLES]
        self.done: list[str] = []

    def make(self) -> None:
        """One fault, and what mends it."""
        fault = self._dice.choice((self.kill, self.kill, self.kill, self.freeze, self.cut, self.stop, self.crash))
        self.done.append(fault.__name__)
        fault()

    def kill(self) -> None:
        victim = self._dice.randrange(len(self.workers))
        self.workers[victim].kill()
        self.workers[victim] = self._cluster.replace(self.workers[victim])

    def freeze(self) -> None:
        victim: Member = self._dice.choice(self.workers)
        victim.send(signal.SIGSTOP)
        self.rest(LONGEST_QUIET)  # past its heartbeat
        victim.send(signal.SIGCONT)

    def cut(self) -> None:
        self._cluster.node.control("close_all_connections", "a soak")

    def stop(self) -> None:
        self._cluster.node.stop()
        self._cluster.node.start()

    def crash(self) -> None:
        self._cluster.node.kill()
        self._cluster.node.start()

    def rest(self, longest: float) -> None:
        """Nothing for a while, of random length: the faults are to meet the pipeline wherever it is."""
        threading.Event().wait(self._dice.uniform(0, longest))


@pytest.fixture
def own_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """One that may be stopped."""
    with rabbit_node(tmp_path_factory.mktemp("soak-rabbit")) as node:
        yield node


def test_minutes_of_faults_change_nothing(
    own_rabbit: RabbitNode,
    cluster: Callable[..., Cluster],
    scene_videos: tuple[SceneVideo, SceneVideo],
    references: References,
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    opened = cluster(own_rabbit, heartbeat=2, SCENE_SECONDS="0.02", YOLOTRACK_BROKER__ORPHAN_SECONDS="60")
    trouble = Trouble(opened, random.Random(seed))
    publishers = {video: opened.publish(video) for video in scene_videos}
    started = dict.fromkeys(scene_videos, 1)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        trouble.make()
        for video, publisher in publishers.items():
            if publisher.ended:
                publisher.end()
                publishers[video] = opened.publish(video)
                started[video] += 1
        trouble.rest(LONGEST_QUIET)
    for publisher in publishers.values():
        publisher.end()
    print(f"{trouble.done}, runs {list(started.values())}")
    for video, runs in started.items():
        _assert_all_same(opened, video, runs, references)
    assert_nothing_left(opened)


def _assert_all_same(cluster: Cluster, video: SceneVideo, runs: int, references: References) -> None:
    for number in range(1, runs + 1):
        assert_same(dump_of(cluster, video.stream, number), references[video.stream])
        record = cluster.wait_ended(video.stream, number)
        assert record.status is RunStatus.COMPLETE
        assert_logs_whole(cluster, record)
