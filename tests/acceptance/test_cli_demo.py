"""`yolotrack demo`, offline, and how good the bundled model and the pipeline are on streets that nobody trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.commands import names_in, runs_in, yolotrack
from yolotrack.config import ModelSettings
from yolotrack.demo.scene import CLASSES, MIN_CONSIDERED, Scene
from yolotrack.demo.source import IMGSZ, WEIGHTS
from yolotrack.vision.detector import open_detector

FILES = {"demo.mp4", "tracks.db", "tracks.txt", "truth.txt"}


def test_the_demo_shows_tracks_scores_and_files_and_repeats_itself(tmp_path: Path) -> None:
    first = yolotrack("demo", "--frames", "100", "--seed", "3", folder=tmp_path)

    assert names_in(tmp_path / "yolotrack-demo") == FILES
    header, *lines = first.out.splitlines()
    assert header.split() == ["track", "class", "from", "to", "frames", "conf"]
    table = [re.fullmatch(r" *#(\d+)  (\w+) +([\d.]+) s +([\d.]+) s +(\d+) +(0\.\d\d)", line) for line in lines]
    tracks = [match for match in table if match]
    assert [int(match[1]) for match in tracks] == list(range(1, len(tracks) + 1))
    assert {match[2] for match in tracks} == set(CLASSES)
    assert "frames: 100 published, 100 tracked" in lines
    scores = re.fullmatch(r"against the truth: HOTA (0\.\d{3})  MOTA (0\.\d{3})  IDF1 (0\.\d{3})", lines[-1])
    assert scores and float(scores[1]) >= 0.70
    _check_video(tmp_path / "yolotrack-demo/demo.mp4", 100)

    second = json.loads(yolotrack("demo", "--frames", "40", "--seed", "3", "--json", folder=tmp_path).out)

    assert names_in(tmp_path / "yolotrack-demo") == FILES, "the second writes over the first"
    _check_video(tmp_path / "yolotrack-demo/demo.mp4", 40)
    database = "sqlite:///yolotrack-demo/tracks.db"
    assert [run["published"] for run in runs_in(tmp_path, database)] == ["100", "40"]
    assert runs_in(tmp_path, database)[-1]["run_id"] == second["run_id"]
    truth = (tmp_path / "yolotrack-demo/truth.txt").read_text().splitlines()
    assert max(int(line.split(",")[0]) for line in truth) == 40


def _check_video(path: Path, frames: int) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)
        assert (context.width, context.height) == (960, 540)
        assert sum(1 for _ in container.decode(stream)) == frames


@pytest.mark.parametrize("seed", [21, pytest.param(64, marks=pytest.mark.nightly)])
def test_tracks_are_good_on_streets_never_seen(tmp_path: Path, seed: int) -> None:
    command = ["demo", "--frames", "150", "--seed", seed, "--json", "--quiet"]
    done = yolotrack(*command, folder=tmp_path)

    assert done.err == ""
    told = json.loads(done.out)
    assert (told["published"], told["tracked"], told["failed"]) == (150, 150, 0)
    assert told["scores"]["hota"] >= 0.70
    assert len(told["track_table"]) == sum(told["tracks"].values())


def test_without_network_and_without_a_home(tmp_path: Path) -> None:
    """A folder for temporary files will do for the cache; a proxy that is not there keeps the network away."""
    (tmp_path / "tmp").mkdir()
    folders = dict.fromkeys(
        ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "YOLO_CONFIG_DIR", "MPLCONFIGDIR"), ""
    )
    nowhere = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all")}
    homeless = {"HOME": "/proc/nobody", "TMPDIR": str(tmp_path / "tmp")}

    done = yolotrack("demo", "--frames", "5", "-q", folder=tmp_path, env=nowhere | folders | homeless)

    assert done.err == ""
    assert "frames: 5 published, 5 tracked" in done.out
    assert names_in(tmp_path) == {"yolotrack-demo", "tmp"}
    assert any(path.name.startswith("yolotrack-") for path in (tmp_path / "tmp").iterdir())


def test_a_cache_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    line = yolotrack("demo", "--frames", "5", folder=tmp_path, code=1, env={"XDG_CACHE_HOME": "/proc/nobody"}).only_line

    assert line.startswith("cannot use the cache folder /proc/nobody/yolotrack: ")
    assert line.endswith("; set XDG_CACHE_HOME to another folder")


def test_the_detector_is_good_on_pictures_never_seen() -> None:
    """Average precision at an overlap of 0.5, mean over the classes; hidden objects do not count either way."""
    detector = open_detector(ModelSettings(weights=str(WEIGHTS), imgsz=IMGSZ, conf=0.01, device="cpu"))
    hits: dict[int, list[tuple[float, bool]]] = {number: [] for number in range(len(CLASSES))}
    there = dict.fromkeys(hits, 0)
    for seed in range(40, 60):
        scene = Scene(seed=seed, frames=251)
        for index in (0, 125, 250):
            found = detector.submit(scene.render(index)).result(60)
            truth = scene.truth(index)
            for number in hits:
                seen, boxes = found.class_id == number, truth.class_ids == number
                considered = truth.visibility[boxes] >= MIN_CONSIDERED
                hits[number] += _judged(found.confidence[seen], found.xyxy[seen], truth.xyxy[boxes], considered)
                there[number] += int(considered.sum())
    detector.close()

    precision = [_average_precision(hits[number], there[number]) for number in hits]
    assert min(there.values()) > 50
    assert float(np.mean(precision)) >= 0.90, dict(zip(CLASSES, precision, strict=True))


def _judged(
    confidence: np.ndarray, found: np.ndarray, truth: np.ndarray, considered: np.ndarray
) -> list[tuple[float, bool]]:
    """Confidence of each box, and whether it is the best one on an object. Boxes on hidden objects are left out."""
    taken = np.zeros(len(truth), bool)
    judged = []
    for box, score in zip(found, confidence.tolist(), strict=True):  # best first
        overlap = np.where(taken, 0.0, _overlap(box, truth))
        best = int(overlap.argmax()) if len(overlap) else -1
        right = best >= 0 and overlap[best] >= 0.5
        if right:
            taken[best] = True
        if not right or considered[best]:
            judged.append((score, right))
    return judged


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(0).prod(axis=1)
    return common / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - common)


def _average_precision(judged: list[tuple[float, bool]], there: int) -> float:
    """The area below precision over recall, as COCO has it (101 points)."""
    right = np.array([hit for _, hit in sorted(judged, key=lambda pair: -pair[0])], float)
    recall = right.cumsum() / there
    precision = np.maximum.accumulate((right.cumsum() / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101))
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())
