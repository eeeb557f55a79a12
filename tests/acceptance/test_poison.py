"""What cannot be a frame ends as `failed` with its reason, alone; order, repeats and gaps change nothing."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pika
import pytest

from tests.support.cluster import Cluster
from tests.support.histories import assert_nothing_left, assert_same, dump, dump_of
from tests.support.scene_model import DIGEST
from tests.support.scene_videos import HEIGHT, RATE, WIDTH, SceneVideo
from yolotrack import wire
from yolotrack.broker.base import shard_topic
from yolotrack.config import SourceSettings
from yolotrack.model import (
    Frame,
    FrameDetections,
    FrameLost,
    Message,
    Mode,
    Outcome,
    Run,
    RunEnded,
    RunStarted,
    RunStatus,
    new_run_id,
    utc_now,
)
from yolotrack.roles.track import PREFETCH
from yolotrack.video.jpeg import encode
from yolotrack.video.source import open_source

OpenCluster = Callable[..., Cluster]
Videos = tuple[SceneVideo, SceneVideo]

FRAMES = 90
DEADLY = 62
REASONS = {
    12: "not a JPEG",
    20: "a JPEG that is cut off",
    21: "an empty picture",
    33: "more pixels than are allowed",
    40: "message format 9",
    41: "bad header",
    50: "the strip of this picture is not readable",
    DEADLY: "its worker died every time",
}
"""Each bad frame, and what is said of it."""
MOST_MEMORY = 600
"""Megabytes; the picture of the 30000 x 30000 header alone would take 2700."""


def make_run(stream: str) -> Run:
    return Run(new_run_id(), stream, f"{stream}.mp4", utc_now(), Mode.ARCHIVE, WIDTH, HEIGHT, RATE)


def frames_of(video: SceneVideo, run: Run, count: int) -> Iterator[Frame]:
    """The first frames of a video as they travel."""
    with closing(open_source(str(video.path), SourceSettings())) as source:
        for index, picture in zip(range(count), source, strict=False):
            yield Frame(run.run_id, run.stream, index, picture.media_time, utc_now(), encode(picture.pixels, 90))


def poisoned(frame: Frame) -> bytes:
    """The body of a frame, with what is wrong with it."""
    jpeg, body = bytes(frame.picture), wire.encode(frame)
    pictures = {
        12: bytes(reversed(jpeg)),
        20: jpeg[: len(jpeg) // 2],
        21: b"",
        33: _enlarged(jpeg),
        50: next(iter(_black())),
    }
    if frame.index in pictures:
        return wire.encode(replace(frame, picture=pictures[frame.index]))
    if frame.index == 40:
        return body[:2] + b"\x09" + body[3:]
    if frame.index == 41:
        return body[:7] + bytes(64) + body[71:]
    return body


def _enlarged(jpeg: bytes) -> bytes:
    """The same, but its header says 30000 x 30000."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + 2 * (30000).to_bytes(2, "big") + jpeg[place + 4 :]


def _black() -> Iterator[bytes]:
    import numpy as np

    yield encode(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 90)


class RawPublisher:
    """Publishes bodies as they are, where frames go."""

    def __init__(self, cluster: Cluster) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(cluster.node.url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self._exchange = f"{cluster.namespace}.frames"

    def send(self, stream: str, body: bytes, headers: dict[str, Any]) -> None:
        properties = pika.BasicProperties(type="Frame", delivery_mode=2, headers=headers)
        self._channel.basic_publish(self._exchange, f"detect.{stream}", body, properties, mandatory=True)

    def close(self) -> None:
        self._connection.close()


def headers_of(frame: Frame) -> dict[str, Any]:
    """What the properties of a message say of its frame."""
    return {
        "run_id": frame.run_id,
        "stream": frame.stream,
        "index": frame.index,
        "media_time": repr(frame.media_time),
        "captured_at": frame.captured_at.isoformat(),
    }


def test_bad_frames_fail_with_their_reasons_and_no_others(cluster: OpenCluster, scene_videos: Videos) -> None:
    video, run = scene_videos[0], make_run("poison")
    opened = cluster(SCENE_DEADLY=f"{video.scene}:{DEADLY}")
    broker, shard = opened.broker, shard_topic(run.stream, 1)
    tracker = opened.work("track")
    detectors = [opened.work("detect"), opened.work("detect")]
    for member in detectors:
        member.expected_to_end = True
    with closing(broker.feed(run.stream)):
        broker.publish(shard, RunStarted(run))
        _publish_poisoned(opened, list(frames_of(video, run, FRAMES)))
        broker.publish(shard, RunEnded(run.run_id, run.stream, FRAMES, RunStatus.COMPLETE))

        def has_ended() -> bool:
            opened.replace_dead(detectors)
            return bool(opened.runs(run.stream)) and opened.runs(run.stream)[0].status is RunStatus.COMPLETE

        opened.wait(has_ended, "the end of the poisoned run")
    record = opened.wait_ended(run.stream)
    found = dump(opened.store, record)
    _assert_reasons(found)
    assert_same(_tracks_only(found), _tracks_only(_without_poison(opened, video)))
    assert record.ledger.in_flight == 0
    _assert_few_died(opened)
    assert max(member.most_memory for member in (tracker, *detectors)) < MOST_MEMORY
    assert_nothing_left(opened, quarantined=1)


def _publish_poisoned(cluster: Cluster, frames: Sequence[Frame]) -> None:
    """All frames, and between them a message that is about nothing."""
    with closing(RawPublisher(cluster)) as raw:
        cluster.broker.publish_frame(frames[0])  # which declares what frames are routed to
        cluster.broker.settle()
        for frame in frames[1:]:
            raw.send(frame.stream, poisoned(frame), headers_of(frame))
            if frame.index == FRAMES // 2:
                raw.send(frame.stream, b"from somebody else", {})


def _assert_reasons(found: dict[str, Any]) -> None:
    failed = {index: reason for index, _, outcome, reason in found["frames"] if outcome is not Outcome.TRACKED}
    assert set(failed) == set(REASONS)
    for index, reason in REASONS.items():
        assert reason in failed[index], (index, failed[index])


def _assert_few_died(cluster: Cluster) -> None:
    """The deadly frame killed one worker among others, and then a few alone."""
    died = [member for member in cluster.members if member.process.poll() == -signal.SIGKILL]
    assert 2 <= len(died) <= 6


def _without_poison(cluster: Cluster, video: SceneVideo) -> dict[str, Any]:
    """What becomes of the same frames when the bad ones are reported lost, and the others detected at once."""
    run = make_run("clean")
    messages = _all_found(run, video, FRAMES)
    for index, reason in REASONS.items():
        messages[index] = FrameLost(
            run.run_id, run.stream, index, float(index / RATE), utc_now(), Outcome.FAILED, reason
        )
    _track(cluster, run, messages, FRAMES)
    return dump_of(cluster, run.stream)


def _tracks_only(found: dict[str, Any]) -> dict[str, Any]:
    return {"frames": [row[:3] for row in found["frames"]]} | {name: found[name] for name in ("observations", "tracks")}


# order, repeats, gaps

LONG = PREFETCH + 120
"""Frames of a run whose gap the prefetch cannot hold."""
GAP = range(30, 33)


def _all_found(run: Run, video: SceneVideo, count: int) -> list[Message]:
    detections = video.detections()
    return [
        FrameDetections(
            run.run_id, run.stream, index, index / 25, utc_now(), detections[index % video.frames], "scripted", DIGEST
        )
        for index in range(count)
    ]


def _track(cluster: Cluster, run: Run, messages: Sequence[Message], count: int) -> None:
    """Put a run on its shard."""
    shard = shard_topic(run.stream, 1)
    with closing(cluster.broker.feed(run.stream)):
        cluster.broker.publish(shard, RunStarted(run))
        cluster.broker.publish(shard, *messages)
        cluster.broker.publish(shard, RunEnded(run.run_id, run.stream, count, RunStatus.COMPLETE))
        cluster.wait_ended(run.stream)


def shuffled(messages: Sequence[Message], places: int) -> list[Message]:
    """Each up to so many places from where it belongs."""
    dice = random.Random(places)
    order = sorted(range(len(messages)), key=lambda place: place + dice.uniform(0, places))
    return [messages[place] for place in order]


def with_gap_last(messages: Sequence[Message]) -> list[Message]:
    """A few early ones come after all others."""
    return [m for m in messages if m.index not in GAP] + [m for m in messages if m.index in GAP]  # type: ignore[union-attr]


def disorders(messages: Sequence[Message]) -> dict[str, list[Message]]:
    return {
        "shuffled": shuffled(messages, 50),
        "tripled": shuffled([*messages, *messages, *messages], 50),
        "gap-last": with_gap_last(messages),
        "all-at-once": with_gap_last(shuffled([m for m in messages for _ in range(3)], 150)),
    }


def test_order_repeats_and_gaps_change_nothing(cluster: OpenCluster, scene_videos: Videos) -> None:
    video = scene_videos[0]
    opened = cluster()
    opened.work("track")
    _track(opened, quiet := make_run("quiet"), _all_found(quiet, video, LONG), LONG)
    expected = _anonymous(dump_of(opened, "quiet"))
    for name in disorders([]):
        run = make_run(name)
        _track(opened, run, disorders(_all_found(run, video, LONG))[name], LONG)
        assert_same(_anonymous(dump_of(opened, name)), expected)
    assert_nothing_left(opened)


def _anonymous(found: dict[str, Any]) -> dict[str, Any]:
    return {name: rows for name, rows in found.items() if name != "run"} | {"ledger": found["run"][1:]}


@pytest.mark.parametrize("commits", [6, pytest.param(15, marks=pytest.mark.nightly)])
def test_a_tracker_killed_with_frames_in_the_store_that_waited_changes_nothing(
    commits: int, cluster: OpenCluster, scene_videos: Videos
) -> None:
    """The gap is closed, and the tracker dies while it works off what waited: nobody sends that again."""
    video = scene_videos[0]
    opened = cluster()
    run, quiet = make_run("killed"), make_run("quiet")
    doomed = opened.doomed_tracker("after-commit", commits)
    shard = shard_topic(run.stream, 1)
    with closing(opened.broker.feed(run.stream)):
        opened.broker.publish(shard, RunStarted(run))
        opened.broker.publish(shard, *with_gap_last(_all_found(run, video, LONG)))
        opened.broker.publish(shard, RunEnded(run.run_id, run.stream, LONG, RunStatus.COMPLETE))
        doomed.end(-signal.SIGKILL)
        assert GAP.stop < opened.done(run.stream) < LONG
        opened.work("track")
        found = dump_of(opened, run.stream)
    _track(opened, quiet, _all_found(quiet, video, LONG), LONG)
    assert_same(_anonymous(found), _anonymous(dump_of(opened, quiet.stream)))
    assert_nothing_left(opened)
