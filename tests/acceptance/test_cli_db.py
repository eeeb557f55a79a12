"""`yolotrack db query` and `yolotrack db runs`, as a user types them."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from fcntl import ioctl
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.stores import BEGIN, NAMES, batch_of, claimed, make_run, open_file, tracked
from tests.support.three_runs import FIRST, LATEST, SECOND, rows_of, write_three_runs
from yolotrack.cli import app
from yolotrack.cli.common import exit_code_of

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: complete, interrupted, and one that runs, 12 of its frames in flight."""
    return write_three_runs(tmp_path_factory.mktemp("db") / "tracks.db")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.glob("*.db*")), "asking leaves no file behind"


@pytest.fixture
def db(path: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `yolotrack db ...` on the three runs: exit code, standard output, standard error."""

    def call(*arguments: str, database: Path | None = None) -> tuple[int, str, str]:
        code = exit_code_of(app, ["db", *arguments, "--db", f"sqlite:///{database or path}"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def in_terminal(path: Path, columns: int, *arguments: str) -> list[str]:
    """What a terminal of that width shows, line by line, without colours."""
    main, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "yolotrack", "db", *arguments, "--db", f"sqlite:///{path}"],
        cwd=REPOSITORY,
        env=environment | {"TERM": "xterm", "NO_COLOR": "1"},
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.STDOUT,
    )
    os.close(terminal)
    text = b""
    while chunk := _read(main):
        text += chunk
    os.close(main)
    assert process.wait(60) == 0, text
    plain = text.replace(b"\x1b[1m", b"").replace(b"\x1b[2m", b"").replace(b"\x1b[0m", b"")
    assert b"\x1b" not in plain
    return plain.decode().splitlines()


def _read(main: int) -> bytes:
    try:
        return os.read(main, 65536)
    except OSError:  # a terminal whose last process is gone
        return b""


# -- query


def test_a_pipe_gets_csv_that_begins_like_supervisions(db: Any) -> None:
    from supervision.detection.tools.csv_sink import BASE_HEADER

    code, out, err = db("query", "--track-id", "3", "--run", FIRST)
    assert (code, err) == (0, "")
    header = out.splitlines()[0].split(",")
    assert header[:7] == BASE_HEADER
    assert header[7:] == ["class_name", "frame", "media_time", "captured_at", "stream", "run_id"]
    rows = rows_of(out)
    assert len(rows) == 49
    assert {row["tracker_id"] for row in rows} == {"3"}


def test_csv_and_json_tell_what_the_store_holds(db: Any, path: Path) -> None:
    from_csv = rows_of(db("query", "--run", SECOND, "--format", "csv")[1])
    from_json = json.loads(db("query", "--run", SECOND, "--format", "json")[1])
    with closing(open_file(path, read_only=True)) as store:
        expected = list(store.observations(SECOND))
    assert len(from_csv) == len(from_json) == len(expected) == 15
    for text, values, row in zip(from_csv, from_json, expected, strict=True):
        assert {name: type(values[name])(value) for name, value in text.items()} == values
        assert tuple(values[name] for name in ("x_min", "y_min", "x_max", "y_max")) == row.xyxy
        assert np.float32(values["confidence"]) == np.float32(row.confidence), "as short as can be, and exact"
        assert len(str(values["confidence"])) <= len("0.33333334")
        assert (values["tracker_id"], values["frame"], values["media_time"]) == (
            row.track_id,
            row.frame,
            row.media_time,
        )
        assert (values["class_id"], values["class_name"]) == (row.class_id, NAMES[row.class_id])
        assert datetime.fromisoformat(values["captured_at"]) == row.captured_at
        assert (values["stream"], values["run_id"]) == ("gate-north", SECOND)


def test_tracks_may_be_named_several_times(db: Any) -> None:
    rows = rows_of(db("query", "--run", SECOND, "--track-id", "20", "--track-id", "1")[1])
    assert [(row["frame"], row["tracker_id"]) for row in rows[:4]] == [("0", "1"), ("0", "20"), ("1", "1"), ("1", "20")]


@pytest.mark.parametrize(
    ("asked", "run_ids"),
    [
        ((), [SECOND, LATEST]),
        (("--run", "latest"), [LATEST]),
        (("--run", SECOND[:16]), [SECOND]),
        (("--run", "latest", "--run", FIRST), [LATEST, FIRST]),
        (("--run", "all"), [FIRST, SECOND, LATEST]),
        (("--stream", "car-detection"), [LATEST]),
        (("--stream", "car-detection", "--run", "all"), [FIRST, LATEST]),
        (("--stream", "gate-north", "--run", "latest"), [SECOND]),
    ],
)
def test_runs_are_the_newest_of_each_stream_or_as_named(db: Any, asked: tuple[str, ...], run_ids: list[str]) -> None:
    code, out, _ = db("query", *asked)
    assert code == 0
    assert list(dict.fromkeys(row["run_id"] for row in rows_of(out))) == run_ids


@pytest.mark.parametrize(("style", "expected"), [("csv", 1), ("json", "[]\n"), ("table", "")])
def test_no_match_is_told_on_standard_error(db: Any, style: str, expected: int | str) -> None:
    code, out, err = db("query", "--track-id", "99", "--run", FIRST, "--format", style)
    assert code == 0
    assert err == f"no observations of track 99 in run {FIRST} (car-detection, 3 tracks)\n"
    assert out == expected if isinstance(expected, str) else len(out.splitlines()) == expected


@pytest.mark.parametrize(("name", "reason"), [("zz", "no run 'zz'"), ("01a2055b-1c73", "more than one run")])
def test_an_unknown_run_is_refused_with_those_there_are(db: Any, name: str, reason: str) -> None:
    code, out, err = db("query", "--run", name)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {reason}")
    assert FIRST in err
    assert SECOND in err
    assert len(err.splitlines()) == 1


def test_a_missing_database_is_not_made(db: Any, here: Path) -> None:
    for command in ("query", "runs"):
        code, out, err = db(command, database=here / "none.db")
        assert (code, out) == (1, "")
        assert err == f"error: no database at {here}/none.db: `yolotrack run` makes one, or name another with --db\n"


def test_a_database_without_runs_says_so(db: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty") / "tracks.db"
    open_file(empty).close()
    code, _, err = db("query", database=empty)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "holds no runs yet" in err
    code, out, err = db("runs", "--format", "json", database=empty)
    assert (code, json.loads(out), err) == (0, [], "the database holds no runs yet: `yolotrack run` makes one\n")


def test_bad_options_are_usage_errors(db: Any) -> None:
    for wrong in (("--format", "xml"), ("--track-id", "one")):
        code, out, err = db("query", *wrong)
        assert (code, out) == (2, "")
        assert wrong[0] in err


def test_the_database_comes_from_the_settings_file(path: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.yaml").write_text(f"database:\n  url: sqlite:///{path}\n")
    assert exit_code_of(app, ["db", "runs", "--config", "mine.yaml"]) == 0
    assert len(rows_of(capsys.readouterr().out)) == 3


def test_a_reader_that_goes_away_is_no_failure_to_talk_about(path: Path) -> None:
    command = f"{sys.executable} -m yolotrack db query --db sqlite:///{path} | head -n 1"
    done = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("x_min,")
    assert done.stderr == ""


def test_names_are_printed_as_they_are(
    db: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMES, 7, "[red]a, b")
    odd = tmp_path_factory.mktemp("odd") / "tracks.db"
    run = make_run()
    with closing(open_file(odd)) as store:
        store.commit(claimed(store, run), batch_of([tracked(run, 0, ids=(1,), class_id=(7,))]))
    assert "[red]a, b" in db("query", "--format", "table", database=odd)[1]
    assert rows_of(db("query", database=odd)[1])[0]["class_name"] == "[red]a, b"


@pytest.mark.parametrize("columns", [80, 200])
def test_a_terminal_gets_a_table_of_observations(path: Path, columns: int) -> None:
    title, header, *lines = in_terminal(path, columns, "query", "--run", FIRST, "--track-id", "1")
    assert title == f"car-detection, run {FIRST}"
    assert header.split() == ["frame", "time", "track", "conf", "x_min", "y_min", "x_max", "y_max", "class"]
    assert len(lines) == 49
    assert lines[-1].split() == ["49", "0:00:01.960", "1", "0.90", "49.2", "1.5", "149.1", "51.0", "car"]
    assert {line.index("car") for line in lines} == {header.index("class")}


def test_a_long_table_lines_up_over_its_parts(path: Path) -> None:
    lines = in_terminal(path, 100, "query", "--run", LATEST, "--format", "table")[1:]
    assert len(lines) == 1 + 3 * 399
    assert {line.index(line.split()[-1]) for line in lines} == {lines[0].index("class")}


# -- runs


def test_runs_balance_in_csv_and_json(db: Any) -> None:
    rows = rows_of(db("runs")[1])
    assert [row["run_id"] for row in rows] == [FIRST, SECOND, LATEST]
    counts = ("published", "tracked", "failed", "dropped", "in_flight", "tracks")
    assert [[int(row[name]) for name in counts] for row in rows] == [
        [50, 49, 0, 1, 0, 3],
        [6, 5, 1, 0, 0, 3],
        [412, 399, 1, 0, 12, 3],
    ]
    assert [row["status"] for row in rows] == ["complete", "interrupted", "running"]
    assert (rows[0]["source"], rows[0]["model"]) == ("videos/car-detection.mp4", "weights/yolov8n.pt")
    assert datetime.fromisoformat(rows[0]["started_at"]) == BEGIN
    assert float(rows[0]["duration"]) > 0
    assert rows[2]["duration"] == ""
    values = json.loads(db("runs", "--format", "json")[1])
    for text, row in zip(rows, values, strict=True):
        assert {name: type(row[name])(value) if value else None for name, value in text.items()} == row


def test_runs_tell_their_speed_and_their_share_of_the_disk(db: Any, path: Path) -> None:
    first, _, latest = json.loads(db("runs", "--format", "json")[1])
    assert first["fps"] == round(50 / first["duration"], 2)
    assert latest["fps"] is None
    assert (first["observations"], latest["observations"]) == (49 * 3, 399 * 3)
    rows = [json.loads(line) for line in db("runs", "--format", "jsonl")[1].splitlines()]
    size = sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
    assert sum(row["estimated_bytes"] for row in rows) == pytest.approx(size, abs=len(rows))
    assert latest["estimated_bytes"] > 5 * first["estimated_bytes"]


def test_a_wide_terminal_gets_one_line_a_run(path: Path) -> None:
    lines = in_terminal(path, 200, "runs")
    assert len(lines) == 2 + 3 + 1
    assert lines[-1].startswith("the database takes ")
    header = lines[0] + lines[1]
    for word in ("run", "stream", "source", "status", "published", "flight", "tracks", "started", "duration", "model"):
        assert word in header
    assert header.split().count("fps") == header.split().count("size") == 1
    first = lines[2].split()
    assert first[:4] == [FIRST[:16], "car-detection", "car-detection.mp4", "complete"]
    assert first[4:10] == ["50", "49", "0", "1", "0", "3"]
    assert first[10:12] == ["2026-01-01", "12:00"]
    assert first[-2:] == ["yolov8n.pt", "bytetrack"]


def test_a_narrow_terminal_gets_two_lines_a_run_that_fit(path: Path) -> None:
    lines = in_terminal(path, 80, "runs")
    assert max(map(len, lines)) <= 80
    assert len(lines) == 2 + 2 * 3 + 2
    assert lines[2].split() == [FIRST[:16], "complete", "50", "49", "0", "1", "0", "3"]
    assert lines[3].split()[0] == "car-detection"
    assert lines[4].split()[0] == SECOND[:16], "enough of the id to tell it from the others"
    assert lines[6].split()[1:] == ["running", "412", "399", "1", "0", "12", "3"]
