"""Forms that rows are written in: what text has to be quoted, what is as short as can be, what comes of no rows."""

from __future__ import annotations

import configparser
import csv
import gc
import io
import json
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from yolotrack.errors import OutputError
from yolotrack.formats.coco import Image, Video, write_coco
from yolotrack.formats.mot import MotWriter, write_sequence
from yolotrack.formats.mot import Sequence as MotSequence
from yolotrack.formats.rows import arranged, batches_of
from yolotrack.formats.writers import write_rows

MOMENT = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=timezone.utc)
ROWS = [("plain", 1, 0.5, MOMENT), ('a "comma", and\nmore', 2, 0.00025, MOMENT), ("Zürich 🚗", None, None, None)]
COLUMNS = {"name": str, "count": int, "size": float, "at": datetime}


def written(style: str, *batches: pa.RecordBatch) -> bytes:
    """Everything that a writer made of the batches."""
    file = io.BytesIO()
    write_rows(style, file, batches)
    return file.getvalue()


def observed(**columns: Sequence[Any]) -> pa.RecordBatch:
    """Observations of track 1, a frame each."""
    count = len(next(iter(columns.values())))
    values = {"run_id": ["r"], "frame": [0], "tracker_id": [1], "class_id": [2], "class_name": ["car"]}
    sides = {"confidence": [0.5], "x_min": [1.25], "y_min": [2.0], "x_max": [11.75], "y_max": [12.0]}
    floats = {name: pa.array(columns.get(name, value * count), pa.float32()) for name, value in sides.items()}
    return pa.record_batch({name: columns.get(name, value * count) for name, value in values.items()} | floats)


@pytest.mark.parametrize("parts", [1, 3])
def test_every_form_of_text_keeps_every_value(parts: int) -> None:
    pieces = [ROWS] if parts == 1 else [[row] for row in ROWS]
    batches = [batch for piece in pieces for batch in batches_of(piece, COLUMNS)]
    expected = [(name, count, size, at and at.isoformat()) for name, count, size, at in ROWS]
    rows = list(csv.DictReader(io.StringIO(written("csv", *batches).decode(), newline="")))
    texts = [tuple("" if value is None else str(value) for value in row) for row in expected]
    assert [tuple(row.values()) for row in rows] == texts
    assert [tuple(row.values()) for row in json.loads(written("json", *batches))] == expected
    assert [tuple(json.loads(line).values()) for line in written("jsonl", *batches).splitlines()] == expected
    assert pq.read_table(io.BytesIO(written("parquet", *batches))).to_pylist() == [
        dict(zip(COLUMNS, row, strict=True)) for row in ROWS
    ]


def test_csv_is_bare_where_nothing_has_to_be_quoted() -> None:
    [batch] = batches_of(ROWS[:1], COLUMNS)
    assert written("csv", batch) == b"name,count,size,at\nplain,1,0.5,2026-01-01T12:00:00.000001+00:00\n"


def test_float32_is_as_short_as_it_reads_back_exactly() -> None:
    values = np.array([0.1, 1 / 3, 16777216, 1e-20, 123.456], np.float32)
    batch = pa.record_batch({"x": pa.array(values)})
    texts = written("csv", batch).decode().split()[1:]
    assert texts[:2] == ["0.1", "0.33333334"]
    assert np.array_equal(np.array(texts, np.float32), values)
    assert [np.float32(row["x"]) for row in json.loads(written("json", batch))] == list(values)


@pytest.mark.parametrize(
    ("style", "expected"), [("csv", b"name,count,size,at\n"), ("json", b"[]\n"), ("jsonl", b""), ("parquet", None)]
)
def test_no_rows(style: str, expected: bytes | None) -> None:
    found = written(style, *batches_of([], COLUMNS))
    if expected is None:
        assert pq.read_table(io.BytesIO(found)).column_names == list(COLUMNS)
    else:
        assert found == expected


def test_parquet_gathers_rows_in_large_groups() -> None:
    batches = list(batches_of(((str(n), n, n / 2, MOMENT) for n in range(300_000)), COLUMNS))
    assert len(batches) == 30
    file = pq.ParquetFile(io.BytesIO(written("parquet", *batches)))
    groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    assert groups == [140_000, 140_000, 20_000]


@pytest.mark.parametrize("style", ["csv", "json", "jsonl", "parquet"])
def test_who_gives_up_is_told_nothing_more(style: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def batches() -> Any:
        yield from batches_of(((str(n), n, n / 2, MOMENT) for n in range(150_000)), COLUMNS)
        raise KeyboardInterrupt

    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with pytest.raises(KeyboardInterrupt), (tmp_path / "rows").open("wb") as file:
        write_rows(style, file, batches())
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize(("published", "length"), [(3, "10"), (12, "12")])
def test_a_sequence_is_as_long_as_its_last_row_at_least(tmp_path: Path, published: int, length: str) -> None:
    """A run that goes on has more frames than when it was looked up."""
    sequence = MotSequence("cam-1", "cam", published, 640, 360, Fraction(25))
    write_sequence(tmp_path, sequence, [observed(frame=[0, 9]), observed(frame=[4]), observed(frame=[])])
    information = configparser.ConfigParser()
    information.read(tmp_path / "seqinfo.ini")
    assert information["Sequence"]["seqLength"] == length


def test_mot_counts_frames_from_one_and_rounds_boxes() -> None:
    assert written("mot", observed(frame=[0, 9], x_max=[1 / 3 + 1.25, 2.0])) == (
        b"1,1,1.25,2,0.333,10,0.5,-1,-1,-1\n10,1,1.25,2,0.75,10,0.5,-1,-1,-1\n"
    )
    file = io.BytesIO()
    MotWriter(file).write(observed(frame=[]))
    assert file.getvalue() == b""


def test_coco_refuses_two_names_of_one_class() -> None:
    videos = [Video("r", "a", 10, 10)]
    with pytest.raises(OutputError, match="class 2 is car in one run and bus in another"):
        write_coco(io.BytesIO(), videos, [observed(class_name=["car", "bus"])], [])


def test_coco_numbers_the_frames_of_every_video_differently() -> None:
    videos = [Video("r", "a", 10, 10), Video("s", "b", 10, 10)]
    file = io.BytesIO()
    images = [Image(run, frame, frame / 25) for run in "rs" for frame in range(3)]
    write_coco(file, videos, [observed(run_id=["r", "s"], frame=[0, 2])], images)
    data = json.loads(file.getvalue())
    ids = {(image["video_id"], image["frame_id"]): image["id"] for image in data["images"]}
    assert sorted(ids.values()) == [1, 2, 3, 4, 5, 6]
    assert [seen["image_id"] for seen in data["annotations"]] == [ids[1, 0], ids[2, 2]]


def test_rows_are_arranged_and_limited() -> None:
    def batches() -> Any:
        return (batch for n in range(3) for batch in batches_of([("x", n, float(-n % 2), MOMENT)] * 2, COLUMNS))

    def counts(order: Sequence[str], limit: int | None) -> list[int]:
        return [row["count"] for batch in arranged(batches(), order, limit) for row in batch.to_pylist()]

    assert counts((), None) == [0, 0, 1, 1, 2, 2]
    assert counts((), 3) == [0, 0, 1]
    assert counts(("-count",), 3) == [2, 2, 1]
    assert counts(("-size", "count"), None) == [1, 1, 0, 0, 2, 2]
    assert next(arranged(batches_of([], COLUMNS), ("count",), 5)).num_rows == 0
