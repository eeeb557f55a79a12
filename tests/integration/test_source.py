"""Pictures out of real files, folders and servers, whole and broken."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from tests.support.serving import serving
from tests.support.videos import number_of, picture, write_sound, write_video
from yolotrack.config import SourceSettings
from yolotrack.errors import SourceError
from yolotrack.model import STREAM_PATTERN
from yolotrack.video import container
from yolotrack.video.base import Picture, SourceInfo
from yolotrack.video.source import open_source


def read(name: Path | str, **settings: float) -> tuple[SourceInfo, list[Picture], int]:
    source = open_source(str(name), SourceSettings.model_validate(settings))
    try:
        pictures = list(source)
        return source.info, pictures, source.skipped
    finally:
        source.close()


def numbers(pictures: list[Picture]) -> list[int]:
    return [number_of(picture.pixels) for picture in pictures]


def times(pictures: list[Picture]) -> list[float]:
    return [picture.media_time for picture in pictures]


# What comes


@pytest.mark.parametrize(
    ("suffix", "fmt"), [(".mp4", None), (".mkv", None), (".ts", "mpegts"), (".avi", None), (".h264", None)]
)
def test_every_picture_of_a_file_comes_once_in_order_at_its_time(tmp_path: Path, suffix: str, fmt: str | None) -> None:
    info, pictures, skipped = read(write_video(tmp_path / f"some clip{suffix}", fmt=fmt))
    assert numbers(pictures) == list(range(50))
    assert times(pictures) == pytest.approx([number / 25 for number in range(50)])
    assert (info.stream, info.width, info.height, info.rate, info.live) == ("some-clip", 160, 120, 25, False)
    assert info.frame_count in ({None} if suffix == ".h264" else {50})
    assert skipped == 0


def test_pictures_are_contiguous_bgr_and_their_own(tmp_path: Path) -> None:
    red = np.full((122, 162, 3), (20, 30, 220), np.uint8)
    _, pictures, _ = read(write_video(tmp_path / "red.mp4", [red] * 3))
    first, second = pictures[0].pixels, pictures[1].pixels
    assert first.dtype == np.uint8 and first.shape == (122, 162, 3) and first.flags.c_contiguous
    assert np.abs(first.astype(int) - red).max() < 12
    first[:] = 0
    assert second.max() > 200


@pytest.mark.parametrize("span", [1, 2])
@pytest.mark.parametrize("space", [1, 5])
def test_colours_follow_what_the_file_says_of_them(tmp_path: Path, space: int, span: int) -> None:
    """The same stored values mean other colours in BT.601 and BT.709, in limited and in full range."""
    path = tmp_path / "tagged.mp4"
    stored = np.zeros((96, 64), np.uint8)
    stored[:64], stored[64:80], stored[80:] = 130, 90, 75
    write_video(path, [av.VideoFrame.from_ndarray(stored, "yuv420p")] * 2, colorspace=space, color_range=span)
    _, pictures, _ = read(path)
    luma, scale = (130, 1.0) if span == 2 else ((130 - 16) * 255 / 219, 255 / 224)
    blue, red = (1.772, 1.402) if space == 5 else (1.8556, 1.5748)
    expected_blue, expected_red = luma + blue * (90 - 128) * scale, luma + red * (75 - 128) * scale
    middle = pictures[0].pixels[32, 32]
    assert (middle[0], middle[2]) == (pytest.approx(expected_blue, abs=5), pytest.approx(expected_red, abs=5))


def test_an_exact_rate_stays_exact_and_is_divided_by_the_stride(tmp_path: Path) -> None:
    path = write_video(tmp_path / "ntsc.mp4", rate=Fraction(30000, 1001))
    assert read(path)[0].rate == Fraction(30000, 1001)
    info, pictures, _ = read(path, stride=3)
    assert info.rate == Fraction(10000, 1001)
    assert numbers(pictures) == list(range(0, 50, 3))
    assert info.frame_count == len(pictures)


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    uneven = [0, 40, 100, 500, 520, 1333, 1334, 3000]
    path = write_video(tmp_path / "uneven.mkv", 8, times=uneven, tick=Fraction(1, 1000))
    _, pictures, _ = read(path)
    assert times(pictures) == pytest.approx([time / 1000 for time in uneven])


def test_times_begin_with_the_stream_wherever_its_clock_stands(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mkv", 8, times=[90_000 + 40 * n for n in range(8)], tick=Fraction(1, 1000))
    assert times(read(path)[1]) == pytest.approx([n / 25 for n in range(8)])


def test_time_goes_on_where_two_recordings_were_joined(tmp_path: Path) -> None:
    one = write_video(tmp_path / "one.ts", fmt="mpegts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(one + one)
    _, pictures, _ = read(tmp_path / "joined.ts")
    seen = times(pictures)
    assert len(seen) >= 99
    assert all(0.02 < later - earlier < 0.2 for earlier, later in pairwise(seen))


ARROW = np.zeros((96, 160, 3), np.uint8)
ARROW[:48, :80] = (40, 40, 230)  # red above left
ARROW[:48, 80:] = (40, 230, 40)  # green above right


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_and_mirroring_are_honoured(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    path = write_video(tmp_path / "turned.mp4", [ARROW] * 2, rotation=(degrees, mirrored, False))
    info, pictures, _ = read(path)
    expected = np.rot90(ARROW, degrees // 90)
    if mirrored:
        expected = expected[:, ::-1]
    assert pictures[0].pixels.shape == expected.shape == (info.height, info.width, 3)
    assert np.abs(pictures[0].pixels.astype(int) - expected).mean() < 12
    assert pictures[0].pixels.flags.c_contiguous


def test_a_size_that_changes_on_the_way_is_letterboxed_to_the_first(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.h264", 10).read_bytes()
    tall = write_video(tmp_path / "b.h264", [np.full((240, 160, 3), 200, np.uint8)] * 10).read_bytes()
    (tmp_path / "both.h264").write_bytes(small + tall)
    info, pictures, _ = read(tmp_path / "both.h264")
    assert (info.width, info.height) == (160, 120)
    assert len(pictures) == 20 and {p.pixels.shape for p in pictures} == {(120, 160, 3)}
    last = pictures[-1].pixels
    assert last[60, 80].min() > 180 and last[60, 10].max() < 20 and last[60, 150].max() < 20


# Which pictures are taken


@pytest.mark.parametrize(
    ("suffix", "fmt"), [(".mp4", None), (".mkv", None), (".ts", "mpegts"), (".avi", None), (".h264", None)]
)
def test_start_end_stride_and_limit(tmp_path: Path, suffix: str, fmt: str | None) -> None:
    path = write_video(tmp_path / f"a{suffix}", 100, fmt=fmt, gop=30)
    info, pictures, _ = read(path, start=1.41, end=2.8, stride=2)
    assert numbers(pictures) == list(range(36, 70, 2))
    assert times(pictures) == pytest.approx([number / 25 for number in range(36, 70, 2)])
    assert info.frame_count in (None, 17)
    info, pictures, _ = read(path, start=1.4, max_frames=3)
    assert numbers(pictures) == [35, 36, 37]
    assert info.frame_count == 3


def test_a_start_after_the_end_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no picture from 90 s on"):
        read(write_video(tmp_path / "a.mp4"), start=90)


# Broken files


@pytest.mark.parametrize(
    ("suffix", "fmt"), [(".mp4", None), (".mkv", None), (".ts", "mpegts"), (".avi", None), (".h264", None)]
)
def test_damage_in_the_middle_costs_a_few_pictures_and_no_more(tmp_path: Path, suffix: str, fmt: str | None) -> None:
    path = write_video(tmp_path / f"hurt{suffix}", 120, fmt=fmt)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = np.random.default_rng(1).bytes(1500)
    path.write_bytes(data)
    _, pictures, _ = read(path)
    found = numbers(pictures)
    assert found[:40] == list(range(40))
    assert found[-40:] == list(range(80, 120))
    assert all(later > earlier for earlier, later in pairwise(times(pictures)))


def test_packets_that_the_decoder_refuses_are_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "hurt.mp4", 100)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    _, pictures, skipped = read(path)
    assert skipped > 0
    assert 95 <= len(pictures) + skipped <= 100


@pytest.mark.parametrize(("suffix", "fmt"), [(".mp4", None), (".mkv", None), (".ts", "mpegts"), (".avi", None)])
@pytest.mark.parametrize("part", [0.37, 0.5, 0.81])
def test_every_picture_before_a_cut_is_kept(tmp_path: Path, suffix: str, fmt: str | None, part: float) -> None:
    path = write_video(tmp_path / f"cut{suffix}", 100, fmt=fmt, options={"bf": "0"})
    data = path.read_bytes()
    cut = int(len(data) * part)
    with av.open(str(path)) as whole:
        begins = [packet.pos for packet in whole.demux(video=0) if packet.pos is not None]
    path.write_bytes(data[:cut])
    _, pictures, _ = read(path)
    found = numbers(pictures)
    assert found == list(range(len(found)))
    # The last picture that begins before the cut is the one that was cut.
    assert len(found) >= sum(begin < cut for begin in begins) - 1 > 5


# What is refused


def refused(name: Path | str, match: str) -> str:
    with pytest.raises(SourceError, match=match) as caught:
        open_source(str(name), SourceSettings())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path) -> None:
    refused(tmp_path / "none.mp4", "no such file")
    for name, content in {
        "e.mp4": b"",
        "t.mp4": b"words\n" * 99,
        "t.txt": b"words\n" * 99,
        "b.mkv": b"\7\1" * 9999,
    }.items():
        (tmp_path / name).write_bytes(content)
    refused(tmp_path / "e.mp4", "empty")
    refused(tmp_path / "t.mp4", "no video")
    refused(tmp_path / "t.txt", "text file")
    refused(tmp_path / "b.mkv", "no video")
    refused(write_sound(tmp_path / "song.m4a"), "only sound")
    refused("77", "there is no camera 77")


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    song = write_sound(tmp_path / "song.m4a")
    path = tmp_path / "cover.mp4"
    with av.open(str(song)) as sound, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(sound.streams.audio[0])
        cover = output.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 160, 120, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        for packet in sound.demux(audio=0):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
        output.mux(cover.encode(av.VideoFrame.from_ndarray(picture(3), "bgr24").reformat(format="yuvj420p")))
        output.mux(cover.encode())
    refused(path, "only sound")


def test_a_file_cut_before_its_index_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", 50)
    path.write_bytes(path.read_bytes()[:2000])
    refused(path, "damaged")


def test_folders_and_patterns_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    refused(tmp_path, "no pictures in")
    refused(tmp_path / "*.png", "no pictures in")
    (tmp_path / "bad.png").write_bytes(b"no png")
    refused(tmp_path, "can be decoded")


# Networks


def test_a_video_over_http(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4")
    with serving(tmp_path) as host:
        info, pictures, _ = read(f"http://me:secret@{host}/clip.mp4?token=abc")
        assert numbers(pictures) == list(range(50))
        assert (info.stream, info.live) == ("clip", False)
        assert "secret" not in info.name and "abc" not in info.name
        refused(f"http://{host}/none.mp4", "does not have it")


def test_a_refused_connection_is_told_without_the_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for scheme in ("rtsp", "http"):
        message = refused(f"{scheme}://admin:hidden@127.0.0.1:{port}/cam", "nothing listens there")
        assert "hidden" not in message
    refused("nonsense://host/a", "unknown kind of URL")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_never_answers_is_given_up(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "NETWORK_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        refused(f"{scheme}://127.0.0.1:{deaf.getsockname()[1]}/cam", "no data for")


def test_a_server_that_falls_silent_on_the_way_ends_the_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "NETWORK_TIMEOUT", 1.0)
    data = write_video(tmp_path / "a.ts", 250, fmt="mpegts").read_bytes()
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + data[: len(data) // 2])
                done.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        seen = []
        try:
            with pytest.raises(SourceError, match="no data for"):
                for shown in open_source(f"http://127.0.0.1:{server.getsockname()[1]}/live.ts", SourceSettings()):
                    seen.append(shown)
        finally:
            done.set()
            thread.join()
    assert numbers(seen) == list(range(len(seen))) and len(seen) > 50


# Images


def test_a_folder_of_images_in_natural_order_at_the_size_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "my frames"
    folder.mkdir()
    for number, suffix in enumerate(
        [".png", ".jpg", ".bmp", ".webp", ".tiff", ".jpeg", ".png", ".png", ".png", ".png", ".png"], 1
    ):
        size = (160, 120) if number != 3 else (320, 480)
        cv2.imwrite(str(folder / f"frame{number}{suffix}"), picture(number, *size))
    (folder / "frame4.webp").write_bytes(b"broken")
    (folder / "readme.txt").write_text("not a picture")
    info, pictures, skipped = read(folder)
    assert (info.stream, info.width, info.height, info.rate, info.frame_count) == ("my-frames", 160, 120, 25, 11)
    found = numbers(pictures)
    assert found[:2] + found[3:] == [1, 2, 5, 6, 7, 8, 9, 10, 11]
    assert skipped == 1
    assert times(pictures) == pytest.approx([n / 25 for n in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10)])
    boxed = pictures[2].pixels
    assert boxed.shape == (120, 160, 3) and boxed[:, :35].max() == 0 and boxed[:, 80].max() > 60


def test_a_pattern_and_a_single_image(tmp_path: Path) -> None:
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"a{number}.png"), picture(number))
    cv2.imwrite(str(tmp_path / "b.png"), picture(99))
    _, pictures, _ = read(tmp_path / "a*.png", stride=5, max_frames=2)
    assert numbers(pictures) == [0, 5]
    info, pictures, _ = read(tmp_path / "b.png")
    assert (numbers(pictures), info.stream) == ([99], "b")


def test_a_file_whose_name_looks_like_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("7", "clip[1].mp4", "concat:a.mp4", "http:x.mp4"):
        write_video(Path(tmp_path / "plain.mp4"), 3).rename(tmp_path / name)
        info, pictures, _ = read(name)
        assert len(pictures) == 3
        assert STREAM_PATTERN.match(info.stream)


# Closing


def test_closing_ends_the_iteration_from_any_thread_and_twice_does_no_harm(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "a.mp4", 200)), SourceSettings())
    seen = 0
    for _ in source:
        seen += 1
        if seen == 3:
            closer = threading.Thread(target=source.close)
            closer.start()
            closer.join()
    assert seen == 3
    source.close()
    assert list(source) == []


def test_closing_while_another_thread_reads(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "a.mp4", 250)), SourceSettings())
    started = threading.Event()
    ended = threading.Event()

    def read_all() -> None:
        for _ in source:
            started.set()
        ended.set()

    reader = threading.Thread(target=read_all)
    reader.start()
    assert started.wait(10)
    source.close()
    assert ended.wait(10)
    reader.join()


def test_the_real_video(real_data: Path) -> None:
    info, pictures, skipped = read(real_data / "videos" / "car-detection.mp4")
    assert (info.width, info.height, info.rate, info.frame_count, skipped) == (768, 432, Fraction(25, 2), 377, 0)
    assert len(pictures) == 377 and pictures[-1].media_time == pytest.approx(376 * 0.08)


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Nothing keeps a picture alive once it was passed on, neither us nor a cycle that waits for the collector."""
    path = write_video(tmp_path / "a.mp4", 120, rotation=(90, False, False))
    alive: list[weakref.ref[object]] = []
    gc.collect()
    gc.disable()
    try:
        for shown in open_source(str(path), SourceSettings()):
            alive.append(weakref.ref(shown.pixels))
        frames = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
    finally:
        gc.enable()
    assert sum(reference() is not None for reference in alive) <= 1
    assert frames < 20


def test_the_real_video_reads_as_opencv_reads_it(real_data: Path) -> None:
    """So detections are those of everybody else who reads it."""
    path = real_data / "videos" / "car-detection.mp4"
    capture = cv2.VideoCapture(str(path))
    for shown in read(path, max_frames=40)[1]:
        assert np.array_equal(shown.pixels, capture.read()[1])
    capture.release()
