"""A SQLite file that is moved, deleted or replaced under `work` and `run`: they stop, and nothing is lost."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import MODEL, Cluster, Member
from tests.support.histories import assert_logs_whole, assert_nothing_left, assert_same, dump_of
from tests.support.scene_videos import SceneVideo
from yolotrack.errors import StoreError
from yolotrack.model import RunStatus

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files in use cannot be deleted there")

Videos = tuple[SceneVideo, SceneVideo]
References = dict[str, dict[str, Any]]
OpenCluster = Callable[..., Cluster]

SLOW = {"SCENE_SECONDS": "0.025"}
"""A detector that takes its time, so that it happens in the middle."""


def database(cluster: Cluster) -> Path:
    return cluster.folder / "tracks.db"


def is_made(cluster: Cluster) -> bool:
    with suppress(StoreError):
        return cluster.store is not None
    return False


def only_error(member: Member) -> str:
    """The one line of a command that failed, without the log of a worker."""
    [line] = [line for line in member.end(1).splitlines() if line.startswith("error: ")]
    assert "Traceback" not in member.text
    return line


def middle(cluster: Cluster, video: SceneVideo) -> None:
    assert cluster.wait_done(video.stream, video.frames // 4) < video.frames


def test_a_worker_whose_database_was_moved_goes_on_where_it_comes_back(
    cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster(**SLOW)
    opened.work("detect")
    tracker = opened.work("track")
    opened.publish(video)
    middle(opened, video)
    aside = database(opened).rename(opened.folder / "aside.db")
    assert re.match(r"error: cannot use \S+tracks.db any longer: it was deleted or moved", only_error(tracker))
    assert not database(opened).exists()
    aside.rename(database(opened))
    opened.work("track")
    assert_same(dump_of(opened, video.stream), references[video.stream])
    record = opened.wait_ended(video.stream)
    assert record.status is RunStatus.COMPLETE
    assert_logs_whole(opened, record)
    assert_nothing_left(opened)


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_an_idle_worker_notices_too(how: str, cluster: OpenCluster) -> None:
    opened = cluster()
    tracker = opened.work("track")
    opened.wait(lambda: is_made(opened), "a database")
    if how == "deleted":
        database(opened).unlink()
    else:
        shutil.copyfile(database(opened), opened.folder / "copy.db")
        (opened.folder / "copy.db").replace(database(opened))
    assert "any longer" in only_error(tracker)


def test_run_stops_where_its_database_is_deleted(cluster: OpenCluster, scene_videos: Videos) -> None:
    video = scene_videos[0]
    opened = cluster(**SLOW)
    running = opened.start("run", video.path, "--quiet", "--model", MODEL)
    middle(opened, video)
    database(opened).unlink()
    assert "it was deleted or moved while in use" in only_error(running)
    assert not database(opened).exists()
