"""Tracks on a PostgreSQL server: the history is the one in a file, whatever becomes of server and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import MODEL, Cluster
from tests.support.commands import SCRIPTED, observations_in, runs_in, yolotrack
from tests.support.histories import assert_logs_whole, assert_nothing_left, assert_same, dump_of
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import PostgresCluster, postgres_cluster
from tests.support.scene_videos import SceneVideo
from yolotrack.model import RunStatus

Videos = tuple[SceneVideo, SceneVideo]
References = dict[str, dict[str, Any]]
OpenCluster = Callable[..., Cluster]

SLOW = {"SCENE_SECONDS": "0.025"}
"""A detector that takes its time, so that faults come in the middle."""


COMPLAINT = "database refuses, trying again"


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresCluster]:
    """One that may be stopped."""
    with postgres_cluster() as server:
        yield server


def in_the_middle(cluster: Cluster, video: SceneVideo, count: int) -> None:
    """Once so many frames are done, which are not all."""
    assert cluster.wait_done(video.stream, count) < video.frames


def restart(server: PostgresCluster, go: Callable[[], None], cluster: Cluster) -> None:
    """The server goes, and comes back when somebody has noticed."""
    before = complaints(cluster)
    go()
    cluster.wait(lambda: complaints(cluster) > before, "a complaint")
    server.start()


def complaints(cluster: Cluster) -> int:
    """How often somebody noticed that the server was gone."""
    return sum(member.text.count(COMPLAINT) for member in cluster.members)


def assert_nothing_happened(cluster: Cluster, video: SceneVideo, references: References) -> None:
    """The run is complete, and as one worker writes it into a SQLite file."""
    assert_same(dump_of(cluster, video.stream), references[video.stream])
    assert cluster.wait_ended(video.stream).status is RunStatus.COMPLETE


def test_run_goes_on_where_the_server_comes_back(
    own_server: PostgresCluster, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster(database=own_server.fresh(), **SLOW)
    running = opened.start("run", video.path, "--quiet", "--model", MODEL)
    for place, go in enumerate((own_server.stop, own_server.kill), start=1):
        in_the_middle(opened, video, place * video.frames // 4)
        restart(own_server, go, opened)
    text = running.end()
    assert "Traceback" not in text
    assert_nothing_happened(opened, video, references)


def test_workers_go_on_where_the_server_comes_back_and_one_of_them_dies(
    own_server: PostgresCluster, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    opened = cluster(database=own_server.fresh(), **SLOW)
    opened.work("detect")
    trackers = [opened.work("track"), opened.work("track")]
    opened.publish(video)
    for place, go in enumerate((own_server.stop, own_server.kill), start=1):
        in_the_middle(opened, video, place * video.frames // 4)
        restart(own_server, go, opened)
    in_the_middle(opened, video, 3 * video.frames // 4)
    owner = next(tracker for tracker in trackers if COMPLAINT in tracker.text)
    owner.kill()
    assert_nothing_happened(opened, video, references)
    assert_logs_whole(opened, opened.wait_ended(video.stream))
    assert all("Traceback" not in member.text for member in opened.members)
    assert_nothing_left(opened)


def test_a_worker_that_begins_before_its_server_waits_for_it(
    own_server: PostgresCluster, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video, database = scene_videos[1], own_server.fresh()
    own_server.stop()
    opened = cluster(database=database)
    worker = opened.work()
    opened.wait(lambda: f"{COMPLAINT} for 600 s" in worker.text, "a complaint")
    asked = opened.start("db", "runs")
    assert "no server answers there" in asked.end(1)
    opened.publish(video)
    own_server.start()
    assert_nothing_happened(opened, video, references)
    impatient = opened.work("track", YOLOTRACK_DATABASE__URL=database.replace("/postgres?", "/nowhere?"))
    assert 'database "nowhere" does not exist: create it with `createdb`' in impatient.end(1)


def test_workers_go_on_where_pgbouncer_or_the_server_behind_it_comes_back(
    own_server: PostgresCluster, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    video = scene_videos[0]
    with pgbouncer(own_server, "transaction", sessions=2) as pooler:
        opened = cluster(database=pooler.fresh(), **SLOW)
        for role in ("detect", "track", "track"):
            opened.work(role)
        opened.publish(video)
        in_the_middle(opened, video, video.frames // 4)
        before = complaints(opened)
        pooler.kill()
        opened.wait(lambda: complaints(opened) > before, "a complaint")
        pooler.start()
        in_the_middle(opened, video, video.frames // 2)
        restart(own_server, own_server.stop, opened)
        assert_nothing_happened(opened, video, references)
        assert_logs_whole(opened, opened.wait_ended(video.stream))


def test_two_trackers_of_two_shards_write_one_database(
    postgres: PostgresCluster, cluster: OpenCluster, scene_videos: Videos, references: References
) -> None:
    opened = cluster(database=postgres.fresh(), YOLOTRACK_BROKER__SHARDS="2")
    for role in ("detect", "detect", "track", "track"):
        opened.work(role)
    for video in scene_videos:
        opened.publish(video)
    for video in scene_videos:
        assert_nothing_happened(opened, video, references)
    assert_nothing_left(opened)


def test_what_run_wrote_is_listed_and_asked_for(postgres: PostgresCluster, disc_video: Path, tmp_path: Path) -> None:
    served, file = postgres.fresh(), f"sqlite:///{tmp_path / 'tracks.db'}"
    for database in (served, file):
        yolotrack("run", disc_video, "--model", SCRIPTED, "--quiet", "--db", database, folder=tmp_path)
    [run] = runs_in(tmp_path, served)
    assert (run["status"], run["published"], run["tracked"]) == ("complete", "50", "50")
    ours, theirs = (
        [
            {name: value for name, value in row.items() if name not in ("run_id", "captured_at")}
            for row in observations_in(tmp_path, database=database)
        ]
        for database in (served, file)
    )
    assert ours == theirs
    assert len(ours) > 40


def test_a_server_that_is_not_there_is_one_line(disc_video: Path, tmp_path: Path) -> None:
    database = "postgresql://me:hunter2@127.0.0.1:1/tracks"
    done = yolotrack("run", disc_video, "--model", SCRIPTED, "--db", database, folder=tmp_path, code=1)
    assert done.only_line == (
        "cannot use postgresql://me:***@127.0.0.1:1/tracks: "
        "Connection refused: no server answers there: start it, or name another host or port with --db"
    )
