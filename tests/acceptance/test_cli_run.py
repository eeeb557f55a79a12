"""`yolotrack run` as its user knows it: the installed command, real files."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.commands import (
    SCRIPTED,
    SLOW,
    Done,
    Running,
    assert_balanced,
    names_in,
    observations_in,
    runs_in,
    summary,
    yolotrack,
)
from tests.support.players import pictures_of, played
from tests.support.scripted_model import PACE
from tests.support.serving import serving
from tests.support.videos import number_of, write_video

DB = ["--db", "sqlite:///t.db"]


# -- what comes of a run


def test_a_real_video_with_real_weights(real_data: Path, tmp_path: Path) -> None:
    """The command of the README, twice: the second starts from the cache."""
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    video, weights = real_data / "videos/car-detection.mp4", real_data / "weights/yolov8n.pt"
    command = ["run", video, "--model", weights, *DB, "--json"]

    told = summary(yolotrack(*command, "-o", "out.mp4", folder=tmp_path, env=cache).out)

    assert (told["status"], told["published"], told["tracked"], told["failed"]) == ("complete", 377, 377, 0)
    (run,) = runs_in(tmp_path)
    assert (run["status"], run["published"], run["tracked"], run["failed"]) == ("complete", "377", "377", "0")
    assert_balanced(run)
    out = played(tmp_path / "out.mp4")
    assert (out.codec, out.pixels, out.size, out.rate) == ("h264", "yuv420p", (768, 432), Fraction(25, 2))
    assert out.times == pytest.approx([0.08 * index for index in range(377)], abs=1e-6)
    assert out.index_first
    rows = observations_in(tmp_path, "--track-id", "1")
    assert len(rows) > 20
    assert {row["tracker_id"] for row in rows} == {"1"}

    before = _stamps(tmp_path / "cache")
    again = summary(yolotrack(*command, "--max-frames", "100", folder=tmp_path, env=cache).out)
    assert again["tracked"] == 100
    assert _stamps(tmp_path / "cache") == before, "nothing is exported twice"
    repeated = [(row["frame"], row["tracker_id"], row["x_min"]) for row in observations_in(tmp_path)]
    assert repeated == [(row["frame"], row["tracker_id"], row["x_min"]) for row in rows if int(row["frame"]) < 100]


def _stamps(folder: Path) -> dict[str, int]:
    """When each file of the exports was written."""
    files = [path for path in folder.rglob("*") if path.is_file() and "openvino" in path.parts]
    assert any(path.suffix == ".bin" for path in files)
    return {str(path): path.stat().st_mtime_ns for path in files if path.suffix != ".lock"}


def test_a_video_with_sound(scene_video: Path, demo_model: list[str], tmp_path: Path) -> None:
    done = yolotrack("run", scene_video, *demo_model, "-o", "out.mp4", *DB, folder=tmp_path)

    lines = dict(line.split(": ", 1) for line in done.out.splitlines() if line)
    assert lines["frames"] == "60 published, 60 tracked"
    assert re.fullmatch(r"[0-9a-f-]{36} \(complete\)", lines["run"])
    assert re.fullmatch(r"[\d.]+ fps, [\d.]+ s", lines["speed"])
    assert re.fullmatch(r"\d+: \d+ car, \d+ person(, \d+ truck)?", lines["tracks"])
    assert (lines["database"], lines["video"]) == ("sqlite:///t.db", "out.mp4")
    out = played(tmp_path / "out.mp4")
    assert (out.rate, len(out.times), out.sound, out.index_first) == (25, 60, "aac", True)
    assert _sound_of(tmp_path / "out.mp4") == _sound_of(scene_video)[1:], "all but the encoder's silence before it"
    drawn = pictures_of(tmp_path / "out.mp4")[30].astype(int) - pictures_of(scene_video)[30].astype(int)
    assert (abs(drawn).max(axis=2) > 60).mean() > 0.01, "boxes are drawn"


def _sound_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def test_without_output_only_the_database_is_written(disc_video: Path, tmp_path: Path) -> None:
    told = summary(yolotrack("run", disc_video, "--model", SCRIPTED, *DB, "--json", folder=tmp_path).out)

    assert names_in(tmp_path) == {"t.db"}
    assert told["video"] is None
    assert told["tracks"] == {"car": len({row["tracker_id"] for row in observations_in(tmp_path)})}
    (run,) = runs_in(tmp_path)
    for name in ("run_id", "stream", "status", "published", "tracked", "failed", "dropped"):
        assert run[name] == str(told[name])
    assert (told["stream"], told["source"], told["database"]) == ("discs", str(disc_video), "sqlite:///t.db")


def test_a_detector_of_the_users_own_beside_the_video(disc_video: Path, tmp_path: Path) -> None:
    shutil.copy(disc_video, tmp_path / "here.mp4")
    (tmp_path / "mine.py").write_text("from tests.support.scripted_model import fast as make\n")

    yolotrack("run", "here.mp4", "--model", "mine:make", *DB, folder=tmp_path)

    rows = observations_in(tmp_path)
    assert {row["class_name"] for row in rows} == {"car"}
    assert runs_in(tmp_path)[0]["model"] == "mine:make"


def test_several_sources_go_into_a_folder_and_share_nothing(disc_video: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(disc_video, tmp_path / name / "gate.mp4")
    (tmp_path / "out").mkdir()
    sources = ["a/gate.mp4", "b/gate.mp4", disc_video]

    done = yolotrack("run", *sources, "--model", SCRIPTED, "-o", "out", *DB, "--json", folder=tmp_path)

    told = json.loads(done.out)
    assert [(run["stream"], run["video"]) for run in told] == [
        ("gate", "out/gate.mp4"),
        ("gate-2", "out/gate-2.mp4"),
        ("discs", "out/discs.mp4"),
    ]
    assert names_in(tmp_path / "out") == {"gate.mp4", "gate-2.mp4", "discs.mp4"}
    assert [len(played(tmp_path / run["video"]).times) for run in told] == [50, 50, 50]
    assert len({run["run_id"] for run in told}) == 3
    rows = [observations_in(tmp_path, "--run", run["run_id"]) for run in told]
    assert {row["stream"] for row in rows[1]} == {"gate-2"}
    ids = [[(row["frame"], row["tracker_id"], row["x_min"]) for row in mine] for mine in rows]
    assert ids[0] == ids[1] == ids[2], "each counts from 1, as it would alone"
    assert ids[0][0][1] == "1"


def test_an_existing_file_is_left_alone_unless_told_otherwise(disc_video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    command = ["run", disc_video, "--model", SCRIPTED, "-o", "out.mp4", *DB]

    line = yolotrack(*command, folder=tmp_path, code=1).only_line

    assert line == "cannot write out.mp4: it exists; choose another name, or set --overwrite"
    assert out.read_bytes() == b"mine"
    assert names_in(tmp_path) == {"out.mp4"}, "nothing was begun"
    yolotrack(*command, "--overwrite", folder=tmp_path)
    assert len(played(out).times) == 50


def test_classes_by_name_and_by_number(scene_video: Path, demo_model: list[str], tmp_path: Path) -> None:
    command = ["run", scene_video, *demo_model, *DB, "--max-frames", "12", "--quiet"]

    yolotrack(*command, "--classes", "car,Truck", folder=tmp_path)
    by_name = observations_in(tmp_path)
    yolotrack(*command, "--classes", "1,2", folder=tmp_path)

    assert {row["class_name"] for row in by_name} == {"car", "truck"}
    places = [[(row["frame"], row["x_min"]) for row in rows] for rows in (by_name, observations_in(tmp_path))]
    assert places[0] == places[1]


def test_stride_start_end_and_limit(disc_video: Path, tmp_path: Path) -> None:
    chosen = ["--stride", "2", "--start", "0.4", "--end", "1.6", "--max-frames", "12"]

    yolotrack("run", disc_video, "--model", SCRIPTED, "-o", "out.mp4", *DB, *chosen, folder=tmp_path)

    rows = observations_in(tmp_path)
    assert [int(row["frame"]) for row in rows] == list(range(12)), "published frames count from 0 without gaps"
    assert [float(row["media_time"]) for row in rows] == pytest.approx([0.4 + 0.08 * n for n in range(12)])
    assert [number_of(shown) for shown in pictures_of(tmp_path / "out.mp4")] == list(range(10, 34, 2))
    out = played(tmp_path / "out.mp4")
    assert out.rate == Fraction(25, 2)
    assert out.times == pytest.approx([0.08 * n for n in range(12)])


def test_end_alone(disc_video: Path, tmp_path: Path) -> None:
    yolotrack("run", disc_video, "--model", SCRIPTED, *DB, "--end", "0.5", folder=tmp_path)

    assert runs_in(tmp_path)[0]["published"] == "13"


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    uneven = [0, 40, 100, 500, 520, 1333, 1371, 3000]
    write_video(tmp_path / "uneven.mkv", 8, times=uneven, tick=Fraction(1, 1000))

    yolotrack("run", "uneven.mkv", "--model", SCRIPTED, "-o", "out.mp4", *DB, folder=tmp_path)

    assert [round(1000 * time) for time in played(tmp_path / "out.mp4").times] == uneven
    rows = observations_in(tmp_path)
    assert rows
    assert all(round(1000 * float(row["media_time"])) == uneven[int(row["frame"])] for row in rows)


def test_a_video_over_http(disc_video: Path, tmp_path: Path) -> None:
    with serving(disc_video.parent) as host:
        url = f"http://me:hunter2@{host}/discs.mp4?token=abc"
        done = yolotrack("run", url, "--model", SCRIPTED, "-o", "out.mp4", *DB, "--json", folder=tmp_path)

    told = summary(done.out)
    assert (told["stream"], told["tracked"]) == ("discs", 50)
    assert len(played(tmp_path / "out.mp4").times) == 50
    shown = done.out + done.err + json.dumps(runs_in(tmp_path))
    assert "hunter2" not in shown and "abc" not in shown


# -- what is said meanwhile


def test_a_pipe_gets_plain_lines_of_progress_and_nothing_when_quiet(disc_video: Path, tmp_path: Path) -> None:
    def long(*more: str) -> Done:
        command = ["run", disc_video, "--model", SLOW, "--max-frames", "28", *more]
        return yolotrack(*command, folder=tmp_path, env={PACE: "0.25"})

    with ThreadPoolExecutor(2) as pool:
        told, quiet = pool.map(lambda more: long(*more), [DB, ["--db", "sqlite:///q.db", "--quiet"]])

    assert told.err
    for line in told.err.splitlines():
        assert re.fullmatch(r"discs: \d+/28 frames, [\d.]+ fps, [01] objects", line)
    assert quiet.err == ""
    assert "28 tracked" in quiet.out


def test_a_terminal_gets_a_bar(disc_video: Path, tmp_path: Path) -> None:
    with Running("run", disc_video, "--model", SLOW, *DB, folder=tmp_path) as running:
        running.wait_for_frames(10)
        done = running.end()

    assert done.code == 0
    assert re.search(r"discs .*━.* 50/50 [\d.]+ fps 1 objects", done.err.replace("\r", "\n"))
    with Running("run", disc_video, "--model", SLOW, *DB, "--quiet", folder=tmp_path) as running:
        assert running.end().err == ""
