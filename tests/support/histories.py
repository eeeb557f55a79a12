"""What came out of a run, in a form in which two runs of one video are equal; and what its logs must look like."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

from tests.support.cluster import PATIENCE, Cluster
from tests.support.waiting import wait_until
from yolotrack.broker.base import tracks_log, video_log
from yolotrack.model import Frame, FrameTracks, Message, Outcome, RunEnded, RunRecord, new_barrier
from yolotrack.store.base import Store

QUEUES = ("frames", "suspects", "detections.0", "detections.1")


def dump(store: Store, record: RunRecord) -> dict[str, Any]:
    """Everything that the store knows of a run but its id, clocks and epochs."""
    run_id = record.run.run_id
    described = replace(record.run, run_id="", started_at=None)  # type: ignore[arg-type]
    return {
        "run": (described, record.status, record.ledger, record.model, record.model_digest, record.tracker),
        "frames": [(row.index, row.media_time, row.outcome, row.reason) for row in store.outcomes(run_id)],
        "observations": [
            (row.frame, row.track_id, row.media_time, row.class_id, row.class_name, row.confidence, row.xyxy)
            for row in store.observations(run_id)
        ],
        "tracks": [replace(row, run_id="") for row in store.tracks(run_id)],
        "detections": list(store.detections(run_id)),
    }


def dump_of(cluster: Cluster, stream: str, number: int = 1) -> dict[str, Any]:
    """Of the `number`-th run of a stream, once it has ended."""
    record = cluster.wait_ended(stream, number)
    assert record.ledger.in_flight == 0, record
    return dump(cluster.store, record)


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Row for row; names the first that differs."""
    for part, rows in expected.items():
        if isinstance(rows, list):
            for one, other in zip(found[part], rows, strict=False):
                assert one == other, f"{part} differ"
            assert len(found[part]) == len(rows), part
        assert found[part] == rows, part
    assert len(expected["observations"]) > len(expected["frames"]), "a reference without tracks proves nothing"


def read_log(cluster: Cluster, log: str) -> list[Message]:
    """All that is in a log now."""
    barrier, entries = new_barrier(), []
    with closing(cluster.broker.read(log, "start")) as reader:
        cluster.broker.publish(log, barrier)
        for message in reader:
            if message == barrier:
                return entries
            if message is not None:
                entries.append(message)
    raise AssertionError(f"{log} was closed")


def assert_logs_whole(cluster: Cluster, record: RunRecord) -> None:
    """Both logs of a run are gapless and in order. What comes again after a takeover is what was there before."""
    run, count = record.run, record.ledger.published
    video = [m for m in read_log(cluster, video_log(run.stream)) if isinstance(m, Frame) and m.run_id == run.run_id]
    assert _in_order(video, lambda frame: (frame.media_time, frame.picture)) == count
    tracks = [m for m in read_log(cluster, tracks_log(run.stream)) if _is_of(m, run.run_id)]
    outcomes = [m for m in tracks if isinstance(m, FrameTracks)]
    assert _in_order(outcomes, _content) == count
    ends = [place for place, m in enumerate(tracks) if isinstance(m, RunEnded)]
    assert ends, "no end on the tracks log"
    before = {m.index for m in tracks[: ends[0]] if isinstance(m, FrameTracks)}
    assert before == set(range(count)), "the end came before all outcomes"
    assert {tracks[place].frame_count for place in ends} == {count}  # type: ignore[union-attr]


def _is_of(message: Message, run_id: str) -> bool:
    return isinstance(message, FrameTracks | RunEnded) and message.run_id == run_id


def _content(tracks: FrameTracks) -> Any:
    boxes = tracks.tracks
    ids = [] if tracks.outcome is not Outcome.TRACKED else boxes.tracker_id.tolist()
    return tracks.outcome, tracks.reason, tracks.media_time, ids, boxes.xyxy.tolist(), boxes.confidence.tolist()


def _in_order(entries: list[Any], content: Any) -> int:
    """How many different ones; each comes first after the one before it, and is the same when it comes again."""
    seen: list[Any] = []
    for entry in entries:
        assert entry.index <= len(seen), f"{entry.index} came before {len(seen)}"
        if entry.index == len(seen):
            seen.append(content(entry))
        assert content(entry) == seen[entry.index], f"{entry.index} came again, and differs"
    return len(seen)


def assert_nothing_left(cluster: Cluster, *, quarantined: int = 0) -> None:
    """Every queue is empty, in the hands of workers too; what was dead was dealt with."""
    for topic in (*QUEUES, "dead"):
        wait_until(lambda topic=topic: cluster.ready(topic) == 0, f"{topic} to be empty", PATIENCE)
    cluster.stop_workers()  # what was in their hands goes back
    left = {topic: cluster.ready(topic) for topic in (*QUEUES, "dead", "quarantine")}
    assert left == {topic: 0 for topic in (*QUEUES, "dead")} | {"quarantine": quarantined}
