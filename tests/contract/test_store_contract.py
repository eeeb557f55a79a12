"""The contract of stores, as `store/base.py` words it, over every implementation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import supervision as sv

from tests.support.stores import BEGIN, batch_of, box_of, claimed, dump, lost, make_run, tracked, wandering
from tests.support.waiting import Background
from yolotrack.config import DatabaseSettings
from yolotrack.errors import Fenced, NotFound, StoreError
from yolotrack.model import FrameTracks, Ledger, Outcome, Run, RunStatus
from yolotrack.store import statements
from yolotrack.store.base import Batch, Checkpoint, Store
from yolotrack.store.sql import open_store

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A fresh store, in a database of each kind."""
    opened = open_store(DatabaseSettings(url=database_url))
    yield opened
    opened.close()


# -- runs


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(25), None])
def test_a_run_comes_back_as_it_went_in(store: Store, rate: Fraction | None) -> None:
    run = make_run("gate-1", rate=rate)
    store.start_run(run)
    record = store.find_run(run.run_id)
    assert record.run == run
    assert (record.status, record.ended_at, record.tracks) == (RunStatus.RUNNING, None, 0)
    assert record.ledger == Ledger(0, 0, 0, 0)


def test_starting_a_run_again_changes_nothing(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.commit(claim, batch_of([tracked(run, 0)], b"state"))
    store.end_run(claim, RunStatus.COMPLETE, 1)
    before = dump(store)
    store.start_run(make_run("another", run_id=run.run_id))
    assert dump(store) == before
    assert store.claim(run.run_id).checkpoint == Checkpoint(1, 0, b"state")


def test_times_keep_their_moment_and_come_back_in_utc(store: Store) -> None:
    run = make_run()
    there = (BEGIN + timedelta(microseconds=123_457)).astimezone(timezone(timedelta(hours=-7)))
    frame = tracked(run, 0)
    store.commit(claimed(store, run), batch_of([_evolve(frame, captured_at=there)]))
    [row, _] = store.observations(run.run_id)
    assert row.captured_at == there
    assert row.captured_at.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    before = dump(store)
    with pytest.raises(StoreError):
        store.commit(claim, batch_of([_evolve(tracked(run, 0), captured_at=BEGIN.replace(tzinfo=None))]))
    assert dump(store) == before


def test_runs_are_listed_oldest_first(store: Store) -> None:
    for minute in (2, 0, 1):
        store.start_run(make_run(f"cam-{minute}", minute=minute))
    assert [record.run.stream for record in store.runs()] == ["cam-0", "cam-1", "cam-2"]


def test_runs_of_one_status_are_listed_oldest_first(store: Store) -> None:
    for minute in (4, 2, 0, 1, 3):
        claim = claimed(store, run := make_run(f"cam-{minute}", minute=minute))
        store.commit(claim, batch_of([tracked(run, 0)]))
        if minute % 2:
            store.end_run(claim, RunStatus.COMPLETE, 1)
    listed = {status: [record.run.stream for record in store.runs(status)] for status in RunStatus}
    assert listed[RunStatus.RUNNING] == ["cam-0", "cam-2", "cam-4"]
    assert listed[RunStatus.COMPLETE] == ["cam-1", "cam-3"]
    assert listed[RunStatus.INTERRUPTED] == []
    assert [record.tracks for record in store.runs(RunStatus.RUNNING)] == [2] * 3


def test_ending_a_run_sets_status_time_and_published(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.commit(claim, batch_of([tracked(run, 0)]))
    store.end_run(claim, RunStatus.INTERRUPTED, 3)
    record = store.find_run(run.run_id)
    assert record.status is RunStatus.INTERRUPTED
    assert record.ended_at is not None
    assert record.ended_at > run.started_at
    assert record.ledger == Ledger(published=3, tracked=1, failed=0, dropped=0)


# -- finding a run


def test_a_run_is_found_by_id_by_beginning_and_as_latest(store: Store) -> None:
    for minute, run_id in ((1, "aa10"), (0, "aa20"), (2, "bb10"), (-1, "aa1")):
        store.start_run(make_run(run_id=run_id, minute=minute))
    assert store.find_run("aa2").run.run_id == "aa20"
    assert store.find_run("b").run.run_id == "bb10"
    assert store.find_run("latest").run.run_id == "bb10"
    assert store.find_run("aa1").run.run_id == "aa1", "an exact id names its run, whatever begins with it"


def test_a_beginning_of_several_ids_is_refused_with_their_names(store: Store) -> None:
    for run_id in ("aa10", "aa20", "bb10"):
        store.start_run(make_run(run_id=run_id))
    with pytest.raises(NotFound, match=r"'aa'.*(aa10.*aa20|aa20.*aa10)"):
        store.find_run("aa")


@pytest.mark.parametrize("name", ["cc", "%", "_", "a_10", "AA10x"])
def test_a_run_that_is_not_there_is_told_with_what_is(store: Store, name: str) -> None:
    store.start_run(make_run("gate", run_id="aa10"))
    with pytest.raises(NotFound, match=r"aa10 \(gate\)"):
        store.find_run(name)


def test_an_empty_store_has_no_latest_run(store: Store) -> None:
    assert list(store.runs()) == []
    with pytest.raises(NotFound, match="no runs yet"):
        store.find_run("latest")


def test_questions_about_an_unknown_run_are_refused_at_once(store: Store) -> None:
    for ask in (store.observations, store.tracks, store.outcomes, store.claim):
        with pytest.raises(NotFound, match="nope"):
            store.start_run(make_run())
            ask("nope")


# -- owning a run


def test_a_claim_returns_the_checkpoint_exactly(store: Store) -> None:
    run = make_run()
    first = claimed(store, run)
    assert first.checkpoint == Checkpoint()
    state = bytes(range(256)) * 100
    store.commit(first, Batch((tracked(run, 0), tracked(run, 1)), Checkpoint(2, 1, state), 5))
    second = store.claim(run.run_id)
    assert second.checkpoint == Checkpoint(2, 1, state)
    assert second.epoch == first.epoch + 1
    assert second.record == store.find_run(run.run_id)


def test_an_earlier_owner_is_fenced_and_writes_nothing(store: Store) -> None:
    run = make_run()
    old = claimed(store, run)
    store.commit(old, batch_of([tracked(run, 0)], b"zero"))
    new = store.claim(run.run_id)
    before = dump(store)
    with pytest.raises(Fenced):
        store.commit(old, batch_of([tracked(run, 1), lost(run, 2)], b"stale"))
    with pytest.raises(Fenced):
        store.end_run(old, RunStatus.COMPLETE, 9)
    assert dump(store) == before
    store.commit(new, batch_of([tracked(run, 1)], b"one"))
    assert store.claim(run.run_id).checkpoint == Checkpoint(2, 1, b"one")


def test_owners_of_different_runs_do_not_fence_each_other(store: Store) -> None:
    runs = [make_run(f"cam-{number}") for number in range(2)]
    claims = [claimed(store, run) for run in runs]
    for run, claim in zip(runs, claims, strict=True):
        store.commit(claim, batch_of([tracked(run, 0)]))
    assert [record.ledger.tracked for record in store.runs()] == [1, 1]


# -- committing


def test_the_ledger_balances_after_every_commit(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    kinds = [tracked, lost, lambda run, index: lost(run, index, Outcome.DROPPED, "behind")]
    expected = {"tracked": 0, "failed": 0, "dropped": 0}
    for index in range(0, 30, 3):
        frames = [kinds[(index * 7 + step) % 3](run, index + step) for step in range(3)]
        store.commit(claim, batch_of(frames, published=index + 5))
        for frame in frames:
            expected[frame.outcome.value] += 1
        ledger = store.find_run(run.run_id).ledger
        assert ledger == Ledger(published=index + 5, **expected)
        assert ledger.in_flight == 2


def test_published_never_shrinks_and_counts_every_outcome(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    for index, published, expected in ((0, 40, 40), (1, 7, 40)):
        store.commit(claim, Batch((tracked(run, index),), Checkpoint(index + 1), published))
        assert store.find_run(run.run_id).ledger.published == expected
    frames = tuple(tracked(run, index) for index in range(2, 50))
    store.commit(claim, Batch(frames, Checkpoint(50), published=0))
    assert store.find_run(run.run_id).ledger == Ledger(50, 50, 0, 0)


def test_a_frame_committed_twice_is_refused_whole(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.commit(claim, batch_of([tracked(run, 0), tracked(run, 1, ids=()), lost(run, 2)], b"first"))
    before = dump(store)
    for again in (tracked(run, 0), tracked(run, 1, ids=()), lost(run, 2), tracked(run, 2)):
        with pytest.raises(StoreError, match=r"(?i)cannot use .*unique"):
            store.commit(claim, Batch((tracked(run, 3), again), Checkpoint(4, 0, b"second"), 4))
    assert dump(store) == before
    assert store.claim(run.run_id).checkpoint.tracker_state == b"first"


def test_a_box_that_is_no_number_is_refused_whole(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    before = dump(store)
    broken = tracked(run, 1)
    broken.tracks.xyxy[1, 2] = np.nan
    with pytest.raises(StoreError, match="frame 1 is no number"):
        store.commit(claim, batch_of([tracked(run, 0), broken]))
    with pytest.raises(StoreError, match="frame 0 is no number"):
        store.commit(claim, batch_of([tracked(run, 0, confidence=(0.5, np.inf))]))
    assert dump(store) == before


def test_detections_are_kept_with_their_frames(store: Store) -> None:
    run, other = make_run(), make_run("other")
    claim, others = claimed(store, run), claimed(store, other)
    kept = {1: bytes(range(256)), 0: b"zero"}
    store.commit(claim, replace(batch_of([tracked(run, 0), lost(run, 1)]), detections=kept))
    store.commit(claim, replace(batch_of([tracked(run, 2), tracked(run, 3)]), detections={3: b""}))
    store.commit(others, replace(batch_of([tracked(other, 0)]), detections={0: b"other"}))
    assert list(store.detections(run.run_id)) == [(0, b"zero"), (1, bytes(range(256))), (3, b"")]
    with pytest.raises(StoreError):
        store.commit(claim, replace(batch_of([tracked(run, 4), tracked(run, 0)]), detections={4: b"four"}))
    assert [index for index, _ in store.detections(run.run_id)] == [0, 1, 3], "refused with its frames"
    with pytest.raises(NotFound):
        list(store.detections("nowhere"))


def test_what_is_known_of_model_and_tracker_stays(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.commit(claim, batch_of([tracked(run, 0)]))
    store.commit(claim, Batch((), Checkpoint(1, 1), 1))
    record = store.find_run(run.run_id)
    assert (record.model_digest, record.model, record.tracker) == ("d1g357", "m.pt", "sort")


def test_a_batch_without_frames_moves_the_checkpoint(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.commit(claim, Batch((), Checkpoint(0, 0, b"x"), 4))
    assert store.claim(run.run_id).checkpoint == Checkpoint(0, 0, b"x")
    assert store.find_run(run.run_id).ledger == Ledger(4, 0, 0, 0)


def test_the_tables_do_not_depend_on_how_frames_fell_into_batches_and_on_who_wrote_them(store: Store) -> None:
    runs = [make_run(run_id=run_id) for run_id in ("one", "seven", "all")]
    for run, size in zip(runs, (1, 7, 97), strict=True):
        store.start_run(run)
        frames = [lost(run, index) if index % 10 == 9 else wandering(run, index) for index in range(97)]
        for start in range(0, 97, size):
            store.commit(store.claim(run.run_id), batch_of(frames[start : start + size]))
    rows = [[_without_run(row) for row in store.observations(run.run_id)] for run in runs]
    sums = [[_without_run(row) for row in store.tracks(run.run_id)] for run in runs]
    assert rows[0] == rows[1] == rows[2]
    assert sums[0] == sums[1] == sums[2]
    lengths = {track.track_id: track.path_length for track in store.tracks("one")}
    assert lengths == _lengths([wandering(runs[0], index) for index in range(97) if index % 10 != 9])
    assert any(round(length * 2**20) / 2**20 != length for length in lengths.values()), "exact sums prove nothing"


def _lengths(frames: list[FrameTracks]) -> dict[int, float]:
    """Of the ways of all tracks, step by step."""
    lengths: dict[int, float] = {}
    last: dict[int, tuple[float, float]] = {}
    for frame in frames:
        for track, (x_min, y_min, x_max, y_max) in zip(
            frame.tracks.tracker_id.tolist(), frame.tracks.xyxy.tolist(), strict=True
        ):
            x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
            dx, dy = x - last.get(track, (x, y))[0], y - last.get(track, (x, y))[1]
            lengths[track] = lengths.get(track, 0.0) + math.sqrt(dx * dx + dy * dy)
            last[track] = x, y
    return lengths


# -- frames that wait for an earlier one


def test_what_was_spilled_comes_with_the_next_claim_in_order(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    assert claim.spilled == ()
    store.spill(claim, {7: b"seven", 3: bytes(range(256))})
    store.spill(claim, {5: b""})
    assert store.claim(run.run_id).spilled == (bytes(range(256)), b"", b"seven")


def test_spilling_nothing_or_again_changes_nothing(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.spill(claim, {3: b"three"})
    store.spill(claim, {})
    store.spill(claim, {4: b"four", 3: b"another"})
    assert store.claim(run.run_id).spilled == (b"three", b"four")


def test_a_commit_drops_what_was_spilled_below_its_next_index(store: Store) -> None:
    run, other = make_run(), make_run("other")
    claim, others = claimed(store, run), claimed(store, other)
    store.spill(claim, {index: b"%d" % index for index in (1, 2, 3, 9)})
    store.spill(others, {1: b"other"})
    store.commit(claim, batch_of([tracked(run, index) for index in range(3)]))
    claim = store.claim(run.run_id)
    assert claim.spilled == (b"3", b"9")
    store.spill(claim, {2: b"too late"})
    assert store.claim(run.run_id).spilled == (b"3", b"9"), "its turn came and went"
    assert store.claim(other.run_id).spilled == (b"other",)


def test_a_refused_commit_drops_nothing_spilled(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.spill(claim, {1: b"one"})
    with pytest.raises(StoreError):
        store.commit(claim, Batch((tracked(run, 0), tracked(run, 0)), Checkpoint(2), 2))
    assert store.claim(run.run_id).spilled == (b"one",)


def test_the_end_of_a_run_drops_all_it_spilled(store: Store) -> None:
    run, other = make_run(), make_run("other")
    claim = claimed(store, run)
    store.spill(claim, {4: b"four"})
    store.spill(claimed(store, other), {4: b"other"})
    store.end_run(claim, RunStatus.INTERRUPTED, 9)
    assert store.claim(run.run_id).spilled == ()
    assert store.claim(other.run_id).spilled == (b"other",)


def test_an_earlier_owner_spills_nothing(store: Store) -> None:
    run = make_run()
    old = claimed(store, run)
    store.claim(run.run_id)
    with pytest.raises(Fenced):
        store.spill(old, {3: b"stale"})
    assert store.claim(run.run_id).spilled == ()


# -- asking


def test_observations_come_by_frame_then_track_and_exact(store: Store) -> None:
    run = make_run()
    frames = [tracked(run, index, ids=(5, 1, 3), class_id=(2, 0, 7), confidence=(0.9, 0.25, 1)) for index in range(4)]
    store.commit(claimed(store, run), batch_of(frames))
    rows = list(store.observations(run.run_id))
    assert [(row.frame, row.track_id) for row in rows] == [(f, t) for f in range(4) for t in (1, 3, 5)]
    row = rows[5]
    assert (row.run_id, row.stream, row.media_time) == (run.run_id, "cam", 1 / 25)
    assert row.captured_at == BEGIN + timedelta(milliseconds=40)
    assert (row.class_id, row.class_name, row.confidence) == (2, "car", float(np.float32(0.9)))
    assert row.xyxy == box_of(1, 5)


@pytest.mark.parametrize(
    ("tracks", "frames", "expected"),
    [
        ((), (2, 4), [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]),
        ((3,), None, [(index, 3) for index in range(6)]),
        ((3, 1), (1, 3), [(1, 1), (1, 3), (2, 1), (2, 3)]),
        ((2,), (5, 99), [(5, 2)]),
        ((), (3, 3), []),
        ((9,), None, []),
    ],
)
def test_observations_by_track_and_half_open_frames(
    store: Store, tracks: tuple[int, ...], frames: tuple[int, int] | None, expected: list[tuple[int, int]]
) -> None:
    run, other = make_run(), make_run("other")
    for one in (run, other):
        store.commit(claimed(store, one), batch_of([tracked(one, index, ids=(1, 2, 3)) for index in range(6)]))
    rows = store.observations(run.run_id, track_ids=tracks, frames=frames)
    assert [(row.frame, row.track_id) for row in rows] == expected


@pytest.mark.parametrize("size", [1, 7, 40])
def test_outcomes_come_back_exactly_as_they_were_committed(store: Store, size: int) -> None:
    run, other = make_run(), make_run("other")
    frames = [_random_outcome(run, index) for index in range(40)]
    claim = claimed(store, run)
    for start in range(0, 40, size):
        store.commit(claim, batch_of(frames[start : start + size]))
    store.commit(claimed(store, other), batch_of([tracked(other, index) for index in range(50)]))
    found = list(store.outcomes(run.run_id))
    assert len(found) == 40
    for frame, expected in zip(found, frames, strict=True):
        assert _evolve(frame, tracks=None) == _evolve(expected, tracks=None)
        _assert_same(frame.tracks, expected.tracks)


def _random_outcome(run: Run, index: int) -> FrameTracks:
    """Lost, dropped, empty, or with one to eight tracks of any float32 there is."""
    dice = np.random.default_rng(index)
    if index % 5 == 3:
        return lost(run, index, (Outcome.FAILED, Outcome.DROPPED)[index % 2], "no JPEG: ü" if index % 3 else "")
    count = int(dice.integers(0, 9)) if index % 4 else 0
    ids = np.sort(dice.choice(1000, count, replace=False) + 1).tolist()
    kinds = dice.choice([0, 2, 7], count).tolist()
    frame = tracked(run, index, ids, class_id=kinds, confidence=dice.random(count, np.float32))
    frame.tracks.xyxy[:] = dice.normal(0, 10.0 ** dice.integers(-30, 30), (count, 4)).astype(np.float32)
    return frame


def _assert_same(tracks: sv.Detections, expected: sv.Detections) -> None:
    """The same bits in every column; of an empty one only that all columns are there."""
    assert tracks.data.keys() == {"class_name"}
    assert (tracks.xyxy.dtype, tracks.confidence.dtype, tracks.class_id.dtype) == (np.float32, np.float32, int)
    assert (tracks.tracker_id.dtype, tracks.data["class_name"].dtype.kind) == (int, "U")
    assert (tracks.xyxy.shape, len(tracks.tracker_id)) == ((len(expected), 4), len(expected))
    if len(expected):
        assert tracks.xyxy.tobytes() == expected.xyxy.tobytes()
        assert tracks.confidence.tobytes() == expected.confidence.tobytes()
        assert tracks.class_id.tolist() == expected.class_id.tolist()
        assert tracks.tracker_id.tolist() == expected.tracker_id.tolist()
        assert tracks.data["class_name"].tolist() == expected.data["class_name"].tolist()


def test_tracks_of_an_outcome_are_ordered_by_id(store: Store) -> None:
    run = make_run()
    store.commit(claimed(store, run), batch_of([tracked(run, 0, ids=(5, 1, 3), class_id=(2, 0, 7))]))
    [frame] = store.outcomes(run.run_id)
    assert frame.tracks.tracker_id.tolist() == [1, 3, 5]
    assert frame.tracks.data["class_name"].tolist() == ["person", "truck", "car"]
    assert [tuple(box) for box in frame.tracks.xyxy.tolist()] == [box_of(0, track) for track in (1, 3, 5)]


@pytest.mark.parametrize(
    ("span", "expected"),
    [(None, range(6)), ((2, 4), (2, 3)), ((0, 1), (0,)), ((4, 99), (4, 5)), ((3, 3), ()), ((6, 9), ())],
)
def test_outcomes_of_a_half_open_range(store: Store, span: tuple[int, int] | None, expected: tuple[int, ...]) -> None:
    run = make_run()
    frames = [tracked(run, 0), lost(run, 1), tracked(run, 2, ids=()), lost(run, 3), tracked(run, 4), tracked(run, 5)]
    store.commit(claimed(store, run), batch_of(frames, published=9))
    assert [frame.index for frame in store.outcomes(run.run_id, span)] == list(expected)


def test_outcomes_are_of_one_moment(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.commit(claim, batch_of([tracked(run, index) for index in range(1500)]))
    frames = store.outcomes(run.run_id)
    assert next(frames).index == 0
    store.commit(claim, batch_of([lost(run, 1500)]))
    assert [frame.index for frame in frames] == list(range(1, 1500))
    assert [frame.index for frame in store.outcomes(run.run_id, (1500, 1501))] == [1500]


def test_a_track_is_summed_up_over_commits(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    for index in (0, 1, 5):
        gap = [lost(run, i) for i in range(2, 5)] if index == 5 else []
        store.commit(claim, batch_of([*gap, tracked(run, index, ids=(4,), confidence=[0.25 * (1 + index % 4)])]))
    [summary] = store.tracks(run.run_id)
    assert (summary.run_id, summary.track_id, summary.class_id, summary.class_name) == (run.run_id, 4, 2, "car")
    assert (summary.first_frame, summary.last_frame, summary.observations) == (0, 5, 3)
    assert (summary.first_time, summary.last_time) == (0.0, 0.2)
    assert summary.mean_confidence == (0.25 + 0.5 + 0.5) / 3


def test_a_path_leads_from_centre_to_centre(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    corners = {0: (10, 20), 1: (13, 24), 4: (13, 12)}
    for index in range(5):
        frame = tracked(run, index, ids=(4, 6) if index == 1 else (4,)) if index in corners else lost(run, index)
        if index in corners:
            frame.tracks.xyxy[0] = (*corners[index], corners[index][0] + 10, corners[index][1] + 20)
        store.commit(claim, batch_of([frame]))
    long, short = store.tracks(run.run_id)
    assert (long.path_length, long.entry, long.exit) == (5.0 + 12.0, (15.0, 30.0), (18.0, 22.0))
    x_min, y_min, x_max, y_max = box_of(1, 6)
    centre = ((x_min + x_max) / 2, (y_min + y_max) / 2)
    assert (short.path_length, short.entry, short.exit) == (0.0, centre, centre)


def test_more_tracks_than_a_statement_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "_TRACKS_AT_ONCE", 3)
    run = make_run()
    claim = claimed(store, run)
    for index in range(3):
        store.commit(claim, batch_of([tracked(run, index, ids=range(1, 9))]))
    assert [(track.track_id, track.path_length) for track in store.tracks(run.run_id)] == [
        (number, 2.0) for number in range(1, 9)
    ]


def test_the_class_of_a_track_is_voted_by_confidence(store: Store) -> None:
    run = make_run()
    votes = [(2, 0.25), (2, 0.25), (7, 0.75), (2, 0.125), (0, 0.125)]
    frames = [
        tracked(run, index, ids=(1, 2), class_id=(kind, (2, 0)[index % 2]), confidence=(confidence, 0.5))
        for index, (kind, confidence) in enumerate(votes[:4])
    ]
    claim = claimed(store, run)
    for frame in frames:
        store.commit(claim, batch_of([frame]))
    first, tied = store.tracks(run.run_id)
    assert (first.class_name, first.observations) == ("truck", 4), "two and a half cars weigh less than one sure truck"
    assert first.mean_confidence == 1.375 / 4
    assert (tied.class_name, tied.observations) == ("person", 4), "of equals the lower class wins, always"
    assert store.find_run(run.run_id).tracks == 2


# -- several at once


def test_reading_and_writing_do_not_wait_for_each_other(store: Store) -> None:
    run = make_run()
    claim = claimed(store, run)
    store.commit(claim, batch_of([tracked(run, index) for index in range(3000)]))
    rows = store.observations(run.run_id)
    first = next(rows)
    store.commit(claim, batch_of([tracked(run, 3000)]))
    assert store.find_run(run.run_id).ledger.tracked == 3001
    assert [first.frame, *(row.frame for row in rows)][-1] == 2999, "a reader sees one moment of the store"


def test_several_threads_write_and_read(store: Store) -> None:
    def work(run: Run) -> int:
        claim = claimed(store, run)
        for index in range(40):
            store.commit(claim, batch_of([tracked(run, index)]))
            assert store.find_run(run.run_id).ledger.tracked == index + 1
        return sum(1 for _ in store.observations(run.run_id))

    workers = [Background(partial(work, make_run(f"cam-{number}"))) for number in range(4)]
    assert [worker.result(60) for worker in workers] == [80] * 4


def test_closing_twice_is_once(store: Store) -> None:
    store.start_run(make_run())
    store.close()
    store.close()


def _evolve(frame: FrameTracks, **changes: object) -> FrameTracks:
    return replace(frame, **changes)  # type: ignore[arg-type]


def _without_run(row: object) -> list[object]:
    return [getattr(row, name) for name in type(row).__slots__ if name != "run_id"]  # type: ignore[attr-defined]
