"""What `publish` prints and returns at its end is what the database says, however it ended."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Member
from tests.support.rabbit import RabbitNode
from tests.support.scene_videos import SceneVideo
from tests.support.waiting import wait_until
from yolotrack.model import RunStatus

HEARTBEAT = 2
"""Seconds until the broker gives a frozen publisher up, or twice as many."""


def told_by(publisher: Member, code: int) -> dict[str, object]:
    """What it printed as JSON, with that exit code."""
    text = publisher.end(code)
    return dict(json.loads(text[text.index("{") : text.rindex("}") + 1]))


@pytest.mark.parametrize("more", [(), ("--wait",)], ids=["not waiting", "waiting"])
def test_a_publisher_whose_run_was_ended_while_it_was_frozen_says_so(
    rabbit: RabbitNode, scene_videos: tuple[SceneVideo, SceneVideo], tmp_path: Path, more: tuple[str, ...]
) -> None:
    video = scene_videos[0]
    with Cluster(rabbit, tmp_path, video.path.parent, heartbeat=HEARTBEAT) as cluster:
        cluster.work()
        publisher = cluster.publish(video, "--realtime", "--json", *more)
        cluster.wait_done(video.stream, 5)
        publisher.send(signal.SIGSTOP)
        record = cluster.wait_ended(video.stream)
        publisher.send(signal.SIGCONT)
        told = told_by(publisher, 1)
        assert record.status is RunStatus.INTERRUPTED
        assert (told["status"], told["published"]) == ("interrupted", record.ledger.published)
        assert record.ledger.published < video.frames
        assert "was ended as interrupted" in publisher.text
        assert cluster.runs(video.stream) == [record], "nothing was added to the run after its end"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_who_stops_waiting_is_not_told_that_the_run_is_complete(
    rabbit: RabbitNode, scene_videos: tuple[SceneVideo, SceneVideo], tmp_path: Path, number: signal.Signals
) -> None:
    video = scene_videos[0]
    with Cluster(rabbit, tmp_path, video.path.parent, SCENE_SECONDS="0.3") as cluster:
        worker = cluster.work()
        publisher = cluster.publish(video, "--wait", "--json", "--max-frames", "30")
        cluster.wait_done(video.stream, 2)
        worker.send(signal.SIGSTOP)
        wait_until(lambda: cluster.ready("frames") > 0, "frames that wait")
        publisher.send(number)
        told = told_by(publisher, 130)
        assert told["status"] in ("running", "interrupted")
        worker.send(signal.SIGCONT)
        record = cluster.wait_ended(video.stream)
        assert told["status"] == "running" or record.status is RunStatus.INTERRUPTED
        assert record.ledger.in_flight == 0
