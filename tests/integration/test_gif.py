"""Real GIFs, written and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.videos import number_of, picture
from yolotrack.errors import OutputError
from yolotrack.video.base import Sink
from yolotrack.video.gif import open_gif


def opened(path: Path, size: tuple[int, int] = (160, 120), overwrite: bool = False) -> Sink:
    return open_gif(path, width=size[0], height=size[1], overwrite=overwrite)


def write(path: Path, times: list[float], size: tuple[int, int] = (160, 120)) -> None:
    sink = opened(path, size)
    for number, time in enumerate(times):
        sink.write(picture(number, *size), time)
    sink.close()


def look(path: Path) -> tuple[list[int], list[int]]:
    """The numbers of its pictures, and how many milliseconds each stays."""
    numbers, stays = [], []
    with Image.open(path) as image:
        for frame in range(image.n_frames):
            image.seek(frame)
            numbers.append(number_of(np.asarray(image.convert("RGB"))))
            stays.append(image.info["duration"])
    return numbers, stays


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("rate", "stride"), [(25, 2), (12.5, 1), (50, 4), (10, 1), (5, 1)])
def test_pictures_come_at_most_every_eight_hundredths_and_last_as_long(
    tmp_path: Path, rate: float, stride: int
) -> None:
    write(tmp_path / "out.gif", [61.48 + number / rate for number in range(40)])

    numbers, stays = look(tmp_path / "out.gif")

    assert numbers == list(range(0, 40, stride))
    assert sum(stays) == pytest.approx(1000 * 40 / rate, abs=10)
    assert set(stays) == {round(1000 * stride / rate)}
    assert names_in(tmp_path) == ["out.gif"]


def test_a_rate_that_does_not_fit_keeps_its_length(tmp_path: Path) -> None:
    write(tmp_path / "out.gif", [number * 1001 / 30000 for number in range(90)])

    numbers, stays = look(tmp_path / "out.gif")

    assert numbers[0] == 0 and np.diff(numbers).max() == 3 and 36 <= len(numbers) <= 38
    assert sum(stays) == pytest.approx(3003, abs=10)


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    write(tmp_path / "out.gif", [0.0, 0.1, 1.5, 1.6, 1.7])

    assert look(tmp_path / "out.gif") == ([0, 1, 2, 3, 4], [100, 1400, 100, 100, 100])


def test_colours_come_from_the_whole_clip(tmp_path: Path) -> None:
    colours = [(30, 40, 220), (40, 200, 60), (230, 60, 30)]
    sink = opened(tmp_path / "out.gif")
    for number, colour in enumerate(colours):
        pixels = np.full((120, 160, 3), colour, np.uint8)
        pixels[:60] = picture(number)[:60]
        sink.write(pixels, number / 10)
    sink.close()

    with Image.open(tmp_path / "out.gif") as image:
        assert image.info["loop"] == 0, "it goes round for ever"
        for number, colour in enumerate(colours):
            image.seek(number)
            shown = np.asarray(image.convert("RGB"))[70:, :].reshape(-1, 3).mean(axis=0)
            assert shown == pytest.approx(colour[::-1], abs=12)


def test_odd_sizes_and_other_sizes(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.gif", (161, 119))
    sink.write(picture(5, 161, 119), 0.0)
    sink.write(np.full((300, 100, 3), 200, np.uint8), 0.1)
    sink.close()

    with Image.open(tmp_path / "out.gif") as image:
        assert image.size == (161, 119)
        image.seek(1)
        shown = np.asarray(image.convert("L"))
    assert shown[60, 80] > 180 and shown[60, 10] < 25


def test_one_picture(tmp_path: Path) -> None:
    write(tmp_path / "out.gif", [3.0])
    with Image.open(tmp_path / "out.gif") as image:
        assert number_of(np.asarray(image.convert("RGB"))) == 0


def test_a_long_one_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.gif", (32, 24))
    for number in range(300):
        sink.write(picture(number, 32, 24), number / 10)

    with pytest.raises(OutputError, match="a GIF is 30 s long at most; choose a part with --from and --to") as caught:
        sink.write(picture(300, 32, 24), 30.0)

    assert "\n" not in str(caught.value)
    sink.close()
    assert names_in(tmp_path) == []


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "old.gif").write_bytes(b"precious")
    for name, match in {
        "old.gif": "it exists",
        "no/out.gif": "there is no folder",
        "out.mp4": "in one of .gif",
    }.items():
        with pytest.raises(OutputError, match=match):
            opened(tmp_path / name)
    assert names_in(tmp_path) == ["old.gif"]


def test_nothing_looks_complete_before_close_and_abort_leaves_nothing(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.gif")
    sink.write(picture(0), 0.0)
    assert names_in(tmp_path) == []
    sink.abort()
    sink.abort()
    sink.close()
    assert names_in(tmp_path) == []


def test_overwriting_happens_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    path.write_bytes(b"old")
    sink = opened(path, overwrite=True)
    sink.write(picture(7), 0.0)
    assert path.read_bytes() == b"old"
    sink.close()
    assert look_first(path) == 7


def look_first(path: Path) -> int:
    with Image.open(path) as image:
        return number_of(np.asarray(image.convert("RGB")))


def test_no_pictures_no_file(tmp_path: Path) -> None:
    sink = opened(tmp_path / "out.gif")
    with pytest.raises(OutputError, match="there were no pictures"):
        sink.close()
    assert names_in(tmp_path) == []
