"""Files of strangers: what they hold is known, and nothing is opened that makes FFmpeg read other files."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from tests.support.videos import picture, write_sound, write_video
from yolotrack.errors import SourceError
from yolotrack.video import probe as probing
from yolotrack.video.probe import Probed, probe


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "mov"])
def test_a_video_is_known_whatever_it_is_called(tmp_path: Path, suffix: str) -> None:
    upload = write_video(tmp_path / f"a.{suffix}", 50).rename(tmp_path / "upload")

    assert probe(upload, "it") == Probed(160, 120, pytest.approx(2.0, abs=0.1))


def test_a_length_that_the_container_does_not_know_is_none(tmp_path: Path) -> None:
    raw = write_video(tmp_path / "a.h264", 10, fmt="h264")

    assert probe(raw, "it").seconds is None


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.ts\n#EXT-X-ENDLIST\n",
        "hello " * 100,
    ],
)
@pytest.mark.parametrize("name", ["upload", "upload.m3u8"])
def test_a_file_that_names_others_is_refused(tmp_path: Path, text: str, name: str) -> None:
    write_video(tmp_path / "other.mp4", 5)
    write_video(tmp_path / "other.ts", 5)
    (tmp_path / name).write_text(text)

    with pytest.raises(SourceError, match=r"^this file is no video that plays, or not of"):
        probe(tmp_path / name, "this file")


def test_ffmpeg_itself_would_have_read_them(tmp_path: Path) -> None:
    """Otherwise the test before this one says nothing."""
    write_video(tmp_path / "other.mp4", 5)
    (tmp_path / "upload").write_text("ffconcat version 1.0\nfile other.mp4\n")

    with av.open(f"file:{tmp_path / 'upload'}") as container:
        assert sum(1 for _ in container.decode(video=0)) == 5


def test_sound_alone_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="it holds no pictures"):
        probe(write_sound(tmp_path / "a.m4a"), "it")
    (tmp_path / "empty").touch()
    with pytest.raises(SourceError, match="it is no video"):
        probe(tmp_path / "empty", "it")


def test_the_largest_pictures_of_all_streams_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "MAX_PIXELS", 640 * 480 - 1)
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        for width, height in ((160, 120), (640, 480)):
            video = output.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for video in output.streams.video:
            output.mux(video.encode(av.VideoFrame.from_ndarray(picture(0, video.width, video.height), "bgr24")))
            output.mux(video.encode())

    with pytest.raises(SourceError, match="it has pictures of 640x480, more than"):
        probe(tmp_path / "a.mkv", "it")


def test_pictures_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = write_video(tmp_path / "a.mp4", [picture(0, 640, 480)])
    assert probe(large, "it").width == 640

    monkeypatch.setattr(probing, "MAX_PIXELS", 640 * 480 - 1)
    with pytest.raises(SourceError, match="it has pictures of 640x480, more than"):
        probe(large, "it")
