"""What the words of options mean."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from yolotrack.cli import app
from yolotrack.cli.compile import cut_of, is_gif, scale_of
from yolotrack.cli.options import id_ranges, media_time
from yolotrack.errors import UsageError
from yolotrack.roles.cut import Cut


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("70", 70.0),
        ("70.25", 70.25),
        ("1:10", 70.0),
        ("00:01:10", 70.0),
        ("0:01:10.5", 70.5),
        ("90:00", 5400.0),
        ("25:00:00", 90000.0),
        (" 5. ", 5.0),
        (".5", 0.5),
    ],
)
def test_a_time(text: str, seconds: float) -> None:
    assert media_time("--from", text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-3", "1:60", "1:60:00", "1:2:3:4", "1e3", ":30", "1:", "nan", "1,5"])
def test_no_time(text: str) -> None:
    with pytest.raises(UsageError, match=r"--to .* is no time: give seconds, as in 70\.5"):
        media_time("--to", text)


def test_ranges_of_ids_hold_both_ends() -> None:
    assert id_ranges("--tracks", "3") == (range(3, 4),)
    assert id_ranges("--tracks", "3, 5:9,7:7") == (range(3, 4), range(5, 10), range(7, 8))
    assert id_ranges("--tracks", ":9, 5:") == (range(10), range(5, 2**31))


@pytest.mark.parametrize("text", ["", "3,", "9:5", "a", "-1", "1-3", "1:2:3", ":"])
def test_no_ids(text: str) -> None:
    with pytest.raises(UsageError, match=r"--tracks .*: name tracks by their numbers, as in 3,5:9"):
        id_ranges("--tracks", text)


def test_a_cut() -> None:
    assert cut_of(None, None) == Cut()
    assert cut_of("1:10", "80") == Cut(70.0, 80.0)
    for begin, end in (("80", "1:10"), ("5", "5"), (None, "0")):
        with pytest.raises(UsageError, match="there is nothing between"):
            cut_of(begin, end)


def test_a_scale() -> None:
    assert scale_of(None) is None
    assert [scale_of(text) for text in ("0.5", ".25", "2", "1280x720")] == [0.5, 0.25, 2.0, (1280, 720)]
    for text in ("0", "-1", "9", "1x720", "1280", "1280x", "99999x2", "half", "50%"):
        with pytest.raises(UsageError, match=r"--scale .*: give a factor"):
            scale_of(text)


def test_a_gif_is_what_is_named_one() -> None:
    assert is_gif(Path("a.gif"), False, None, None) and is_gif(Path("a.GIF"), True, None, None)
    assert not is_gif(Path("a.mp4"), False, "av1", 30)
    for output, gif, codec, crf in (
        ("a.mp4", True, None, None),
        ("a.gif", False, "h264", None),
        ("a.gif", True, None, 0),
    ):
        with pytest.raises(UsageError):
            is_gif(Path(output), gif, codec, crf)


README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
COMPILE = typer.main.get_command(app).commands["compile"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("line", re.findall(r"(?m)^yolotrack compile (.+)$", README))
def test_the_examples_of_the_readme_are_understood(line: str) -> None:
    options = COMPILE.make_context("compile", shlex.split(line, comments=True)).params

    assert cut_of(options["begin"], options["end"]).end > 0
    assert scale_of(options["scale"]) != 0.0
    is_gif(options["output"], options["gif"], options["codec"], options["crf"])
    assert options["tracks"] is None or id_ranges("--tracks", options["tracks"])


def test_every_option_of_compile_that_shapes_a_video_is_in_the_readme() -> None:
    shared = {"--config", "--db", "--log-level", "--quiet", "--broker", "--namespace", "--timeout", "--overwrite"}
    own = [parameter.opts for parameter in COMPILE.params if parameter.opts[0] not in shared]

    assert [names for names in own if not any(re.search(rf"[` ]{name}\b", README) for name in names)] == []
