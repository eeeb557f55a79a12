"""HEVC and AV1 keep what H.264 keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.videos import number_of, picture, write_video
from yolotrack.config import OutputSettings
from yolotrack.errors import OutputError
from yolotrack.video import codecs
from yolotrack.video.base import Sink
from yolotrack.video.sink import open_sink

NTSC = Fraction(30000, 1001)


def opened(path: Path, rate: Fraction | None = NTSC, size: tuple[int, int] = (160, 120), **settings: object) -> Sink:
    return open_sink(
        path,
        width=size[0],
        height=size[1],
        rate=rate,
        settings=OutputSettings.model_validate({"preset": "ultrafast", **settings}),
        overwrite=True,
        audio_from=str(path.with_name("in.mp4")),
    )


def write(sink: Sink, times: list[float], size: tuple[int, int] = (160, 120)) -> None:
    for number, time in enumerate(times):
        sink.write(picture(number, *size), time)
    sink.close()


@pytest.mark.parametrize(
    ("codec", "suffix", "tag"),
    [
        ("hevc", ".mp4", "hvc1"),
        ("hevc", ".mov", "hvc1"),
        ("hevc", ".mkv", None),
        ("av1", ".mp4", "av01"),
        ("av1", ".mkv", None),
    ],
)
def test_rate_times_and_sound_are_exact(tmp_path: Path, codec: str, suffix: str, tag: str | None) -> None:
    write_video(tmp_path / "in.mp4", 60, rate=NTSC, sound="aac")
    times = [float(number / NTSC) for number in range(60)]
    path = tmp_path / f"out{suffix}"

    write(opened(path, codec=codec), times)

    with av.open(str(path)) as file:
        video = file.streams.video[0]
        assert video.codec_context.name in {"hevc", "libdav1d", "av1"}
        assert video.codec.canonical_name == codec
        assert video.codec_context.pix_fmt == "yuv420p"
        if tag is not None:
            assert video.codec_context.codec_tag == tag
            assert video.average_rate == NTSC
            assert video.duration * video.time_base == 60 / NTSC
        frames = list(file.decode(video))
        assert [frame.time for frame in frames] == pytest.approx(times, abs=6e-4 if suffix == ".mkv" else 2e-5)
        assert [number_of(frame.to_ndarray(format="bgr24")) for frame in frames] == list(range(60))
    with av.open(str(path)) as file:
        assert len(list(file.demux(audio=0))) > 85


@pytest.mark.parametrize("codec", ["hevc", "av1"])
@pytest.mark.parametrize("rate", [None, Fraction(20)])
def test_uneven_times_are_kept(tmp_path: Path, codec: str, rate: Fraction | None) -> None:
    uneven = [0.0, 0.04, 0.1, 0.5, 0.52, 1.333, 1.3345, 3.0, 3.3]
    path = tmp_path / "out.mp4"

    write(opened(path, rate, codec=codec), uneven)

    with av.open(str(path)) as file:
        video = file.streams.video[0]
        assert [frame.time for frame in file.decode(video)] == pytest.approx(uneven, abs=2e-5)
        assert float(video.duration * video.time_base) == pytest.approx(3.3 + (0.05 if rate else 0.3), abs=2e-3)


@pytest.mark.parametrize(
    ("codec", "size"),
    [
        *(("h264", size) for size in ((1, 1), (2, 2), (33, 17), (1281, 33))),
        *(("hevc", size) for size in ((64, 64), (63, 97), (1281, 64))),
        *(("av1", size) for size in ((3, 3), (4, 64), (33, 17), (25, 66), (1281, 33))),
    ],
)
def test_small_and_odd_sizes(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    write(opened(path, size=size, codec=codec), [0.0, 0.04, 0.08], size)

    with av.open(str(path)) as file:
        shown = [(frame.width, frame.height) for frame in file.decode(video=0)]
    assert shown == [(size[0] + size[0] % 2, size[1] + size[1] % 2)] * 3


@pytest.mark.parametrize(
    ("codec", "size"), [("hevc", (90, 62)), ("av1", (2, 2)), ("av1", (24, 65)), ("av1", (1000, 4))]
)
def test_too_small_sizes_are_refused(tmp_path: Path, codec: str, size: tuple[int, int]) -> None:
    with pytest.raises(OutputError, match=rf"{codec} needs \d+x\d+ pixels at least.* {size[0]}x{size[1]}$"):
        opened(tmp_path / "out.mp4", size=size, codec=codec)
    assert list(tmp_path.iterdir()) == []


def test_quality_and_speed_reach_the_encoder(tmp_path: Path) -> None:
    for codec in ("h264", "hevc", "av1"):
        sizes = []
        for crf in (10, None, 50):
            write(opened(tmp_path / "out.mp4", codec=codec, crf=crf), [number / 25 for number in range(30)])
            sizes.append((tmp_path / "out.mp4").stat().st_size)
        assert sizes[0] > sizes[1] > sizes[2], codec


def test_every_preset_is_one_of_every_encoder(tmp_path: Path) -> None:
    presets = OutputSettings.model_fields["preset"].annotation.__args__  # type: ignore[union-attr]
    assert set(codecs.CODECS["av1"].presets) == set(presets)
    for codec in codecs.CODECS:
        for preset in presets:
            write(opened(tmp_path / "out.mp4", codec=codec, preset=preset), [0.0, 0.04])


def test_an_encoder_that_this_ffmpeg_lacks_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = {**codecs.CODECS, "hevc": replace(codecs.CODECS["hevc"], encoder="libnone")}
    monkeypatch.setattr(codecs, "CODECS", lacking)

    with pytest.raises(OutputError, match="no libnone to write hevc with; choose another --codec: h264, av1") as caught:
        opened(tmp_path / "out.mp4", codec="hevc")

    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_hold_the_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a \.mov file cannot hold av1; end its name in one of \.mp4, \.mkv"):
        opened(tmp_path / "out.mov", codec="av1")
    assert list(tmp_path.iterdir()) == []


WRITE = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from yolotrack.config import OutputSettings
from yolotrack.video.sink import open_sink
sink = open_sink(Path(sys.argv[1]), width=64, height=64, rate=Fraction(25),
                 settings=OutputSettings(codec=sys.argv[2]), overwrite=True)
sink.write(np.zeros((64, 64, 3), np.uint8), 0.0)
sink.close()
"""


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_encoders_say_nothing(tmp_path: Path, codec: str) -> None:
    """They would on standard error, past Python."""
    environment = {name: value for name, value in os.environ.items() if name != "SVT_LOG"}
    command = [sys.executable, "-c", WRITE, str(tmp_path / "out.mp4"), codec]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)

    assert (ended.stdout, ended.stderr) == ("", "")


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_pictures_are_a_video(tmp_path: Path, codec: str, count: int) -> None:
    path = tmp_path / "out.mp4"

    write(opened(path, Fraction(25), codec=codec, preset="veryfast"), [number / 25 for number in range(count)])

    with av.open(str(path)) as file:
        video = file.streams.video[0]
        assert [frame.time for frame in file.decode(video)] == pytest.approx([number / 25 for number in range(count)])
        assert video.duration * video.time_base == Fraction(count, 25)
