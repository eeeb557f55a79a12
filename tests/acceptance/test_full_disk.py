"""A full disk under `yolotrack run`: one line, no video that looks complete, a database that is whole."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import (
    SCRIPTED,
    names_in,
    observations_in,
    runs_in,
    yolotrack,
    yolotrack_squeezed,
)
from tests.support.videos import picture, write_video

DB = ["--db", "sqlite:///t.db"]


@pytest.fixture(scope="module")
def large_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 pictures that compress to more than a megabyte."""
    noise = np.random.default_rng(5).integers(0, 120, (120, 160, 3), dtype=np.uint8)
    pictures = [picture(number) // 2 + np.roll(noise, 7 * number, axis=1) for number in range(200)]
    return write_video(tmp_path_factory.mktemp("videos") / "large.mp4", pictures, options={"crf": "10"})


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
class TestFullDisk:
    """Where no file may grow beyond a size, and on a disk that is really full."""

    def test_the_video(self, large_video: Path, tmp_path: Path) -> None:
        command = ["run", large_video, "--model", SCRIPTED, "-o", "out.mp4", *DB]
        rarely = {"YOLOTRACK_PIPELINE__COMMIT_FRAMES": "500", "YOLOTRACK_PIPELINE__COMMIT_SECONDS": "60"}
        line = yolotrack_squeezed(*command, folder=tmp_path, file_bytes=250_000, code=1, env=rarely).only_line

        assert line == (
            "cannot write out.mp4: the file would be too large for this disk or limit; choose another folder"
        )
        assert names_in(tmp_path) == {"t.db"}
        assert_consistent(tmp_path, 200)

    def test_the_database(self, large_video: Path, tmp_path: Path) -> None:
        command = ["run", large_video, "--model", SCRIPTED, *DB]
        line = yolotrack_squeezed(*command, folder=tmp_path, file_bytes=150_000, code=1).only_line

        assert line == "cannot use t.db: the disk failed or is full: make room or look into its log, then try again"
        assert_consistent(tmp_path, 200)
        yolotrack(*command, folder=tmp_path)
        assert [run["tracked"] for run in runs_in(tmp_path)][-1] == "200", "with room it works again"

    @pytest.mark.parametrize("kibibytes", [300, 900])
    def test_both_on_one_small_disk(self, large_video: Path, tmp_path: Path, kibibytes: int) -> None:
        with small_disk(tmp_path / "disk", kibibytes) as disk:
            command = ["run", large_video, "--model", SCRIPTED, "-o", "out.mp4", *DB]
            line = yolotrack(*command, folder=disk, code=1).only_line

            assert line.endswith(
                ("the disk is full; free some space", "no room is left for it: make room, then try again")
            )
            assert names_in(disk) <= {"t.db"}
            if (disk / "t.db").stat().st_size:
                assert_consistent(disk, 200)


def assert_consistent(folder: Path, frames: int) -> None:
    """The latest run balances, holds what it says, and is complete only where all its frames were tracked."""
    assert _integrity(folder / "t.db") == "ok"
    runs = runs_in(folder)
    if not runs:
        return
    run = runs[-1]
    tracked = int(run["tracked"])
    assert run["status"] in ("interrupted", "running") or (run["status"], tracked) == ("complete", frames)
    assert int(run["published"]) == tracked + int(run["in_flight"])
    seen = {int(row["frame"]) for row in observations_in(folder, "--run", run["run_id"])}
    assert seen <= set(range(tracked))


def _integrity(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A disk of that size; skips where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
