"""`yolotrack compile` as its user knows it: videos to share, looked at with ffprobe and played in a browser."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import chromium
from tests.support.cluster import Cluster
from tests.support.commands import SCRIPTED, Done, names_in, yolotrack
from tests.support.players import pictures_of
from tests.support.scene_strip import read_stamp
from tests.support.scene_videos import SceneVideo
from tests.support.serving import serving
from tests.support.videos import number_of, picture, write_video
from yolotrack.model import RunStatus

NTSC = Fraction(30000, 1001)
FRAMES = 50
UNEVEN = [number * 40 + (17 if number % 3 else 0) for number in range(FRAMES)]
"""Milliseconds; no rate fits them."""


@dataclass(frozen=True)
class Tracked:
    """A folder with videos, and a database of a run of each."""

    folder: Path

    def compile(self, source: str, *options: object, code: int = 0) -> Done:
        """From file and database."""
        stream = Path(source).stem
        return yolotrack(
            "compile", "--source", source, "--stream", stream, "--db", "sqlite:///t.db", *options,
            folder=self.folder, code=code,
        )  # fmt: skip

    def made(self, source: str, name: str, *options: object) -> Path:
        """The file that comes of it."""
        done = self.compile(source, "-o", name, "--overwrite", *options)
        assert done.out == f"{name}\n"
        return self.folder / name


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """`steady.mp4` at 30000/1001 a second with sound, `uneven.mp4`, and the database `t.db`: one car in each."""
    folder = tmp_path_factory.mktemp("compile")
    write_video(folder / "steady.mp4", FRAMES, rate=NTSC, sound="aac")
    write_video(folder / "uneven.mp4", FRAMES, times=UNEVEN, tick=Fraction(1, 1000))
    yolotrack("run", "steady.mp4", "uneven.mp4", "--model", SCRIPTED, "--db", "sqlite:///t.db", folder=folder)
    return Tracked(folder)


def probe(path: Path) -> dict[str, dict[str, Any]]:
    """What ffprobe says of its video and its sound, every frame counted."""
    program = shutil.which("ffprobe")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no ffprobe here; scripts/install_test_servers.sh installs it")
        pytest.skip("there is no ffprobe here; scripts/install_test_servers.sh installs it")
    command = [program, "-v", "error", "-count_frames", "-show_streams", "-show_packets", "-of", "json", path]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stderr == ""
    told = json.loads(ended.stdout)
    found = {stream["codec_type"]: stream for stream in told["streams"]}
    for stream in found.values():
        packets = (p for p in told["packets"] if p["stream_index"] == stream["index"])
        stream["times"] = sorted(float(packet["pts_time"]) for packet in packets)
    return found


def numbers_in(path: Path) -> list[int]:
    return [number_of(pixels) for pixels in pictures_of(path)]


# -- files


@pytest.mark.parametrize(("codec", "tag"), [("h264", "avc1"), ("hevc", "hvc1"), ("av1", "av01")])
def test_a_broadcast_rate_and_sound_are_exact_in_every_codec(tracked: Tracked, codec: str, tag: str) -> None:
    path = tracked.made("steady.mp4", f"{codec}.mp4", "--codec", codec)

    video, sound = (probe(path)[kind] for kind in ("video", "audio"))
    assert (video["codec_name"], video["codec_tag_string"], video["pix_fmt"]) == (codec, tag, "yuv420p")
    assert (video["width"], video["height"]) == (160, 120)
    assert video["r_frame_rate"] == video["avg_frame_rate"] == "30000/1001"
    assert int(video["nb_read_frames"]) == int(video["nb_frames"]) == FRAMES
    assert float(video["duration"]) == pytest.approx(float(FRAMES / NTSC), abs=1e-6)
    assert sound["codec_name"] == "aac"
    assert float(sound["duration"]) == pytest.approx(float(FRAMES / NTSC), abs=0.05)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat"), "the index is not in front"
    assert numbers_in(path) == list(range(FRAMES))


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_variable_rates_keep_every_time(tracked: Tracked, suffix: str) -> None:
    path = tracked.made("uneven.mp4", f"uneven-out{suffix}")

    times = probe(path)["video"]["times"]
    assert times == pytest.approx([time / 1000 for time in UNEVEN], abs=1.1e-3)


def test_a_part_has_exactly_its_frames_and_their_sound(tracked: Tracked) -> None:
    path = tracked.made("steady.mp4", "part.mp4", "--from", "0:00:00.5", "--to", "1.2")

    first, end = 15, 36  # 15 / 29.97 = 0.5005 s, 36 / 29.97 = 1.2012 s
    found = probe(path)
    assert numbers_in(path) == list(range(first, end))
    assert found["video"]["times"][0] == 0.0
    assert float(found["video"]["duration"]) == pytest.approx(float((end - first) / NTSC), abs=1e-6)
    assert 0 <= found["audio"]["times"][0] < 0.03
    assert float(found["audio"]["duration"]) == pytest.approx(float((end - first) / NTSC), abs=0.05)
    theirs = probe(tracked.folder / "steady.mp4")["audio"]["times"]
    assert len(found["audio"]["times"]) == pytest.approx(len(theirs) * (end - first) / FRAMES, abs=2)


def test_what_is_drawn_can_be_chosen(tracked: Tracked) -> None:
    """The disc is a car, and track 1."""

    def paint(*options: object) -> np.ndarray:
        """How much each frame differs from the original."""
        pictures = pictures_of(tracked.made("steady.mp4", "styled.mkv", "--crf", 4, *options))
        pairs = zip(pictures, (picture(number) for number in range(FRAMES)), strict=True)
        return np.array([np.mean(np.abs(shown.astype(int) - original).max(axis=2) > 60) for shown, original in pairs])

    nothing = paint("--classes", "person")[20:].mean()
    box = paint("--no-labels", "--no-traces", "--tracks", "1:3")[20:].mean()
    thick = paint("--no-labels", "--no-traces", "--thickness", 4, "--classes", "2")[20:].mean()
    traced = paint("--no-labels", "--trace-length", 20)[20:].mean()
    everything = paint("--classes", "car,person")[20:].mean()
    assert 3 * nothing < box < min(thick, traced) < everything


def test_what_was_asked_for_and_never_came_is_told(tracked: Tracked) -> None:
    done = tracked.compile("steady.mp4", "-o", "none.mp4", "--classes", "boat,car", "--tracks", "7,9:12", "--quiet")

    assert done.err.splitlines() == [
        "warning: no boat in this video; there is car",
        "warning: none of these tracks is in this video; there are 1 to 1",
    ]


@pytest.mark.parametrize(
    ("options", "size", "second"),
    [
        (["--scale", "0.5"], (80, 60), None),
        (["--side-by-side", "--scale", "2"], (640, 240), 320),
        (["--side-by-side", "--scale", "400x150"], (400, 150), 200),
    ],
)
def test_sizes_and_the_original_beside(
    tracked: Tracked, options: list[str], size: tuple[int, int], second: int | None
) -> None:
    path = tracked.made("steady.mp4", "sized.mkv", *options)

    found = probe(path)["video"]
    assert (found["width"], found["height"]) == size
    if second is not None:
        for number, shown in enumerate(pictures_of(path)):
            left, right = shown[:, :second], shown[:, second:]
            assert number_of(left) == number
            if number > 10:
                assert np.abs(left.astype(int) - right).max() > 100, "nothing is drawn on the right"


def test_a_track_is_cut_out_and_followed(tracked: Tracked) -> None:
    """The disc crosses the picture; at the middle of its life the window has left both edges."""
    whole = tracked.made("steady.mp4", "track.mkv", "--track", 1, "--margin", 0.1, "--no-traces", "--no-labels")

    pictures = pictures_of(whole)
    assert pictures[0].shape == (120, 160, 3)
    rows = json.loads(
        yolotrack(
            "db", "query", "--stream", "steady", "--track-id", "1", "--db", "sqlite:///t.db", "--format", "json",
            folder=tracked.folder,
        ).out
    )  # fmt: skip
    first, last = rows[0]["frame"], rows[-1]["frame"]
    before, after = max(0, first - 2), min(FRAMES - 1, last + 2)  # 0.1 s are 2.997 frames
    assert len(pictures) == after - before + 1
    middle = pictures[(first + last) // 2 - before]
    red = (middle[:, :, 2] > 150) & (middle[:, :, 0] < 110)
    columns = np.where(red)[1]
    assert columns.mean() == pytest.approx(80, abs=12), "the disc is in the middle of the window"
    assert columns.max() - columns.min() > 1.2 * 30, "and larger than in the video"


def test_a_gif(tracked: Tracked) -> None:
    path = tracked.made("steady.mp4", "clip.gif", "--gif", "--from", "0.5", "--scale", "320x240")

    with Image.open(path) as image:
        assert image.size == (320, 240)
        stays = []
        for frame in range(image.n_frames):
            image.seek(frame)
            stays.append(image.info["duration"])
    assert sum(stays) == pytest.approx(1000 * float((FRAMES - 15) / NTSC), abs=11)


def test_run_takes_codec_and_style_too(tmp_path: Path, disc_video: Path) -> None:
    options = ["--codec", "hevc", "--crf", 20, "--no-labels", "--no-traces", "--thickness", 3, "--trace-length", 5]
    yolotrack("run", disc_video, "--model", SCRIPTED, "-o", "out.mp4", *options, folder=tmp_path)

    assert probe(tmp_path / "out.mp4")["video"]["codec_name"] == "hevc"


# -- refusals


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["-o", "a.mp4", "--codec", "vp9"], 2, "--codec: output.codec: should be 'h264', 'hevc' or 'av1', not 'vp9'"),
        (["-o", "a.mov", "--codec", "av1"], 1, "a .mov file cannot hold av1; end its name in one of .mp4, .mkv"),
        (["-o", "a.mp4", "--crf", "60"], 2, "--crf: output.crf: should be at most 51 for h264, not 60"),
        (["-o", "a.mp4", "--gif"], 2, "--gif makes a GIF, but a.mp4 would be none: end its name in .gif"),
        (["-o", "a.gif", "--crf", "9"], 2, "a GIF has neither --codec nor --crf: leave them out, or name an .mp4"),
        (["-o", "a.mp4", "--from", "9", "--to", "3"], 2, "--to 3 is not after --from 9: there is nothing between"),
        (["-o", "a.mp4", "--from", "1:10"], 1, "the run has no frame from 70 s on: its last one is at 1.635 s"),
        (["-o", "a.mp4", "--margin", "3"], 2, "--margin goes with --track"),
        (
            ["-o", "a.mp4", "--track", "1", "--to", "3"],
            2,
            "--track begins and ends with the track: leave out --from and --to, or use --tracks",
        ),
        (
            ["-o", "a.webm"],
            1,
            "cannot write a.webm: unknown kind of video; end its name in one of .mp4, .mov, .mkv, .gif",
        ),
        (["-o", "steady.mp4"], 1, "cannot write steady.mp4: it exists; choose another name, or set --overwrite"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tracked: Tracked, options: list[str], code: int, line: str) -> None:
    before = names_in(tracked.folder)

    assert tracked.compile("steady.mp4", *options, "--quiet", code=code).only_line == line
    assert names_in(tracked.folder) == before


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["a.mov", "--codec", "av1"], "a .mov file cannot hold av1; end its name in one of .mp4, .mkv"),
        (
            ["a.mp4", "--codec", "hevc", "--scale", "64x32"],
            "hevc needs 64x64 pixels at least, and the video would have 64x32",
        ),
    ],
)
def test_what_no_run_can_become_is_refused_before_one_is_looked_for(
    tmp_path: Path, options: list[str], line: str
) -> None:
    nowhere = ["--stream", "street", "--broker", "amqp://127.0.0.1:1/"]

    assert yolotrack("compile", *nowhere, "-o", *options, folder=tmp_path, code=1).only_line == line


def test_a_track_that_the_run_does_not_have_is_refused(tracked: Tracked) -> None:
    line = tracked.compile("steady.mp4", "-o", "a.mp4", "--track", 5, code=1).only_line

    assert line.startswith("run ") and line.endswith(" has no track 5: its 1 tracks are 1 to 1")


def test_a_video_of_another_time_is_refused(tracked: Tracked) -> None:
    write_video(tracked.folder / "other.mp4", 5, rate=Fraction(7), times=[1, 8, 15, 22, 29], tick=Fraction(1, 301))
    before = names_in(tracked.folder)

    done = yolotrack(
        "compile", "--source", "other.mp4", "--stream", "uneven", "--from", "0.2", "--db", "sqlite:///t.db", "-o",
        "a.mp4", folder=tracked.folder, code=1,
    )  # fmt: skip

    assert "no picture" in done.only_line
    assert names_in(tracked.folder) == before


# -- players

PAGE = """<!doctype html><title>player</title>
<video id="video" muted width="320"></video>
<script>
  const video = document.getElementById("video");
  video.src = location.hash.slice(1);
</script>
"""
BRIGHT = """() => {
  const video = document.getElementById("video"), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  const block = canvas.width / 8, bits = [];
  for (let bit = 0; bit < 8; bit++)
    bits.push(canvas.getContext("2d").getImageData(block * (bit + 0.5), canvas.height / 6, 1, 1).data[1] > 128);
  return bits.reduce((sum, on, bit) => sum + (on ? 1 << bit : 0), 0);
}"""


def test_chromium_plays_it_to_the_end(tracked: Tracked) -> None:
    """HEVC it plays only where the hardware does."""
    (tracked.folder / "player.html").write_text(PAGE)
    files = {
        "played-h264.mp4": ["--codec", "h264"],
        "played-av1.mp4": ["--codec", "av1"],
        "played-part.mp4": ["--from", "0.5", "--to", "1.2", "--side-by-side"],
    }
    for name, options in files.items():
        tracked.made("steady.mp4", name, *options)
    last = {"played-part.mp4": 35}

    with chromium() as browser, serving(tracked.folder) as address:
        page = browser.new_page()
        for name in files:
            page.goto(f"http://{address}/player.html?{name}#{name}")
            page.wait_for_function("video.readyState >= 2 || video.error", timeout=60_000)
            assert page.evaluate("video.error && video.error.message") is None
            expected = probe(tracked.folder / name)["video"]
            size = page.evaluate("[video.videoWidth, video.videoHeight]")
            assert size == [expected["width"], expected["height"]]
            assert page.evaluate("video.duration") == pytest.approx(float(expected["duration"]), abs=0.05)
            page.evaluate("video.play()")
            page.wait_for_function("video.ended || video.error", timeout=60_000)
            assert page.evaluate("video.error && video.error.message") is None
            if "--side-by-side" not in files[name]:
                assert page.evaluate(BRIGHT) == last.get(name, FRAMES - 1)


# -- from the broker's logs


def stamps(path: Path) -> list[int]:
    return [read_stamp(pixels)[1] for pixels in pictures_of(path)]


def test_parts_and_tracks_come_out_of_the_logs_too(
    cluster: Callable[..., Cluster], scene_videos: tuple[SceneVideo, SceneVideo]
) -> None:
    """Of the newest run of two in one stream."""
    video = scene_videos[1]
    opened = cluster()
    opened.work()
    for number in (1, 2):
        opened.publish(video)
        record = opened.wait_ended(video.stream, number)
    life = max(opened.store.tracks(record.run.run_id), key=lambda track: track.observations)
    options = ["--stream", video.stream, "--quiet"]
    part = opened.start("compile", "-o", "part.mp4", *options, "--from", "2", "--to", "3", "--no-labels")
    followed = opened.start("compile", "-o", "track.mp4", *options, "--track", life.track_id, "--margin", "0")
    unknown = opened.start("compile", "-o", "none.mp4", *options, "--track", "99999")
    for member, code in ((part, 0), (followed, 0), (unknown, 1)):
        member.end(code)

    assert stamps(opened.folder / "part.mp4") == list(range(50, 75))
    assert len(pictures_of(opened.folder / "track.mp4")) == life.last_frame - life.first_frame + 1
    assert "has no track 99999" in unknown.text
    assert not list(opened.folder.glob("*none.mp4*"))


def test_ctrl_c_keeps_what_is_drawn_of_a_run_that_goes_on(
    cluster: Callable[..., Cluster], scene_videos: tuple[SceneVideo, SceneVideo]
) -> None:
    video = scene_videos[0]
    opened = cluster(SCENE_SECONDS="0.05")
    opened.work()
    opened.publish(video)
    compiler = opened.start("compile", "-o", "begun.mp4", "--no-labels", "--no-traces", "--quiet")
    opened.wait(lambda: any(part.stat().st_size > 1000 for part in opened.folder.glob(".begun*")), "it to draw")
    compiler.send(signal.SIGINT)
    compiler.end(130)
    assert opened.runs(video.stream)[0].status is RunStatus.RUNNING
    shown = stamps(opened.folder / "begun.mp4")
    assert 0 < len(shown) < video.frames
    assert shown == list(range(len(shown)))
    assert not list(opened.folder.glob(".begun*"))
