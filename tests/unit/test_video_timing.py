"""Times that increase, the pictures that are chosen, the names of streams, and shapes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from yolotrack.model import STREAM_PATTERN
from yolotrack.video import names
from yolotrack.video.fit import even, fit, orient
from yolotrack.video.timing import Clock, Selection

MS = Fraction(1, 1000)


def ticked(stamps: list[int | None], origin: int | None = 0, rate: int | None = 25) -> list[float]:
    clock = Clock(MS, origin, None if rate is None else Fraction(rate))
    return [clock.time(stamp) for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 40, 80], [0, 0.04, 0.08]),
        ([None, None, None], [0, 0.04, 0.08]),
        ([0, None, 90], [0, 0.04, 0.09]),
        ([0, 40, 40, 39, 120], [0, 0.04, 0.041, 0.042, 0.12]),
        ([-20, 20, 60], [0, 0.04, 0.08]),
        ([0, 40, 5000, 0, 40, 80], [0, 0.04, 5.0, 5.04, 5.08, 5.12]),
    ],
)
def test_times_increase_by_as_little_as_it_takes(stamps: list[int | None], expected: list[float]) -> None:
    assert ticked(stamps) == pytest.approx(expected)


def test_without_an_origin_the_first_picture_is_the_start() -> None:
    assert ticked([700, 740], origin=None) == pytest.approx([0, 0.04])
    assert ticked([None, None], origin=None, rate=None) == pytest.approx([0, 0.04])


def chosen(selection: Selection, count: int = 100) -> list[int]:
    return [item for _, item in selection.pick((number / 10, number) for number in range(count))]


def test_a_selection_takes_every_nth_from_its_start_to_before_its_end() -> None:
    assert chosen(Selection()) == list(range(100))
    assert chosen(Selection(start=1.0, end=2.0, stride=3)) == [10, 13, 16, 19]
    assert chosen(Selection(start=99)) == []


@pytest.mark.parametrize(
    "selection", [Selection(), Selection(1.0, 2.0, 3), Selection(99), Selection(0.05, 55.0, 7), Selection(2.0, 1.0)]
)
def test_a_selection_knows_about_how_many_it_takes(selection: Selection) -> None:
    assert selection.count(100, Fraction(10)) == len(chosen(selection))
    assert selection.count(None, Fraction(10)) is None


def test_a_selection_looks_no_further_than_its_end() -> None:
    def endless() -> object:
        for number in range(10):
            assert number <= 5
            yield number, number

    assert [item for _, item in Selection(end=5).pick(endless())] == [0, 1, 2, 3, 4]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("car-detection", "car-detection"),
        ("my holiday  2024", "my-holiday-2024"),
        ("..hidden", "hidden"),
        ("-_.x", "x"),
        ("Caf\u00e9 (1)", "Cafe-1"),
        ("\u6771\u4eac", "stream"),
        ("", "stream"),
        ("a" * 99, "a" * 64),
        ("clip[1]", "clip-1"),
    ],
)
def test_streams_are_named_after_anything(text: str, name: str) -> None:
    assert names.sanitise(text) == name
    assert STREAM_PATTERN.match(name)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://me:pw@cam.local:554/stream1", "cam.local-stream1"),
        ("http://host/a/b%20c.mp4?token=1", "b-c"),
        ("rtsp://cam.local", "cam.local"),
        ("http://10.0.0.7/", "10.0.0.7"),
    ],
)
def test_streams_of_urls(url: str, name: str) -> None:
    assert names.url_stream(url) == name


def test_streams_of_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "some frames"
    here.mkdir()
    monkeypatch.chdir(here)
    assert names.folder_stream(Path()) == "some-frames"
    assert names.split_glob("a/b/*.png") == (Path("a/b"), "*.png")
    assert names.split_glob("/a/cam?/img*.jpg") == (Path("/a"), "cam?/img*.jpg")
    assert names.split_glob("*.png") == (Path(), "*.png")


def test_a_picture_is_letterboxed_whole_and_centred() -> None:
    tall = np.full((200, 100, 3), 255, np.uint8)
    boxed = fit(tall, 200, 100)
    assert boxed.shape == (100, 200, 3)
    assert (boxed[:, 75:125] == 255).all() and not boxed[:, :75].any() and not boxed[:, 125:].any()
    assert fit(tall, 100, 200) is tall
    assert fit(np.full((1, 999, 3), 9, np.uint8), 50, 50).shape == (50, 50, 3)


def test_even_repeats_the_border() -> None:
    odd = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    padded = even(odd)
    assert padded.shape == (6, 8, 3) and (padded[:5, :7] == odd).all()
    assert (padded[5, :7] == odd[4]).all() and (padded[:5, 7] == odd[:, 6]).all()
    assert even(padded) is padded


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_orientation(turns: int) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    sine, cosine = [(0, 1), (1, 0), (0, -1), (-1, 0)][turns]
    matrix = [65536 * cosine, -65536 * sine, 0, 65536 * sine, 65536 * cosine, 0, 0, 0, 1 << 30]
    assert (orient(pixels, matrix) == np.rot90(pixels, turns)).all()
