"""Ctrl-C and SIGTERM in the middle of `yolotrack run`: real signals, and what is left afterwards."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.commands import (
    SLOW,
    Running,
    assert_balanced,
    names_in,
    observations_in,
    runs_in,
    summary,
)
from tests.support.players import pictures_of, played
from tests.support.scripted_model import PACE
from tests.support.videos import number_of, write_video
from yolotrack.model import RunStatus

DB = ["--db", "sqlite:///t.db"]
STUCK = """
import pathlib, threading

def make():
    pathlib.Path("opening").touch()
    while not threading.Event().wait(0.1):  # without an end, Python may sleep over a signal
        pass
"""


@pytest.fixture
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 numbered pictures with sound."""
    return write_video(tmp_path_factory.mktemp("videos") / "long.mp4", 250, sound="aac")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_tracked(long_video: Path, tmp_path: Path, number: signal.Signals) -> None:
    command = ["run", long_video, "--model", SLOW, "-o", "out.mp4", *DB, "--json"]
    with Running(*command, folder=tmp_path) as running:
        running.wait_for_frames(10)
        done = running.end(number)

    assert done.code == 130, done.err
    assert "stopping: what is under way is finished first" in done.err
    assert "Traceback" not in done.err
    told = summary(done.out)
    assert told["status"] == RunStatus.INTERRUPTED
    assert 10 <= told["tracked"] < 250
    (run,) = runs_in(tmp_path)
    assert (run["status"], run["tracked"]) == ("interrupted", str(told["tracked"]))
    assert_balanced(run)
    frames = [int(row["frame"]) for row in observations_in(tmp_path)]
    assert max(frames) == told["tracked"] - 1, "all that was tracked is there"
    out = played(tmp_path / "out.mp4")
    assert out.times == pytest.approx([index / 25 for index in range(told["tracked"])])
    assert out.sound == "aac"
    assert [number_of(shown) for shown in pictures_of(tmp_path / "out.mp4")] == list(range(told["tracked"]))
    assert names_in(tmp_path) == {"out.mp4", "t.db"}


def test_a_second_interrupt_leaves_at_once(long_video: Path, tmp_path: Path) -> None:
    """What waits would take the detector a minute."""
    (tmp_path / "out.mp4").write_bytes(b"older")
    command = ["run", long_video, "--model", SLOW, "-o", "out.mp4", "--overwrite", *DB, "--json"]
    with Running(*command, folder=tmp_path, env={PACE: "1.5"}) as running:
        running.wait_for_frames(1)
        running.process.send_signal(signal.SIGINT)
        running.wait_for("Ctrl-C again leaves at once")
        done = running.end(signal.SIGINT)

    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert {name for name in names_in(tmp_path) if not name.startswith("t.db")} == {"out.mp4"}
    (run,) = runs_in(tmp_path)
    assert run["status"] == "interrupted"
    assert 1 <= int(run["tracked"]) < 30, "it did not wait for what was waiting"
    assert_balanced(run)


def test_an_interrupt_before_the_first_frame_leaves_nothing(disc_video: Path, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    command = ["run", disc_video, "--model", "stuck:make", "-o", "out.mp4", *DB]
    for number in (signal.SIGINT, signal.SIGTERM):
        with Running(*command, folder=tmp_path) as running:
            running.wait_for_file(tmp_path / "opening")
            done = running.end(number)

        assert (done.code, done.out, done.err) == (130, "", "")
        assert names_in(tmp_path) - {"__pycache__"} == {"stuck.py", "opening"}
        (tmp_path / "opening").unlink()
