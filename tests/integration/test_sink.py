"""Real video files, written and read back."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.videos import number_of, picture, write_sound, write_video
from yolotrack.config import OutputSettings
from yolotrack.errors import OutputError
from yolotrack.model import Pixels
from yolotrack.video.base import Sink
from yolotrack.video.sink import open_sink

FAST = OutputSettings.model_validate({"preset": "ultrafast"})
NTSC = Fraction(30000, 1001)


@dataclass(frozen=True)
class Written:
    """A file as FFmpeg sees it."""

    codec: str
    pix_fmt: str
    size: tuple[int, int]
    average: Fraction | None
    nominal: Fraction | None
    seconds: float
    times: list[float]
    numbers: list[int]
    last: Pixels
    sound: list[float]
    """Times of sound packets."""
    sound_codec: str | None


def look(path: Path) -> Written:
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        frames = [(frame.time, frame.to_ndarray(format="bgr24")) for frame in file.decode(video)]
        length = video.duration * video.time_base if video.duration else Fraction(file.duration, av.time_base)
        found = dict(
            codec=video.codec_context.name,
            pix_fmt=video.codec_context.pix_fmt,
            size=(video.width, video.height),
            average=video.average_rate,
            nominal=video.base_rate,
            seconds=float(length),
            times=[time for time, _ in frames],
            numbers=[number_of(pixels) for _, pixels in frames],
            last=frames[-1][1],
        )
    with av.open(str(path)) as file:
        audio = file.streams.audio[0] if file.streams.audio else None
        packets = [] if audio is None else [p for p in file.demux(audio) if p.pts is not None]
        return Written(
            **found,
            sound=[float(p.pts * p.time_base) for p in packets],
            sound_codec=None if audio is None else audio.codec_context.name,
        )


def opened(
    path: Path,
    rate: Fraction | None = Fraction(25),
    size: tuple[int, int] = (160, 120),
    overwrite: bool = False,
    audio_from: Path | None = None,
    settings: OutputSettings = FAST,
) -> Sink:
    return open_sink(
        path,
        width=size[0],
        height=size[1],
        rate=rate,
        settings=settings,
        overwrite=overwrite,
        audio_from=None if audio_from is None else str(audio_from),
    )


def write(sink: Sink, times: Sequence[float], size: tuple[int, int] = (160, 120)) -> None:
    for number, time in enumerate(times):
        sink.write(picture(number, *size), time)
    sink.close()


def at(rate: Fraction | int, count: int, start: float = 0.0) -> list[float]:
    return [start + float(number / Fraction(rate)) for number in range(count)]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What a file is


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".MP4"])
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])
def test_a_constant_rate_is_exact(tmp_path: Path, suffix: str, preset: str) -> None:
    settings = OutputSettings.model_validate({"preset": preset})
    path = tmp_path / f"out{suffix}"
    write(opened(path, Fraction(25, 2), settings=settings), at(Fraction(25, 2), 101))
    found = look(path)
    assert (found.codec, found.pix_fmt, found.size) == ("h264", "yuv420p", (160, 120))
    assert (found.average, found.nominal) == (Fraction(25, 2), Fraction(25, 2))
    assert found.numbers == list(range(101))
    assert found.times == pytest.approx(at(Fraction(25, 2), 101))
    assert found.seconds == pytest.approx(101 * 0.08)
    assert names_in(tmp_path) == [path.name]


def test_broadcast_rates_stay_exact_even_from_milliseconds(tmp_path: Path) -> None:
    for name, times in {"exact": at(NTSC, 90), "rounded": [round(time, 3) for time in at(NTSC, 90)]}.items():
        path = tmp_path / f"{name}.mp4"
        write(opened(path, NTSC), times)
        found = look(path)
        assert (found.average, found.nominal) == (NTSC, NTSC)
        assert found.seconds == pytest.approx(90 * 1001 / 30000)


@pytest.mark.parametrize("rate", [None, Fraction(20)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])
def test_uneven_times_are_kept(tmp_path: Path, rate: Fraction | None, suffix: str, preset: str) -> None:
    uneven = [0.0, 0.04, 0.1, 0.5, 0.52, 1.333, 1.3345, 3.0, 3.3]
    path = tmp_path / f"out{suffix}"
    write(opened(path, rate, settings=OutputSettings.model_validate({"preset": preset})), uneven)
    found = look(path)
    assert found.times == pytest.approx(uneven, abs=6e-4 if suffix == ".mkv" else 2e-5)
    assert found.numbers == list(range(9))
    assert found.seconds == pytest.approx(3.3 + (0.05 if rate else 0.3), abs=2e-3)


def test_the_first_picture_is_at_the_start_whatever_its_time(tmp_path: Path) -> None:
    write(opened(tmp_path / "out.mp4"), at(25, 20, start=61.48))
    found = look(tmp_path / "out.mp4")
    assert found.times == pytest.approx(at(25, 20))
    assert found.average == 25


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    times = at(25, 10) + at(25, 10, start=1.0)
    write(opened(tmp_path / "out.mp4"), times)
    assert look(tmp_path / "out.mp4").times == pytest.approx(times)


def test_the_index_is_in_front(tmp_path: Path) -> None:
    write(opened(tmp_path / "out.mp4"), at(25, 50))
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_colours_survive_and_are_tagged(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.mp4")
    colours = np.zeros((120, 160, 3), np.uint8)
    colours[:, :53], colours[:, 53:106], colours[:, 106:] = (30, 40, 220), (40, 200, 60), (230, 60, 30)
    for time in at(25, 3):
        sink.write(colours, time)
    sink.close()
    last = look(tmp_path / "out.mp4").last
    for x in (26, 80, 133):
        assert np.abs(last[60, x].astype(int) - colours[60, x]).max() <= 6
    with av.open(str(tmp_path / "out.mp4")) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (5, 1)


def test_odd_sides_are_lengthened_and_other_sizes_letterboxed(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.mp4", size=(161, 119))
    for number, time in enumerate(at(25, 10)):
        sink.write(picture(number, 161, 119) if number < 9 else np.full((300, 100, 3), 200, np.uint8), time)
    sink.close()
    found = look(tmp_path / "out.mp4")
    assert found.size == (162, 120)
    assert found.numbers[:9] == list(range(9))
    assert found.last[60, 80].min() > 180 and found.last[60, 10].max() < 25


def test_a_single_picture(tmp_path: Path) -> None:
    write(opened(tmp_path / "out.mp4"), [0.0])
    found = look(tmp_path / "out.mp4")
    assert found.numbers == [0] and found.seconds == pytest.approx(0.04)


# Sound


def test_sound_is_copied_as_it_is(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", 100, sound="aac")
    write(opened(tmp_path / "out.mp4", audio_from=source), at(25, 100))
    theirs, ours = packets(source), packets(tmp_path / "out.mp4")
    assert set(ours) <= set(theirs) and len(ours) >= len(theirs) - 3
    found = look(tmp_path / "out.mp4")
    assert found.average == 25 and len(found.numbers) == 100
    assert found.sound[0] == pytest.approx(0, abs=0.03) and found.sound[-1] == pytest.approx(4, abs=0.05)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


def test_sound_stays_with_its_pictures_from_a_later_start_to_an_earlier_end(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", 200, sound="aac")
    write(opened(tmp_path / "out.mp4", audio_from=source), at(25, 50, start=3.0))
    found = look(tmp_path / "out.mp4")
    assert 0 <= found.sound[0] < 0.03
    assert found.sound[-1] < 2.0
    theirs = packets(source)
    first = theirs.index(packets(tmp_path / "out.mp4")[0])
    assert first * 1024 / 48000 == pytest.approx(3.0, abs=0.05)


def test_sound_is_interleaved(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", 200, sound="aac")
    write(opened(tmp_path / "out.mp4", audio_from=source), at(25, 200))
    ahead = 0.0
    latest = {"video": 0.0, "audio": 0.0}
    with av.open(str(tmp_path / "out.mp4")) as file:
        stored = sorted((packet for packet in file.demux() if packet.dts is not None), key=lambda packet: packet.pos)
        for packet in stored:
            latest[packet.stream.type] = float(packet.dts * packet.time_base)
            ahead = max(ahead, abs(latest["video"] - latest["audio"]))
    assert ahead < 1.5


@pytest.mark.parametrize(("source", "target"), [(".ts", ".mp4"), (".mkv", ".mp4"), (".mp4", ".mkv"), (".mov", ".mov")])
def test_sound_changes_containers(tmp_path: Path, source: str, target: str) -> None:
    read = write_video(tmp_path / f"in{source}", 50, sound="aac", fmt="mpegts" if source == ".ts" else None)
    write(opened(tmp_path / f"out{target}", audio_from=read), at(25, 50))
    found = look(tmp_path / f"out{target}")
    assert found.sound_codec == "aac" and len(found.sound) > 85


def test_sound_that_the_container_cannot_hold_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_video(tmp_path / "in.mkv", 50, sound="wavpack")
    with caplog.at_level(logging.WARNING):
        write(opened(tmp_path / "out.mp4", audio_from=source), at(25, 50))
    found = look(tmp_path / "out.mp4")
    assert found.sound_codec is None and len(found.numbers) == 50
    assert "gets no sound" in caplog.text
    assert names_in(tmp_path) == ["in.mkv", "out.mp4"]


@pytest.mark.parametrize("kind", ["missing", "folder", "silent", "text"])
def test_a_source_without_sound_is_no_failure(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "in.mp4"
    if kind == "folder":
        source.mkdir()
    elif kind == "silent":
        write_video(source, 10)
    elif kind == "text":
        source.write_text("words")
    write(opened(tmp_path / "out.mp4", audio_from=source), at(25, 10))
    assert look(tmp_path / "out.mp4").sound_codec is None


def test_sound_shorter_than_the_pictures(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "in.m4a", seconds=1)
    write(opened(tmp_path / "out.mp4", audio_from=source), at(25, 100))
    found = look(tmp_path / "out.mp4")
    assert len(found.numbers) == 100 and found.sound[-1] < 1.05


# What is refused, and what is left behind


def refused(path: Path, match: str) -> None:
    with pytest.raises(OutputError, match=match) as caught:
        opened(path)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written_is_refused_before_the_first_picture(tmp_path: Path) -> None:
    (tmp_path / "is.mp4").mkdir()
    (tmp_path / "old.mp4").write_bytes(b"precious")
    refused(tmp_path / "out.webm", r"end its name in one of \.mp4, \.mov, \.mkv")
    refused(tmp_path / "out", "end its name in")
    refused(tmp_path / "is.mp4", "it is a folder")
    refused(tmp_path / "old.mp4", "it exists")
    refused(tmp_path / "no" / "out.mp4", "there is no folder")
    refused(tmp_path / "old.mp4" / "out.mp4", "there is no folder")
    assert names_in(tmp_path) == ["is.mp4", "old.mp4"]
    assert (tmp_path / "old.mp4").read_bytes() == b"precious"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even root may write to")
def test_a_folder_that_cannot_be_written_to() -> None:
    refused(Path("/proc/self/out.mp4"), "cannot write /proc/self/out.mp4: ")


def test_nothing_looks_complete_before_close_and_abort_leaves_nothing(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.mp4")
    for number, time in enumerate(at(25, 60)):
        sink.write(picture(number), time)
    assert [name for name in names_in(tmp_path) if not name.startswith(".")] == []
    sink.abort()
    sink.abort()
    sink.close()
    assert names_in(tmp_path) == []


def test_overwriting_happens_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    sink = opened(path, overwrite=True)
    sink.write(picture(1), 0.0)
    assert path.read_bytes() == b"old"
    sink.close()
    sink.close()
    sink.abort()
    assert look(path).numbers == [1]
    assert names_in(tmp_path) == ["out.mp4"]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = opened(path)
    sink.write(picture(7), 0.0)
    path.write_bytes(b"somebody else's")
    with pytest.raises(OutputError, match="the finished file is") as caught:
        sink.close()
    assert path.read_bytes() == b"somebody else's"
    finished = Path(str(caught.value).rsplit(" ", 1)[1])
    assert look(finished).numbers == [7]


def test_no_pictures_no_file(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.mp4")
    with pytest.raises(OutputError, match="there were no pictures"):
        sink.close()
    assert names_in(tmp_path) == []


FULL = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from yolotrack.config import OutputSettings
from yolotrack.errors import OutputError
from yolotrack.video.sink import open_sink

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
noise = np.random.default_rng(0)
try:
    sink = open_sink(Path(sys.argv[1]), width=320, height=240, rate=Fraction(25),
                     settings=OutputSettings(), overwrite=False)
    for number in range(60):
        sink.write(noise.integers(0, 255, (240, 320, 3), dtype=np.uint8), number / 25)
    sink.close()
except OutputError as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
@pytest.mark.parametrize("limit", [0, 100_000, 1_000_000])
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path: Path, limit: int) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "out.mp4"), str(limit)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith(f"cannot write {tmp_path / 'out.mp4'}: ") and ended.stdout.count("\n") == 1
    assert names_in(tmp_path) == []
