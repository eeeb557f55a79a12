"""What the options of `yolotrack db` say, out of text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from yolotrack.cli.db import ranges
from yolotrack.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("70:80", (70, 80)),
        ("70-80", (70, 80)),
        ("1.5:2.25", (1.5, 2.25)),
        ("1:10-1:20", (70, 80)),
        ("1:10:1:20", (70, 80)),
        ("00:01:10:00:01:20", (70, 80)),
        ("00:01:10-00:01:20.5", (70, 80.5)),
        ("70-1:20", (70, 80)),
        ("100:00-101:00", (6000, 6060)),
        ("70:", (70, None)),
        ("70-", (70, None)),
        ("1:10:", (70, None)),
        ("0:01:10:", (70, None)),
        (":80", (None, 80)),
        ("-1:20", (None, 80)),
        (":00:01:20", (None, 80)),
        (" 1 - 2 ", (1, 2)),
        (".5-1.", (0.5, 1)),
    ],
)
def test_times(text: str, expected: tuple[float | None, float | None]) -> None:
    assert ranges.parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", ":", "-", "70", "1:10:20", "1:2:3:4:5", "80:70", "70:70", "a:b", "1:61-2:00", "1:60:00-2:00:00", "1-2-3"],
)
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--time"):
        ranges.parse_time(text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["7"], ((7, 7),)),
        (["3:9"], ((3, 9),)),
        (["3:"], ((3, 2**31 - 1),)),
        ([":9"], ((0, 9),)),
        (["1,3:4", "9"], ((1, 1), (3, 4), (9, 9))),
        (["3:99999999999999999999"], ((3, 2**31 - 1),)),
        (["99999999999999999999"], ((2**31 - 1, 2**31 - 1),)),
        (["5000000000:6000000000"], ((2**31 - 1, 2**31 - 1),)),
    ],
)
def test_tracks(texts: list[str], expected: tuple[tuple[int, int], ...]) -> None:
    assert ranges.parse_tracks(texts) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100:200", (100, 200)),
        ("100:", (100, None)),
        (":200", (None, 200)),
        ("100", (100, 101)),
        ("100:9999999999", (100, 2**31 - 1)),
        ("99999999999999999999:", (2**31 - 1, None)),
        ("99999999999999999999", (2**31 - 1, 2**31 - 1)),
    ],
)
def test_frames(text: str, expected: tuple[int | None, int | None]) -> None:
    assert ranges.parse_frames(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T18:30Z", datetime(2026, 3, 1, 18, 30, tzinfo=timezone.utc)),
        ("2026-03-01T18:30:05.25+02:00", datetime(2026, 3, 1, 16, 30, 5, 250_000, tzinfo=timezone.utc)),
        ("2026-03-01 18:30", datetime(2026, 3, 1, 18, 30).astimezone()),
        ("2026-03-01", datetime(2026, 3, 1).astimezone()),
    ],
)
def test_instants(text: str, expected: datetime) -> None:
    found = ranges.parse_instant(text, "--since")
    assert found == expected
    assert found.tzinfo is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30d", timedelta(30)), ("12h", timedelta(hours=12)), ("2w", timedelta(14)), ("90M", timedelta(minutes=90))],
)
def test_ages(text: str, expected: timedelta) -> None:
    assert ranges.parse_age(text) == expected


def test_boxes_classes_and_orders() -> None:
    assert ranges.parse_box("1,2,3.5,4") == (1, 2, 3.5, 4)
    assert ranges.parse_classes(["person, car", "2"]) == ("person", "car", 2)
    assert ranges.parse_order("-confidence,frame", ("frame", "confidence")) == ("-confidence", "frame")


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (lambda text: ranges.parse_tracks([text]), "9:3", "--track-id '9:3': name tracks"),
        (lambda text: ranges.parse_tracks([text]), "3,", "--track-id ''"),
        (lambda text: ranges.parse_tracks([text]), "-1", "--track-id"),
        (lambda text: ranges.parse_tracks([text]), "one", "--track-id"),
        (ranges.parse_frames, "9:3", "--frames 9:3"),
        (ranges.parse_frames, "3:3", "--frames 3:3"),
        (ranges.parse_frames, ":", "--frames"),
        (ranges.parse_frames, "5000000000:5000000000", "--frames 5000000000"),
        (lambda text: ranges.parse_instant(text, "--since"), "0001-01-01", "--since"),
        (lambda text: ranges.parse_instant(text, "--until"), "yesterday", "--until"),
        (ranges.parse_age, "30", "--older-than"),
        (ranges.parse_age, "99999999999w", "--older-than"),
        (ranges.parse_box, "1,2,3", "--box"),
        (ranges.parse_box, "3,2,1,4", "--box"),
        (ranges.parse_box, "nan,0,1,1", "--box"),
        (lambda text: ranges.parse_order(text, ("frame", "confidence")), "-confidense", "did you mean confidence"),
        (lambda text: ranges.parse_order(text, ("frame", "confidence")), "zzz", "there are frame, confidence"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(parse: Callable[[str], Any], text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text)
