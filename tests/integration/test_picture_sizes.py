"""One limit on the size of pictures, at every kind of source, in every message and in every decoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import cv2
import numpy as np
import pytest

from tests.support.brokers import all_in
from tests.support.runs import make_run
from tests.support.scripted import ScriptedSource, number_of
from tests.support.videos import picture, write_video
from yolotrack import sizes
from yolotrack.broker.base import video_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.config import SourceSettings
from yolotrack.errors import BadPicture, SourceError
from yolotrack.model import FrameLost, Outcome, RunEnded, RunStatus
from yolotrack.roles.publish import publish
from yolotrack.sizes import MAX_JPEG_BYTES, MAX_PIXELS, MAX_SIDE, too_large
from yolotrack.video import camera, jpeg
from yolotrack.video.source import open_source
from yolotrack.video.timing import Selection

SMALL = (160, 120)
LARGE = (320, 240)


@pytest.mark.parametrize(
    ("width", "height", "refused"),
    [
        (1, 1, False),
        (7680, 4320, False),
        (8192, 8192, False),
        (8193, 8192, True),
        (MAX_SIDE, MAX_PIXELS // MAX_SIDE, False),
        (MAX_PIXELS // MAX_SIDE, MAX_SIDE, False),
        (MAX_SIDE + 1, 1, True),
        (1, MAX_SIDE + 1, True),
        (30_000, 30_000, True),
    ],
)
def test_the_limit(width: int, height: int, refused: bool) -> None:
    assert too_large(width, height) is refused


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One below which the larger pictures of these tests are refused, and the smaller ones are not."""
    monkeypatch.setattr(sizes, "MAX_PIXELS", LARGE[0] * LARGE[1] - 1)


def image(path: Path, size: tuple[int, int], number: int = 0) -> Path:
    cv2.imwrite(str(path), picture(number, *size))
    return path


def as_video(folder: Path, suffix: str, size: tuple[int, int]) -> Path:
    return write_video(folder / f"some{suffix}", [picture(number, *size) for number in range(3)])


SOURCES: dict[str, Callable[[Path, tuple[int, int]], str]] = {
    **{
        suffix: lambda folder, size, suffix=suffix: str(as_video(folder, suffix, size))  # type: ignore[misc]
        for suffix in (".mp4", ".mkv", ".avi", ".ts", ".h264")
    },
    "image": lambda folder, size: str(image(folder / "a.png", size)),
    "folder": lambda folder, size: str(image(folder / "a.png", size).parent),
    "glob": lambda folder, size: str(image(folder / "a.jpg", size).parent / "*.jpg"),
}


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_source_is_refused_by_its_size(tmp_path: Path, kind: str) -> None:
    for name, size in (("small", SMALL), ("large", LARGE)):
        (tmp_path / name).mkdir()
        source = SOURCES[kind](tmp_path / name, size)
        if name == "small":
            assert len(list(open_source(source, SourceSettings()))) > 0
        else:
            with pytest.raises(SourceError, match="pictures of 320x240 are too large; scale them down to"):
                open_source(source, SourceSettings())


@pytest.mark.usefixtures("small_limit")
def test_a_camera_is_refused_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        def read(self) -> tuple[bool, np.ndarray]:
            return True, picture(1, *LARGE)

        def get(self, _: int) -> float:
            return 25.0

        def release(self) -> None: ...

    monkeypatch.setattr(camera, "_open", lambda _: Camera())
    with pytest.raises(SourceError, match="camera 0: pictures of 320x240 are too large"):
        camera.CameraReader(0, Selection(0.0, None, 1))


@pytest.mark.usefixtures("small_limit")
def test_later_pictures_too_large_are_passed_over_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, size in enumerate((SMALL, LARGE, (200, 100), LARGE, SMALL)):
        image(tmp_path / f"{number}.png", size, number)
    source = open_source(str(tmp_path), SourceSettings())
    pictures = list(source)
    assert [shown.pixels.shape for shown in pictures] == [(120, 160, 3)] * 3
    assert [round(shown.media_time * 25) for shown in pictures] == [0, 2, 4]
    assert source.skipped == 2
    assert caplog.text.count("pictures of 320x240 are too large") == 1


@pytest.mark.usefixtures("small_limit")
def test_a_stream_that_grows_too_large_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Raw H.264, whose size may change at every keyframe."""
    (small, large) = (as_video(tmp_path, f"-{size[0]}.h264", size).read_bytes() for size in (SMALL, LARGE))
    (tmp_path / "grows.h264").write_bytes(small + large + small)
    source = open_source(str(tmp_path / "grows.h264"), SourceSettings())
    assert [shown.pixels.shape for shown in source] == [(120, 160, 3)] * 6
    assert source.skipped == 3
    assert caplog.text.count("pictures of 320x240 are too large") == 1


# what travels


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, (side, side, 3), dtype=np.uint8) * 255


def test_a_jpeg_too_large_for_a_message_is_made_of_lower_quality_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    jpeg._tell_lowered.cache_clear()
    pixels = noise(256)
    plain = jpeg.encode(pixels, 90)
    sizes_by_quality = [len(jpeg._encoded(pixels, quality)) for quality in (90, *jpeg.LOWER_QUALITIES)]
    assert sizes_by_quality == sorted(sizes_by_quality, reverse=True)
    for limit in sizes_by_quality:
        monkeypatch.setattr(jpeg, "MAX_JPEG_BYTES", limit)
        for _ in range(2):
            assert len(jpeg.encode(pixels, 90)) == limit
    assert len(plain) == sizes_by_quality[0]
    assert caplog.text.count("travel at a lower one") == 1
    monkeypatch.setattr(jpeg, "MAX_JPEG_BYTES", sizes_by_quality[-1] - 1)
    with pytest.raises(BadPicture, match="a picture of 256x256 that no JPEG holds"):
        jpeg.encode(pixels, 90)


def test_the_largest_picture_travels_and_comes_back() -> None:
    """A gradient with noise, about what a photograph is to a JPEG."""
    row = np.arange(8192, dtype=np.uint16)
    pixels = np.empty((8192, 8192, 3), np.uint8)
    pixels[:] = (row // 32)[None, :, None]
    pixels[::2] += np.random.default_rng(1).integers(0, 40, (4096, 8192, 1), dtype=np.uint8)
    sent = jpeg.encode(pixels, 90)
    assert len(sent) <= MAX_JPEG_BYTES
    assert jpeg.decode(sent).shape == (8192, 8192, 3)


def test_a_picture_that_cannot_travel_is_one_failed_frame_and_black_in_the_video() -> None:
    broker, run = MemoryBroker(capacity=64, retain=64), make_run()

    def encode(pixels: np.ndarray) -> bytes:
        number = number_of(pixels)  # 0 is black
        if number in (1, 3):
            raise BadPicture("too much of it")
        return b"%d" % number

    ended = publish(ScriptedSource(5), run, broker, "detections.0", stop=Event(), encode=encode)
    told = all_in(broker, "detections.0")
    lost = [message for message in told if isinstance(message, FrameLost)]
    assert [(one.index, one.outcome, one.reason) for one in lost] == [
        (index, Outcome.FAILED, "too much of it") for index in (1, 3)
    ]
    assert told[-1] == ended == RunEnded(run.run_id, run.stream, 5, RunStatus.COMPLETE)
    entries = iter(broker.read(video_log(run.stream), "start"))
    assert [next(entries).picture for _ in range(5)] == [b"0", b"0", b"2", b"0", b"4"]  # type: ignore[union-attr]
    broker.close()
