"""Questions about several runs that have seen different things, and answers that are cut off."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.stores import batch_of, claimed, make_run, open_file, tracked
from tests.support.three_runs import Answer, Asking
from yolotrack.cli import app
from yolotrack.cli.common import exit_code_of
from yolotrack.formats import csv_text, json_text

CAR, PERSON = 2, 0


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asking:
    """`yolotrack db ...` on a street, where there were only cars, a lobby with a person, and both in a yard."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with closing(open_file(tmp_path / "tracks.db")) as store:
        for minute, (stream, seen) in enumerate((("street", [CAR]), ("lobby", [PERSON]), ("yard", [CAR, PERSON]))):
            run = make_run(stream, minute=minute)
            frames = [tracked(run, index, ids=range(1, 1 + len(seen)), class_id=seen) for index in range(4)]
            store.commit(claimed(store, run), batch_of(frames))
    return Asking(tmp_path / "tracks.db", capsys)


def rows_in(folder: Path) -> dict[str, int]:
    """How many rows each stream's folder has."""
    return {file.stem: len(file.read_text().splitlines()) for file in folder.glob("*/data/*.txt")}


@pytest.mark.parametrize(
    ("classes", "rows"),
    [
        ("person", {"street": 0, "lobby": 4, "yard": 4}),
        ("car,person", {"street": 4, "lobby": 4, "yard": 8}),
        ("2", {"street": 4, "lobby": 0, "yard": 4}),
    ],
)
def test_mot_of_a_class_that_some_runs_never_saw(db: Asking, classes: str, rows: dict[str, int]) -> None:
    answer = db("export", "--class", classes, "--format", "mot", "-o", "out")
    assert (answer.code, answer.err) == (0, "")
    assert rows_in(Path("out")) == rows
    assert len(list(Path("out").glob("*/seqinfo.ini"))) == 3


def test_a_class_that_no_run_saw_writes_nothing(db: Asking) -> None:
    answer = db("export", "--class", "person,cra", "--format", "mot", "-o", "out")
    assert (answer.code, answer.out) == (1, "")
    assert "did you mean car?" in answer.err
    assert list(Path().iterdir()) == []


def test_scores_of_a_class_that_some_runs_never_saw(db: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    assert db("export", "--stream", "lobby", "--format", "mot", "-o", "out").code == 0
    (truth,) = Path("out").glob("*/gt/gt.txt")
    runs = [argument for row in db("runs").rows for argument in ("--run", row["run_id"])]
    command = ["eval", "--gt", str(truth), *runs, "--db", f"sqlite:///{db.path}", "--metrics", "CLEAR"]
    assert exit_code_of(app, [*command, "--classes", "person"]) == 0
    told = capsys.readouterr()
    misses = next(line for line in told.out.splitlines() if line.startswith("misses"))
    assert misses.split()[1:] == ["4", "0", "0"], "all of them on the street"
    assert exit_code_of(app, [*command, "--classes", "persn"]) == 1
    assert "did you mean person?" in capsys.readouterr().err


# -- SIGTERM


@pytest.fixture
def terminated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SIGTERM comes once rows are being written; who does not know what to do with it only takes a note."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)

    def interrupted(batch: pa.RecordBatch) -> pa.RecordBatch:
        os.kill(os.getpid(), signal.SIGTERM)
        return batch

    monkeypatch.setattr(csv_text, "with_iso_times", interrupted)
    monkeypatch.setattr(json_text, "plain_rows", lambda batch: interrupted(batch) and iter(()))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize(
    "command",
    [
        ("query", "-o", "rows.csv"),
        ("tracks", "-o", "rows.csv"),
        ("runs", "-o", "rows.jsonl"),
        ("export", "-o", "rows.csv"),
        ("export", "--format", "mot", "-o", "out"),
    ],
)
def test_who_is_terminated_leaves_nothing(db: Asking, command: tuple[str, ...]) -> None:
    assert db(*command) == Answer(130, "", "")
    assert [path for path in Path().rglob("*") if path.name != "out"] == []


# -- databases of before


OLD = Path(__file__).parents[1] / "fixtures" / "schema-2.db"


@pytest.mark.parametrize("command", [("vacuum",), ("prune", "--keep-runs", "0", "--yes")])
def test_who_writes_brings_an_old_database_up_to_date(db: Asking, tmp_path: Path, command: tuple[str, ...]) -> None:
    old = Asking(tmp_path / "old.db", db.capsys)
    old.path.write_bytes(OLD.read_bytes())
    for reading in (("runs",), ("prune", "--keep-runs", "0", "--dry-run")):
        refused = old(*reading)
        assert (refused.code, refused.out) == (1, "")
        assert "(schema 2, this one reads 4): the next command that writes to it" in refused.err
    assert old(*command).code == 0
    assert len(old("runs").rows) == (4 if command == ("vacuum",) else 2)


def test_to_track_again_brings_an_old_database_up_to_date(db: Asking, tmp_path: Path) -> None:
    old = Asking(tmp_path / "old.db", db.capsys)
    old.path.write_bytes(OLD.read_bytes())
    assert (
        exit_code_of(app, ["retrack", "--run", "019b7a00-0000-7000-8000-000000000001", "--db", f"sqlite:///{old.path}"])
        == 1
    )
    assert "keeps no detections" in db.capsys.readouterr().err
    assert len(old("runs").rows) == 4


@pytest.mark.parametrize("command", [("vacuum",), ("prune", "--keep-runs", "0", "--yes")])
def test_writing_commands_make_no_database(db: Asking, tmp_path: Path, command: tuple[str, ...]) -> None:
    answer = Asking(tmp_path / "here" / "none.db", db.capsys)(*command)
    assert answer.code == 1
    assert "no database at" in answer.err
    assert list(Path().iterdir()) == []
