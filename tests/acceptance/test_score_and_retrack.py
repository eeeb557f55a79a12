"""`yolotrack eval` and `yolotrack retrack` as their user knows them: the installed command, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from trackers.eval import evaluate_mot_sequence

from tests.support.commands import (
    PATIENCE,
    REPOSITORY,
    Done,
    summary,
    yolotrack,
)
from tests.support.detections import campus
from tests.support.runs import BEGIN, found, make_run
from tests.support.scene_videos import SceneVideo
from tests.support.tracking import track_all
from tests.support.waiting import wait_until
from yolotrack.broker.memory import MemoryBroker
from yolotrack.cli import app
from yolotrack.cli.common import exit_code_of
from yolotrack.config import DatabaseSettings
from yolotrack.evaluate import evaluate
from yolotrack.formats.writers import write_rows
from yolotrack.model import Ledger, Observation, RunEnded, RunRecord, RunStarted, RunStatus
from yolotrack.store.base import Selection, Store
from yolotrack.store.sql import open_store

DB = ["--db", "sqlite:///t.db"]
KEEP = {"YOLOTRACK_DATABASE__DETECTIONS": "true"}
TRUTH = "1,1,10,10,20,20,1\n2,1,11,10,20,20,1\n"


@pytest.fixture(scope="module")
def scene_run(scene_videos: tuple[SceneVideo, SceneVideo], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with t.db: 180 frames tracked with bytetrack, their detections kept; then with ocsort from the video."""
    folder, video = tmp_path_factory.mktemp("scene"), scene_videos[1]
    model = ["--model", "tests.support.scene_model:make"]
    for tracker, keep in (("bytetrack", KEEP), ("ocsort", {})):
        env = {"SCENES": str(video.path.parent), **keep}
        yolotrack("run", video.path, *model, "--tracker", tracker, *DB, folder=folder, env=env)
    return folder


@pytest.fixture
def store(scene_run: Path, tmp_path: Path) -> Iterator[Store]:
    """That database, for a test that adds to it, and to look into it."""
    (tmp_path / "t.db").write_bytes((scene_run / "t.db").read_bytes())
    yield from opened(tmp_path)


def opened(folder: Path) -> Iterator[Store]:
    with closing(open_store(DatabaseSettings(url=f"sqlite:///{folder / 't.db'}"))) as store:
        yield store


def rows(store: Store, record: RunRecord) -> list[Observation]:
    """What a run tracked, but for which run it is and when its frames were read."""
    return [replace(row, run_id="", captured_at=BEGIN) for row in store.observations(record.run.run_id)]


def scores(*arguments: object, folder: Path) -> list[dict[str, Any]]:
    """What `eval --json` prints."""
    return list(json.loads(yolotrack("eval", *arguments, "--json", folder=folder).out))


# -- retrack


def test_a_run_tracked_again_equals_one_that_was_detected_again(store: Store, tmp_path: Path) -> None:
    first, detected = store.runs()
    command = ["retrack", "--run", first.run.run_id, "--tracker", "ocsort", *DB, "--json"]
    told = summary(yolotrack(*command, folder=tmp_path).out)
    again = store.find_run("latest")
    assert (told["run_id"], told["status"], told["tracked"]) == (again.run.run_id, "complete", 180)
    run = replace(again.run, run_id=detected.run.run_id, started_at=detected.run.started_at)
    times = {"ended_at": detected.ended_at, "last_outcome_at": detected.last_outcome_at}
    assert replace(again, run=run, **times) == detected
    assert rows(store, again) == rows(store, detected)
    assert len(rows(store, again)) != len(rows(store, first)), "or this proves nothing"


def test_other_parameters_come_from_the_settings(store: Store, tmp_path: Path) -> None:
    first = next(store.runs())
    env = {"YOLOTRACK_TRACKER__BYTETRACK__MINIMUM_CONSECUTIVE_FRAMES": "9"}
    command = ["retrack", "--run", first.run.run_id[:18], "--tracker", "bytetrack", *DB, "--quiet"]
    done = yolotrack(*command, folder=tmp_path, env=env)
    again = store.find_run("latest")
    assert done.err == ""
    assert f"run: {again.run.run_id} (complete)" in done.out
    assert again.tracks < first.tracks


def test_a_run_without_detections_is_refused(store: Store, tmp_path: Path) -> None:
    newest = store.find_run("latest")
    refused = yolotrack("retrack", "--stream", newest.run.stream, *DB, folder=tmp_path, code=1).only_line
    assert f"run {newest.run.run_id} keeps no detections" in refused
    assert "database.detections" in refused
    assert store.find_run("latest") == newest


def test_nothing_is_made_where_there_is_no_database(tmp_path: Path) -> None:
    for command in (["retrack"], ["eval", "--gt", "gt.txt"]):
        (tmp_path / "gt.txt").write_text(TRUTH)
        assert "no database" in yolotrack(*command, *DB, folder=tmp_path, code=1).only_line
    assert [path.name for path in tmp_path.iterdir()] == ["gt.txt"]


class Frozen:
    """`retrack` that stops itself, by SIGSTOP, before its second transaction. A context manager."""

    def __init__(self, folder: Path, run_id: str) -> None:
        fate = [sys.executable, "-m", "tests.support.dying", "frozen-before-commit", "2"]
        self._process = subprocess.Popen(
            [*fate, "retrack", "--run", run_id, "--tracker", "sort", *DB, "--json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Frozen:
        wait_until(self._is_stopped, "the second transaction", PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self, *numbers: int) -> Done:
        for number in numbers:
            self._process.send_signal(number)
        out, err = self._process.communicate(timeout=PATIENCE)
        return Done(self._process.returncode, out, err)

    def _is_stopped(self) -> bool:
        assert self._process.poll() is None, self._process.communicate()
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_an_interrupt_leaves_an_interrupted_run(store: Store, tmp_path: Path) -> None:
    with Frozen(tmp_path, next(store.runs()).run.run_id) as frozen:
        done = frozen.end(signal.SIGINT, signal.SIGCONT)
    assert done.code == 130, done.err
    again = store.find_run("latest")
    assert (again.status, again.run.run_id) == (RunStatus.INTERRUPTED, summary(done.out)["run_id"])
    assert 100 < again.ledger.tracked <= 180
    assert again.ledger.in_flight == 0


def test_a_kill_leaves_no_complete_run(store: Store, tmp_path: Path) -> None:
    first = next(store.runs())
    with Frozen(tmp_path, first.run.run_id) as frozen:
        frozen.end(signal.SIGKILL)
    again = store.find_run("latest")
    assert (again.status, again.ledger) == (RunStatus.RUNNING, Ledger(100, 100, 0, 0))
    done = yolotrack("retrack", "--run", first.run.run_id, "--tracker", "sort", *DB, "--json", folder=tmp_path)
    assert summary(done.out)["status"] == "complete", "it does not stand in the way"


# -- eval


def write_mot(path: Path, store: Store, selection: Selection) -> None:
    """What is selected, as MOT text."""
    with path.open("wb") as file:
        write_rows("mot", file, store.select(selection))


@pytest.fixture
def truth(real_data: Path) -> Path:
    return real_data / "mot" / "TUD-Campus" / "gt.txt"


def test_the_figures_of_tud_campus(real_data: Path, truth: Path, tmp_path: Path) -> None:
    """Those of docs/decisions/0002: HOTA, AssA, MOTA, IDF1, switches."""
    command = ["--gt", truth, "--detections", truth.with_name("det.txt"), "--fps", 25]
    told = scores(*command, "--tracker", "sort", "--tracker", "ocsort", "--tracker", "botsort", folder=tmp_path)
    names = ("hota", "assa", "mota", "idf1", "id_switches")
    assert {each["tracker"]: tuple(round(each["scores"][name], 3) for name in names) for each in told} == {
        "sort": (0.441, 0.409, 0.563, 0.553, 8),
        "ocsort": (0.466, 0.464, 0.568, 0.650, 4),
        "botsort": (0.521, 0.540, 0.604, 0.725, 7),
    }


def test_a_run_scores_as_its_detections_do(real_data: Path, truth: Path, tmp_path: Path) -> None:
    """Tracked on the way, tracked again, and tracked from the text file; and as the trackers package counts itself."""
    seen, _ = campus(real_data)
    run = make_run("campus")
    frames = [replace(found(run, index), detections=detections) for index, detections in enumerate(seen)]
    end = RunEnded(run.run_id, run.stream, len(frames), RunStatus.COMPLETE)
    broker = MemoryBroker(capacity=4096, retain=4096)
    with closing(broker), contextmanager(opened)(tmp_path) as store:
        track_all(broker, store, [RunStarted(run), *frames, end], keep=True)
        yolotrack("retrack", "--tracker", "cbiou", *DB, folder=tmp_path)
        again = store.find_run("latest").run
        write_mot(tmp_path / "tracks.txt", store, Selection((again.run_id,)))

    of_runs = scores("--gt", truth, "--run", run.run_id, "--run", "latest", *DB, folder=tmp_path)
    of_text = ["--detections", truth.with_name("det.txt"), "--fps", 25, "--tracker", "bytetrack", "--tracker", "cbiou"]

    assert [each["run_id"] for each in of_runs] == [run.run_id, again.run_id]
    assert [each["scores"] for each in of_runs] == [
        each["scores"] for each in scores("--gt", truth, *of_text, folder=tmp_path)
    ]
    people = [",".join(line.split(",")[:7]) for line in truth.read_text().splitlines()]  # without a class: all persons
    (tmp_path / "gt.txt").write_text("\n".join(people))
    theirs = evaluate_mot_sequence(tmp_path / "gt.txt", tmp_path / "tracks.txt", metrics=["HOTA", "CLEAR", "Identity"])
    ours = of_runs[1]["scores"]
    assert ours["hota"] == pytest.approx(theirs.HOTA.HOTA, abs=1e-6)
    assert ours["mota"] == pytest.approx(theirs.CLEAR.MOTA, abs=1e-6)
    assert ours["idf1"] == pytest.approx(theirs.Identity.IDF1, abs=1e-6)
    counts = (theirs.CLEAR.IDSW, theirs.CLEAR.CLR_FP, theirs.CLEAR.CLR_FN, theirs.CLEAR.Frag)
    assert tuple(ours[name] for name in ("id_switches", "false_positives", "misses", "fragmentations")) == counts
    assert ours == {name: round(value, 6) for name, value in asdict(evaluate(truth, tmp_path / "tracks.txt")).items()}
    table = yolotrack("eval", "--gt", truth, *DB, "--metrics", "identity,hota", folder=tmp_path).out
    assert table.splitlines()[0] == "against 359 boxes of 8 objects in 71 frames"
    assert [line.split() for line in table.splitlines()[4:]] == [
        [name, f"{ours[name.lower()]:.3f}"] for name in ("HOTA", "DetA", "AssA", "IDF1", "IDP", "IDR")
    ]


def test_classes_leave_out_the_rest(store: Store, tmp_path: Path) -> None:
    run_id = next(store.runs()).run.run_id
    seen = list(store.observations(run_id))
    cars = [row for row in seen if row.class_name == "car"]
    assert 0 < len(cars) < len(seen)
    write_mot(tmp_path / "gt.txt", store, Selection((run_id,), classes=("car",)))
    command = ["--gt", "gt.txt", "--run", run_id, *DB]
    (all_,) = scores(*command, folder=tmp_path)
    (only,) = scores(*command, "--classes", "car", folder=tmp_path)
    assert all_["scores"]["false_positives"] == len(seen) - len(cars)
    assert (only["scores"]["mota"], only["scores"]["false_positives"]) == (1.0, 0)
    refused = yolotrack("eval", *command, "--classes", "cart", folder=tmp_path, code=1).only_line
    assert "cart" in refused


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--tracker", "sort"], 2, "--tracker needs --detections"),
        (["--detections", "gt.txt", "--run", "latest"], 2, "--detections takes no run"),
        (["--detections", "gt.txt", "--tracker", "deepsort"], 2, "--tracker: tracker.name: should be 'sort'"),
        (["--detections", "none.txt"], 1, "cannot read none.txt"),
        (["--metrics", "HOTA,MOTA"], 2, "choose among HOTA, CLEAR, Identity"),
        (["--gt", "empty.txt"], 1, "empty.txt holds no boxes"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gt.txt").write_text(TRUTH)
    (tmp_path / "empty.txt").write_text("\n")
    assert exit_code_of(app, ["eval", "--gt", "gt.txt", *arguments, *DB]) == code
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert complaint in line
