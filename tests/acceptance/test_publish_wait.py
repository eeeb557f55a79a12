"""`publish --wait` tells how its frames ended, and its exit code follows; what `run` refuses, it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.support.cluster import Cluster
from tests.support.commands import yolotrack
from tests.support.scene_videos import SceneVideo
from tests.support.videos import write_video
from yolotrack.demo.source import WEIGHTS

OpenCluster = Callable[..., Cluster]


def test_frames_that_failed_are_counted_and_make_it_fail(
    cluster: OpenCluster, scene_videos: tuple[SceneVideo, SceneVideo], tmp_path: Path
) -> None:
    opened, video = cluster(), scene_videos[0]
    opened.work()
    good = opened.publish(video, "--wait", "--max-frames", "20", "--json").end()
    assert _counts(good) == {"published": 20, "tracked": 20, "failed": 0, "dropped": 0}
    discs = write_video(tmp_path / "discs.mp4", 6)  # in which the scripted model finds no number
    bad = opened.start("publish", discs, "--wait", "--json", "--quiet").end(1)
    assert _counts(bad) == {"published": 6, "tracked": 0, "failed": 6, "dropped": 0}
    assert "error: discs: 6 of 6 frames failed, the first: " in bad


def _counts(printed: str) -> dict[str, int]:
    document = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    return {name: document[name] for name in ("published", "tracked", "failed", "dropped")}


def test_pictures_too_large_are_refused_by_both_in_one_line(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((8192, 8200, 3), np.uint8))
    for command in (["run", "large.png", "--model", WEIGHTS], ["publish", "large.png"]):
        line = yolotrack(*command, folder=tmp_path, code=1).only_line
        assert line == (
            "cannot read large.png: pictures of 8200x8192 are too large; "
            "scale them down to 67 million pixels at most, 32768 a side"
        )
