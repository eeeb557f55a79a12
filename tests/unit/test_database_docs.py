"""docs/database.md draws the tables that there are, describes the views' columns, and its questions have answers."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stores import batch_of, claimed, lost, make_run, open_file, tracked
from yolotrack.store.schema import metadata

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "database.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"(?ms)^```sql\n(.+?)^```", DOCUMENT)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 700 frames in which everything goes to the right, close together; one frame is lost."""
    path = tmp_path_factory.mktemp("docs") / "tracks.db"
    with closing(open_file(path)) as store:
        run = make_run()
        frames = [lost(run, 4) if index == 4 else tracked(run, index, ids=(1, 2)) for index in range(700)]
        store.commit(claimed(store, run), batch_of(frames))
    return path


def test_every_table_and_column_is_drawn() -> None:
    drawn = {
        name: set(re.findall(r"(?m)^ {8}\w+ (\w+)", body))
        for name, body in re.findall(r"(?ms)^ {4}(\w+) \{\n(.+?)^ {4}\}", DOCUMENT)
    }
    there = {table.name: {column.name for column in table.columns} for table in metadata.sorted_tables}
    assert drawn == {name: columns for name, columns in there.items() if name != "schema_migrations"}


def test_every_column_of_the_views_is_described(path: Path) -> None:
    table = DOCUMENT.split("## Views")[1].split("## ")[0]
    rows = re.findall(r"(?m)^\| (`.+?) \| (.+?) \|", table)
    for view in ("v_observations", "v_tracks"):
        with closing(sqlite3.connect(path)) as connection:
            there = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (view,))}
        described = {
            name for names, of in rows if of in ("both", f"`{view}`") for name in re.findall(r"`(\w+)`", names)
        }
        assert described == there


def test_there_are_five_questions() -> None:
    assert len(QUESTIONS) == 5


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
def test_every_question_has_an_answer(path: Path, question: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(question).fetchall()


def test_the_answers_are_right(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        classes, blocks, crossed, near, failed = (connection.execute(text).fetchall() for text in QUESTIONS)
    assert [row[:3] for row in classes] == [("cam", "car", 2)]
    assert [row[1:] for row in blocks] == [(block, 2) for block in range(28)]
    assert [row[1] for row in crossed] == [1, 2]
    assert [row[1:] for row in near] == [(1, 2, 0.0)]
    assert failed == [("cam", "failed", "not a JPEG", 1, 4)]
