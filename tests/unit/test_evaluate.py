"""Scores against ground truth, and MOT text."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from yolotrack.errors import SourceError
from yolotrack.evaluate import MotBoxes, Scores, evaluate, read_mot
from yolotrack.formats.rows import batches_of
from yolotrack.formats.writers import write_rows

NOTHING = MotBoxes.from_rows([])


def row(frame: int, track_id: int, left: float, confidence: float = 1.0) -> tuple[float, ...]:
    """A box of 10 x 10."""
    return frame, track_id, left, 0.0, left + 10.0, 10.0, confidence


TWO_OBJECTS = MotBoxes.from_rows([row(frame, track_id, 100.0 * track_id) for frame in range(4) for track_id in (1, 2)])


def test_the_truth_is_perfect() -> None:
    scores = evaluate(TWO_OBJECTS, TWO_OBJECTS)
    ratios = {field.name: getattr(scores, field.name) for field in fields(Scores) if field.type == "float"}
    assert set(ratios.values()) == {1.0}
    assert (scores.id_switches, scores.false_positives, scores.misses, scores.fragmentations) == (0, 0, 0, 0)
    assert (scores.mostly_tracked, scores.mostly_lost) == (2, 0)


def test_a_case_by_hand() -> None:
    """Object 1 is followed by 7, then by 8; object 2 by 9 in three of its four frames; 5 is a ghost."""
    tracks = MotBoxes.from_rows(
        [row(0, 7, 100), row(1, 7, 100), row(2, 8, 100), row(3, 8, 100)]
        + [row(frame, 9, 200) for frame in (0, 1, 3)]
        + [row(2, 5, 900)]
    )
    scores = evaluate(TWO_OBJECTS, tracks)
    assert (scores.misses, scores.false_positives, scores.id_switches, scores.fragmentations) == (1, 1, 1, 1)
    assert scores.mota == pytest.approx(1 - 3 / 8)
    assert scores.motp == scores.precision + 1 / 8 == 1.0
    assert scores.recall == pytest.approx(7 / 8)
    # identity: 1 is 7 (or 8) in two frames, 2 is 9 in three: 5 of 8 on both sides
    assert (scores.idf1, scores.idp, scores.idr) == pytest.approx((5 / 8,) * 3)
    # HOTA: 7 matches, 1 miss, 1 false; a match of 7 or 8 has 2/(4+2-2), one of 9 has 3/(4+3-3)
    assert scores.deta == pytest.approx(7 / 9)
    assert scores.assa == pytest.approx((4 * 2 / 4 + 3 * 3 / 4) / 7)
    assert scores.hota == pytest.approx((scores.deta * scores.assa) ** 0.5)


def test_overlap_decides_what_is_found() -> None:
    shifted = MotBoxes.from_rows([row(frame, 1, 104.0) for frame in range(4)])  # IoU 6 / 14
    truth = MotBoxes.from_rows([row(frame, 1, 100.0) for frame in range(4)])
    assert evaluate(truth, shifted).misses == 4
    assert evaluate(truth, shifted, iou=0.4).misses == 0
    assert evaluate(truth, shifted, iou=0.4).motp == pytest.approx(6 / 14)


def test_ignored_truth_is_neither_missed_nor_a_false_alarm() -> None:
    ignored = MotBoxes.from_rows([row(frame, 3, 300.0, 0.0) for frame in range(4)])
    truth = MotBoxes(*(np.concatenate(pair) for pair in zip(parts(TWO_OBJECTS), parts(ignored), strict=True)))
    on_ignored = [row(frame, 4, 301.0) for frame in range(4)]
    beside_it = [row(frame, 5, 306.0) for frame in range(4)]
    assert evaluate(truth, TWO_OBJECTS) == evaluate(TWO_OBJECTS, TWO_OBJECTS)
    found = MotBoxes.from_rows([*rows(TWO_OBJECTS), *on_ignored, *beside_it])
    assert evaluate(truth, found).false_positives == 4, "only those beside it"
    assert evaluate(truth, found).misses == 0


def test_a_box_goes_to_the_truth_that_counts_first() -> None:
    """An ignored object stands next to one that counts; each has its box, and only the better matches pair."""
    truth = MotBoxes.from_rows([row(0, 1, 100.0), row(0, 2, 103.0, 0.0)])
    scores = evaluate(truth, MotBoxes.from_rows([row(0, 1, 100.0), row(0, 2, 103.0)]))
    assert (scores.misses, scores.false_positives, scores.mota) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("truth", "found", "misses", "false_positives"),
    [(NOTHING, NOTHING, 0, 0), (TWO_OBJECTS, NOTHING, 8, 0), (NOTHING, TWO_OBJECTS, 0, 8)],
)
def test_nothing_is_a_result_too(truth: MotBoxes, found: MotBoxes, misses: int, false_positives: int) -> None:
    scores = evaluate(truth, found)
    assert (scores.misses, scores.false_positives, scores.hota, scores.idf1) == (misses, false_positives, 0.0, 0.0)


def test_ids_and_the_order_of_rows_do_not_matter() -> None:
    far = MotBoxes.from_rows([(r[0], r[1] * 1_000_003, *r[2:]) for r in reversed(rows(TWO_OBJECTS))])
    assert evaluate(TWO_OBJECTS, far) == evaluate(TWO_OBJECTS, TWO_OBJECTS)


def test_an_id_twice_in_a_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text("3,7,0,0,9,9,1\n3,7,5,5,9,9,1\n")
    with pytest.raises(SourceError, match=r"tracks\.txt: id 7 is there more than once in frame 2"):
        evaluate(TWO_OBJECTS, path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    sides = dict.fromkeys(("x_min", "y_min", "x_max", "y_max"), float)
    seen = [(0, 2, 10.5, 20.25, 30.0, 50.0, 0.75), (4, 1, -3.0, 0.0, 7.0, 8.125, 0.75)]
    batches = list(batches_of(seen, {"frame": int, "tracker_id": int, **sides, "confidence": float}))
    with path.open("wb") as file:
        write_rows("mot", file, batches)
    assert path.read_text() == "1,2,10.5,20.25,19.5,29.75,0.75,-1,-1,-1\n5,1,-3,0,10,8.125,0.75,-1,-1,-1\n"
    assert rows(read_mot(path)) == rows(MotBoxes.selected(batches)) == seen
    assert evaluate(path, MotBoxes.selected(batches)).hota == 1.0


def test_the_dialects_of_mot_text(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1, 5, 1, 2, 3, 4\n\n2.0,5,1,2,3,4,0,1,0.5\n 3,5,1,2,3,4,1,-1,-1,-1,\n")
    boxes = read_mot(path)
    assert boxes.frame.tolist() == [0, 1, 2]
    assert boxes.confidence.tolist() == [1.0, 0.0, 1.0]
    assert boxes.xyxy.tolist() == [[1, 2, 4, 6]] * 3


def test_an_empty_file_has_no_boxes(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("")
    assert len(read_mot(tmp_path / "none.txt").frame) == 0


@pytest.mark.parametrize("line", ["frame,id,left", "1,1,2,3", "0,1,2,3,4,5", "1,1,nan,3,4,5", "1;1;2;3;4;5"])
def test_what_is_no_mot_text_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "gt.txt"
    path.write_text(f"1,1,2,3,4,5\n{line}\n")
    with pytest.raises(SourceError, match=r"gt\.txt, line 2: "):
        read_mot(path)


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.txt").write_bytes(b"\xff\xd8\xff\xe0")
    for path in (tmp_path / "absent.txt", tmp_path, tmp_path / "picture.txt"):
        with pytest.raises(SourceError, match=f"cannot read {path}"):
            read_mot(path)


def test_real_truth_is_perfect_and_real_detections_are_not(real_data: Path) -> None:
    """TUD-Campus has 359 boxes of 8 people."""
    folder = real_data / "mot" / "TUD-Campus"
    perfect = evaluate(folder / "gt.txt", folder / "gt.txt")
    assert (perfect.hota, perfect.mota, perfect.idf1, perfect.mostly_tracked) == (1.0, 1.0, 1.0, 8)
    assert evaluate(folder / "gt.txt", NOTHING).misses == 359


def parts(boxes: MotBoxes) -> tuple[np.ndarray, ...]:
    return boxes.frame, boxes.track_id, boxes.xyxy, boxes.confidence


def rows(boxes: MotBoxes) -> list[tuple[float, ...]]:
    return [
        (frame, track_id, *xyxy, confidence)
        for frame, track_id, xyxy, confidence in zip(*(part.tolist() for part in parts(boxes)), strict=True)
    ]
