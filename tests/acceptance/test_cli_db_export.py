"""What `yolotrack db` writes for other programs, read by those programs."""

from __future__ import annotations

import configparser
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.stores import box_of, open_file
from tests.support.three_runs import FIRST, LATEST, SECOND, Asking, rows_of, write_three_runs
from yolotrack.store.base import OBSERVATION_COLUMNS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: complete, interrupted, and one that runs."""
    return write_three_runs(tmp_path_factory.mktemp("db") / "tracks.db")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory; nothing hidden is left in it."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.rglob(".*"))


@pytest.fixture
def db(path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> Asking:
    """`yolotrack db ...` on the three runs."""
    return Asking(path, capsys)


# -- query


@pytest.mark.parametrize(
    ("filters", "keeps"),
    [
        (("--class", "car,truck"), lambda row: row["class_name"] in ("car", "truck")),
        (("--class", "7", "--class", "PERSON"), lambda row: row["class_id"] in ("7", "0")),
        (("--track-id", "2:20"), lambda row: row["tracker_id"] in ("3", "20")),
        (("--frames", "10:12"), lambda row: 10 <= int(row["frame"]) < 12),
        (("--time", "0:01-0:01.2"), lambda row: 1 <= float(row["media_time"]) < 1.2),
        (("--since", "2026-01-01T12:00:01.5Z"), lambda row: float(row["media_time"]) >= 1.5),
        (("--until", "2026-01-01T12:00:01.5Z"), lambda row: float(row["media_time"]) < 1.52),
        (("--min-conf", "0.55"), lambda row: row["confidence"] in ("0.9", "0.55")),
        (("--min-conf", "0.9"), lambda row: row["confidence"] == "0.9"),
        (("--box", "60,0,62,29"), lambda row: row["frame"] in ("10", "11") and row["tracker_id"] in ("1", "3")),
    ],
)
def test_filters_select(db: Asking, filters: tuple[str, ...], keeps: Any) -> None:
    everything = db("query", "--run", FIRST).rows
    rows = db("query", "--run", FIRST, *filters).rows
    assert rows == [row for row in everything if keeps(row)]
    assert 0 < len(rows) < len(everything)


def test_order_and_limit(db: Asking) -> None:
    rows = db("query", "--run", "all", "--order", "-confidence,-frame", "--limit", "3").rows
    assert [(row["run_id"], row["frame"], row["tracker_id"]) for row in rows] == [
        (LATEST, "399", "1"),
        (LATEST, "398", "1"),
        (LATEST, "397", "1"),
    ]


@pytest.mark.parametrize(("option", "text"), [("--frames", "3:{}"), ("--track-id", "3:{},{}"), ("--class", "car,7")])
def test_numbers_beyond_those_of_databases_are_none_of_theirs(db: Asking, option: str, text: str) -> None:
    large = "99999999999999999999"
    rows = db("query", "--run", SECOND, option, text.format(large, large)).rows
    assert rows == db("query", "--run", SECOND, option, text.format("", 77)).rows != []


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows.jsonl", "rows.parquet"])
def test_a_file_has_the_form_that_its_name_says(db: Asking, folder: Path, name: str) -> None:
    answer = db("query", "--run", SECOND, "-o", name)
    assert (answer.code, answer.out, answer.err) == (0, f"{name}\n", "")
    expected = json.loads(db("query", "--run", SECOND, "--format", "json").out)
    assert _read(folder / name) == expected
    assert list(expected[0]) == list(OBSERVATION_COLUMNS)


def test_a_file_is_replaced_only_if_asked_to(db: Asking, folder: Path) -> None:
    (folder / "rows.csv").write_text("mine")
    refused = db("query", "-o", "rows.csv")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "error: cannot write rows.csv: it exists; choose another name, or set --overwrite\n"
    assert (folder / "rows.csv").read_text() == "mine"
    assert db("query", "-o", "rows.csv", "--overwrite", "--limit", "2").code == 0
    assert len(rows_of((folder / "rows.csv").read_text())) == 2


def test_nothing_is_left_of_a_file_that_could_not_be_finished(db: Asking, folder: Path) -> None:
    for output, said in (("none/rows.csv", "there is no folder none"), (".", "it is a folder")):
        answer = db("query", "--format", "csv", "-o", output)
        assert (answer.code, answer.out) == (1, "")
        assert said in answer.err
    command = ["sh", "-c", f"ulimit -f 128; exec {sys.executable} -m yolotrack db query --run all -o rows.csv"]
    environment = {**os.environ, "YOLOTRACK_DATABASE__URL": f"sqlite:///{db.path}", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done
    assert done.stderr.startswith("error: cannot write rows.csv: the file would be too large"), done.stderr
    assert not list(folder.iterdir())


def test_mot_text_is_of_one_run(db: Asking) -> None:
    lines = db("query", "--run", SECOND, "--format", "mot", "--track-id", "3").out.splitlines()
    x_min, y_min, x_max, y_max = box_of(5, 3)
    assert lines[-1] == f"6,3,{x_min:g},{y_min:g},{x_max - x_min:g},{y_max - y_min:g},0.55,-1,-1,-1"
    refused = db("query", "--format", "mot")
    assert (refused.code, refused.out) == (2, "")
    assert "MOT text holds one run" in refused.err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("-o", "rows.xyz"), "name the form with --format"),
        (("--format", "table", "-o", "rows.csv"), "a table is for a terminal"),
        (("--overwrite",), "--overwrite needs -o FILE"),
        (("--since", "2026-01-02", "--until", "2026-01-01"), "is not after"),
        (("--limit", "0"), "--limit"),
        (("--limit", "99999999999999999999"), "--limit"),
        (("--min-conf", "2"), "--min-conf"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(db: Asking, wrong: tuple[str, ...], said: str) -> None:
    answer = db("query", *wrong)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert said in answer.err


@pytest.mark.parametrize("command", [("query",), ("tracks",), ("export", "--sql")])
def test_unknown_names_are_refused_with_the_nearest(db: Asking, command: tuple[str, ...]) -> None:
    for wrong, said in (
        (("--class", "trukc"), "did you mean truck?"),
        (("--class", "99"), "there were person (0), car (2), truck (7)"),
        (("--stream", "gate-nroth"), "did you mean gate-north?"),
        (("--run", SECOND[:20] + "0"), SECOND),
    ):
        answer = db(*command, *wrong)
        assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
        assert said in answer.err


def test_no_match_is_told_and_no_failure(db: Asking) -> None:
    nothing = ("--run", SECOND, "--track-id", "3", "--min-conf", "0.9")
    answer = db("query", *nothing)
    assert (answer.code, len(answer.out.splitlines())) == (0, 1)
    assert answer.err == f"no observations that match in run {SECOND} (gate-north, 3 tracks)\n"
    assert db("query", "--track-id", "3:9,77").rows, "of both streams"
    assert db("query", "--track-id", "4:9,77").err == "no observations of tracks 4:9,77 in 2 runs\n"
    assert db("export", *nothing, "-o", "none.parquet").err == answer.err
    assert pq.read_table("none.parquet").column_names == list(OBSERVATION_COLUMNS)


# -- tracks


def test_tracks_are_what_the_store_sums(db: Asking, path: Path) -> None:
    rows = db("tracks", "--run", FIRST).rows
    with closing(open_file(path, read_only=True)) as store:
        expected = list(store.tracks(FIRST))
    assert len(rows) == len(expected) == 3
    for row, track in zip(rows, expected, strict=True):
        whole = ("track_id", "class_id", "first_frame", "last_frame", "observations")
        assert [int(row[name]) for name in whole] == [getattr(track, name) for name in whole]
        assert (row["run_id"], row["stream"], row["class_name"]) == (FIRST, "car-detection", track.class_name)
        assert (float(row["entry_x"]), float(row["entry_y"])) == track.entry
        assert (float(row["exit_x"]), float(row["exit_y"])) == track.exit
        assert float(row["duration"]) == pytest.approx(49 / 25)
        assert float(row["path_length"]) == pytest.approx(49)
        assert float(row["mean_confidence"]) == pytest.approx(track.mean_confidence, abs=1e-6)


def test_the_view_has_the_columns_of_tracks(db: Asking, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        there = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info('v_tracks')")]
    assert list(db("tracks").rows[0]) == there


def test_tracks_can_be_chosen_and_ordered(db: Asking) -> None:
    rows = db("tracks", "--run", "all", "--class", "car,7", "--order", "-observations,stream", "--limit", "3").rows
    assert [(row["run_id"], row["track_id"]) for row in rows] == [(LATEST, "1"), (LATEST, "20"), (FIRST, "1")]
    assert [row["track_id"] for row in db("tracks", "--run", FIRST, "--limit", "2").rows] == ["1", "3"]
    table = db("tracks", "--run", FIRST, "--format", "table").out.splitlines()
    assert table[0] == f"car-detection, run {FIRST}"
    assert table[2].split() == ["1", "car", "0:00:00.0", "0:00:02.0", "49", "0.90", "49", "50,26", "99,26"]


# -- export


def test_mot_folders_are_read_by_trackers_as_results_and_as_truth(db: Asking, folder: Path) -> None:
    from trackers.eval import evaluate_mot_sequence

    answer = db("export", "--run", "all", "--format", "mot", "-o", "sequences")
    names = [f"car-detection-{FIRST[:18]}", f"gate-north-{SECOND[:18]}", f"car-detection-{LATEST[:18]}"]
    assert answer.out.splitlines() == [f"sequences/{name}" for name in names]
    sequence = folder / "sequences" / names[0]
    results, truth = sequence / "data" / "car-detection.txt", sequence / "gt" / "gt.txt"
    scores = evaluate_mot_sequence(gt_path=truth, tracker_path=results, metrics=["CLEAR"])
    assert scores.CLEAR is not None
    assert (scores.CLEAR.MOTA, scores.CLEAR.CLR_TP) == (1.0, 49 * 3)
    assert {tuple(line.split(",")[6:]) for line in truth.read_text().splitlines()} == {("1", "1", "1")}
    information = configparser.ConfigParser()
    information.read(sequence / "seqinfo.ini")
    values = information["Sequence"]
    assert [values[name] for name in ("name", "frameRate", "seqLength", "imWidth")] == [names[0], "25", "50", "1280"]


def test_a_folder_that_is_there_is_not_replaced_unasked(db: Asking, folder: Path) -> None:
    assert db("export", "--run", SECOND, "--format", "mot", "-o", "out").code == 0
    before = {file: file.read_bytes() for file in (folder / "out").rglob("*.txt")}
    refused = db("export", "--run", "all", "--format", "mot", "-o", "out", "--track-id", "3")
    assert (refused.code, refused.out) == (1, "")
    again = db("export", "--run", SECOND, "--format", "mot", "-o", "out", "--track-id", "3", "--overwrite")
    assert again.code == 0
    assert sorted(before) == sorted((folder / "out").rglob("*.txt")), "the refused one wrote no run, not even new ones"
    assert all(len(file.read_bytes()) < len(text) for file, text in before.items())


def test_coco_is_read_by_pycocotools(db: Asking, folder: Path) -> None:
    from pycocotools.coco import COCO

    assert db("export", "--run", "all", "-o", "tracks.json").out == "tracks.json\n"
    coco = COCO(str(folder / "tracks.json"))
    assert {kind["id"]: kind["name"] for kind in coco.loadCats(coco.getCatIds())} == {0: "person", 2: "car", 7: "truck"}
    images = coco.loadImgs(coco.getImgIds())
    assert len(images) == 49 + 5 + 399, "every tracked frame, and no lost one"
    videos = {video["id"]: video["run_id"] for video in coco.dataset["videos"]}
    there = {(videos[image["video_id"]], image["frame_id"]): image["id"] for image in images}
    assert len(set(there.values())) == len(images)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[there[SECOND, 5]]))
    assert [seen["track_id"] for seen in found] == [1, 3, 20]
    x_min, y_min, x_max, y_max = box_of(5, 3)
    assert found[1]["bbox"] == [x_min, y_min, x_max - x_min, y_max - y_min]
    assert (found[1]["category_id"], found[1]["score"]) == (0, 0.55)
    assert len(coco.getAnnIds()) == 3 * len(images)


def test_coco_of_some_frames_has_the_images_of_these(db: Asking, folder: Path) -> None:
    db("export", "--run", FIRST, "--frames", "3:6", "--class", "car", "--format", "coco", "-o", "some.coco")
    data = json.loads((folder / "some.coco").read_text())
    assert [image["frame_id"] for image in data["images"]] == [3, 5]
    assert [image["id"] for image in data["images"]] == [seen["image_id"] for seen in data["annotations"]]


def test_parquet_keeps_types(db: Asking, folder: Path) -> None:
    db("export", "--run", "all", "-o", "rows.parquet")
    table = pq.read_table(folder / "rows.parquet")
    assert table.num_rows == 3 * (49 + 5 + 399)
    assert str(table.schema.field("x_min").type) == "float"
    assert str(table.schema.field("captured_at").type) == "timestamp[us, tz=UTC]"


def test_the_statement_finds_the_same_in_a_shell(db: Asking, path: Path) -> None:
    filters = ("--run", "all", "--class", "car", "--min-conf", "0.5", "--frames", "3:30", "--track-id", "1:3")
    statement = db("export", *filters, "--sql").out
    assert statement.rstrip().endswith(";")
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute(statement)]
    expected = json.loads(db("query", *filters, "--format", "json").out)
    assert len(rows) == len(expected) > 0
    for row, same in zip(rows, expected, strict=True):
        assert {**row, "confidence": None} == {**same, "confidence": None}
        assert row["confidence"] == pytest.approx(same["confidence"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((), "name what to write with -o"),
        (("--sql", "-o", "rows.csv"), "either name what to write with -o, or print the statement with --sql"),
        (("--sql", "-o", "tracks.json", "--limit", "5"), "either name what to write with -o"),
        (("-o", "folder"), "name the form with --format"),
        (("--format", "mot", "-o", "folder", "--limit", "3"), "leave --order and --limit out"),
        (("-o", "tracks.json", "--order", "frame"), "leave --order and --limit out"),
    ],
)
def test_exports_that_make_no_sense_are_usage_errors(db: Asking, wrong: tuple[str, ...], said: str) -> None:
    answer = db("export", *wrong)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert said in answer.err


def _read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file in any form, with the values that JSON has."""
    if path.suffix == ".parquet":
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            row["captured_at"] = row["captured_at"].isoformat(timespec="microseconds")
            row["confidence"] = float(str(np.float32(row["confidence"])))
        return rows
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".json":
        return json.loads(path.read_text())
    whole = {"class_id", "tracker_id", "frame"}
    texts = {"class_name", "captured_at", "stream", "run_id"}
    return [
        {name: int(text) if name in whole else text if name in texts else float(text) for name, text in row.items()}
        for row in rows_of(path.read_text())
    ]
