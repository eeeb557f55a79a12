"""What stores select, over every implementation: the same that goes through a sieve of plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from tests.support.stores import BEGIN, NAMES, batch_of, claimed, lost, make_run, tracked, wandering
from yolotrack.config import DatabaseSettings
from yolotrack.errors import NotFound
from yolotrack.model import Observation, Run
from yolotrack.store.base import OBSERVATION_COLUMNS, Selection
from yolotrack.store.sql import SQLStore, open_store

pytestmark = pytest.mark.timeout(60)

FIRST, SECOND, OTHER_NAMES = "01a2-first", "01a2-second", "01a2-third"
FRAMES = 120
Sieve = Callable[[Observation], bool]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SQLStore]:
    """Two runs of persons, cars and trucks, and one whose detector calls the cars 0. To be read only."""
    url = f"sqlite:///{tmp_path_factory.mktemp('select') / 'tracks.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").fresh()
    with closing(open_store(DatabaseSettings(url=url))) as store, pytest.MonkeyPatch.context() as patch:
        _fill(store, make_run("street", run_id=FIRST), range(FRAMES))
        _fill(store, make_run("street", minute=1, run_id=SECOND), range(300, 360))
        patch.setitem(NAMES, 0, "car")
        patch.setitem(NAMES, 2, "person")
        _fill(store, make_run("gate", minute=2, run_id=OTHER_NAMES), range(600, 640))
        yield store


@pytest.fixture
def empty(database_url: str) -> Iterator[SQLStore]:
    """A store to write to."""
    with closing(open_store(DatabaseSettings(url=database_url))) as store:
        yield store


def _fill(store: SQLStore, run: Run, numbers: range) -> None:
    """The frames of `wandering` by these numbers, the fifth lost."""
    frames = [wandering(run, number) for number in numbers]
    renumbered = [_at(frame, index) for index, frame in enumerate(frames)]
    renumbered[4] = lost(run, 4)
    store.commit(claimed(store, run), batch_of(renumbered))


def _at(frame: Any, index: int) -> Any:
    from dataclasses import replace

    return replace(
        frame, index=index, media_time=index / 25, captured_at=BEGIN + timedelta(milliseconds=40 * (index ^ 1))
    )


def selected(store: SQLStore, selection: Selection) -> list[dict[str, Any]]:
    """Every row, as columns have it."""
    return [row for batch in store.select(selection) for row in batch.to_pylist()]


def sifted(store: SQLStore, run_ids: Sequence[str], keeps: Sieve) -> list[dict[str, Any]]:
    """What `select` must find, without it."""
    return [_row(seen) for run_id in run_ids for seen in store.observations(run_id) if keeps(seen)]


def _row(seen: Observation) -> dict[str, Any]:
    named = {name: getattr(seen, name, None) for name in OBSERVATION_COLUMNS}
    box = dict(zip(("x_min", "y_min", "x_max", "y_max"), seen.xyxy, strict=True))
    return named | box | {"tracker_id": seen.track_id}


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["run_id"], row["frame"], row["tracker_id"]


def _centre(seen: Observation) -> tuple[float, float]:
    return (seen.xyxy[0] + seen.xyxy[2]) / 2, (seen.xyxy[1] + seen.xyxy[3]) / 2


MIDDLE = BEGIN + timedelta(milliseconds=40 * 30)
SIEVES: list[tuple[str, dict[str, Any], Sieve]] = [
    ("everything", {}, lambda seen: True),
    ("one track", {"track_ids": ((3, 3),)}, lambda seen: seen.track_id == 3),
    ("ranges", {"track_ids": ((1, 2), (5, 5), (8, 2**31 - 1))}, lambda seen: seen.track_id in (1, 2, 5, 8, 9)),
    ("few by keys", {"track_ids": ((1, 2), (5, 5))}, lambda seen: seen.track_id in (1, 2, 5)),
    ("class name", {"classes": ("car",)}, lambda seen: seen.class_name == "car"),
    ("class in any case", {"classes": ("PERSON",)}, lambda seen: seen.class_name == "person"),
    ("class number", {"classes": (2,)}, lambda seen: seen.class_id == 2),
    ("classes", {"classes": ("truck", 0)}, lambda seen: seen.class_name == "truck" or seen.class_id == 0),
    ("frames", {"frames": (10, 20)}, lambda seen: 10 <= seen.frame < 20),
    ("frames to the end", {"frames": (110, None)}, lambda seen: seen.frame >= 110),
    ("time", {"media_time": (0.4, 1.2)}, lambda seen: 0.4 <= seen.media_time < 1.2),
    ("time from the start", {"media_time": (None, 0.2)}, lambda seen: seen.media_time < 0.2),
    ("no such time", {"media_time": (1e6, None)}, lambda seen: False),
    ("captured", {"captured_at": (MIDDLE, None)}, lambda seen: seen.captured_at >= MIDDLE),
    (
        "captured between",
        {"captured_at": (BEGIN, MIDDLE)},
        lambda seen: BEGIN <= seen.captured_at < MIDDLE,
    ),
    ("confidence", {"min_confidence": 0.7}, lambda seen: seen.confidence >= float(np.float32(0.7))),
    (
        "box",
        {"box": (100, 50, 600, 400)},
        lambda seen: 100 <= _centre(seen)[0] <= 600 and 50 <= _centre(seen)[1] <= 400,
    ),
    (
        "all at once",
        {
            "track_ids": ((2, 7),), "classes": ("car", "truck"), "frames": (5, 100), "media_time": (0.3, 3.5),
            "captured_at": (BEGIN, None), "min_confidence": 0.2, "box": (0, 0, 900, 500),
        },
        lambda seen: 2 <= seen.track_id <= 7 and seen.class_name in ("car", "truck") and 8 <= seen.frame < 88
        and seen.confidence >= 0.2 and _centre(seen)[0] <= 900 and _centre(seen)[1] <= 500,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("filters", "keeps"), [sieve[1:] for sieve in SIEVES], ids=[sieve[0] for sieve in SIEVES])
def test_every_filter_selects_what_it_says(store: SQLStore, filters: dict[str, Any], keeps: Sieve) -> None:
    everything = sum(len(list(store.observations(run_id))) for run_id in (FIRST, SECOND, OTHER_NAMES))
    for run_ids in ((FIRST,), (OTHER_NAMES, FIRST, SECOND)):
        expected = sifted(store, run_ids, keeps)
        assert selected(store, Selection(run_ids, **filters)) == expected
        by_class = selected(store, Selection(run_ids, **filters, order=("class_id",)))
        assert len(by_class) == len(expected)
        assert sorted(by_class, key=_key) == sorted(expected, key=_key), "an order selects the same"
    assert not filters or len(expected) < everything, "a filter that keeps everything proves nothing"


def test_the_statement_selects_the_same(store: SQLStore) -> None:
    for name, filters, keeps in SIEVES:
        statement = store.sql(Selection((FIRST, SECOND, OTHER_NAMES), **filters))
        with store._database.reader.connect() as connection:
            rows = connection.execute(text(statement.replace(":", r"\:"))).mappings().all()
        found = [(row["run_id"], row["frame"], row["tracker_id"], row["class_name"]) for row in rows]
        expected = sifted(store, (FIRST, SECOND, OTHER_NAMES), keeps)
        ids = [(row["run_id"], row["frame"], row["tracker_id"], row["class_name"]) for row in expected]
        assert found == ids, name
        assert not rows or tuple(rows[0]) == OBSERVATION_COLUMNS


def test_columns_have_their_types(store: SQLStore) -> None:
    for selection in (
        Selection((FIRST,)),
        Selection((FIRST,), frames=(4, 5)),
        Selection((FIRST,), track_ids=((3, 3),)),
    ):
        batch = next(store.select(selection))
        types = dict(zip(batch.schema.names, map(str, batch.schema.types), strict=True))
        assert tuple(types) == OBSERVATION_COLUMNS
        floats = dict.fromkeys(("x_min", "y_min", "x_max", "y_max", "confidence"), "float")
        whole = dict.fromkeys(("class_id", "tracker_id", "frame"), "int64")
        texts = dict.fromkeys(("class_name", "stream", "run_id"), "string")
        times = {"media_time": "double", "captured_at": "timestamp[us, tz=UTC]"}
        assert types == floats | whole | texts | times


def test_nothing_found_is_one_empty_batch(store: SQLStore) -> None:
    for filters in ({"frames": (4, 5)}, {"track_ids": ((77, 77),)}, {"order": ("frame",), "frames": (4, 5)}):
        [batch] = store.select(Selection((FIRST,), **filters))
        assert batch.num_rows == 0


def test_many_rows_come_in_batches_of_thousands(empty: SQLStore) -> None:
    run = make_run(run_id="long")
    empty.commit(claimed(empty, run), batch_of([tracked(run, index, range(1, 31)) for index in range(700)]))
    for filters in ({}, {"media_time": (0.0, None)}, {"order": ("-frame",)}):
        batches = list(empty.select(Selection(("long",), **filters)))
        assert sum(batch.num_rows for batch in batches) == 21_000
        assert len(batches) > 1
        assert max(batch.num_rows for batch in batches) < 20_000
    expected = sifted(empty, ("long",), lambda seen: True)
    assert selected(empty, Selection(("long",))) == expected
    assert selected(empty, Selection(("long",), limit=9_000)) == expected[:9_000]


@pytest.mark.parametrize("order", [(name,) for name in OBSERVATION_COLUMNS] + [("-class_name", "confidence")])
def test_any_column_orders_either_way(store: SQLStore, order: tuple[str, ...]) -> None:
    run_ids = (SECOND, OTHER_NAMES)
    for names in (order, tuple(name[1:] if name.startswith("-") else f"-{name}" for name in order)):
        rows = selected(store, Selection(run_ids, order=names))
        assert len(rows) == len(sifted(store, run_ids, lambda seen: True))
        for name in names[:1]:
            values = [row[name.removeprefix("-")] for row in rows]
            assert values == sorted(values, reverse=name.startswith("-"))
        if len(names) == 2 and names[1] == "confidence":
            same = [row["confidence"] for row in rows if row["class_name"] == rows[0]["class_name"]]
            assert same == sorted(same)


def test_equal_rows_of_an_order_are_by_frame_and_track(store: SQLStore) -> None:
    rows = selected(store, Selection((FIRST,), order=("stream",)))
    assert rows == sifted(store, (FIRST,), lambda seen: True)


@pytest.mark.parametrize("order", [(), ("-confidence",)])
@pytest.mark.parametrize("limit", [1, 7, 400, 100_000])
def test_a_limit_ends_the_rows_over_all_runs(store: SQLStore, order: tuple[str, ...], limit: int) -> None:
    run_ids = (FIRST, SECOND, OTHER_NAMES)
    every = selected(store, Selection(run_ids, order=order))
    assert selected(store, Selection(run_ids, order=order, limit=limit)) == every[:limit]


def test_a_run_named_twice_is_selected_once(store: SQLStore) -> None:
    assert selected(store, Selection((FIRST, FIRST))) == selected(store, Selection((FIRST,)))


def test_an_unknown_run_is_refused_at_once(store: SQLStore) -> None:
    for ask in (store.select, store.sql):
        with pytest.raises(NotFound, match="no run 'nowhere'"):
            ask(Selection((FIRST, "nowhere")))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("cart",), "no object of class 'cart' .*did you mean car"),
        (("bus",), r"'bus' .*there were .*\(0\)"),
        ((99,), "'99'"),
        (("car", "trukc"), "did you mean truck"),
    ],
)
def test_an_unknown_class_is_refused_at_once_with_the_nearest(
    store: SQLStore, classes: tuple[int | str, ...], said: str
) -> None:
    with pytest.raises(NotFound, match=said):
        store.select(Selection((FIRST, OTHER_NAMES), classes=classes))


def test_a_class_of_some_runs_is_no_mistake_for_the_others(store: SQLStore) -> None:
    rows = selected(store, Selection((FIRST, OTHER_NAMES), classes=("person",)))
    assert {(row["run_id"], row["class_id"]) for row in rows} == {(FIRST, 0), (OTHER_NAMES, 2)}


def test_a_selection_is_of_one_moment(empty: SQLStore) -> None:
    run = make_run(run_id="growing")
    claim = claimed(empty, run)
    empty.commit(claim, batch_of([tracked(run, index, range(1, 31)) for index in range(400)]))
    batches = empty.select(Selection(("growing",)))
    rows = next(batches).num_rows
    empty.commit(claim, batch_of([tracked(run, index, (1, 2), class_id=(7, 7)) for index in range(400, 420)]))
    assert rows + sum(batch.num_rows for batch in batches) == 400 * 30
    assert sum(batch.num_rows for batch in empty.select(Selection(("growing",)))) == 400 * 30 + 40


def test_observations_are_counted(empty: SQLStore) -> None:
    run = make_run(run_id="seen")
    empty.start_run(make_run(minute=9, run_id="empty"))
    empty.commit(claimed(empty, run), batch_of([tracked(run, 0, (1, 2, 3)), lost(run, 1), tracked(run, 2, (2, 3))]))
    assert empty.observation_counts() == {"seen": 5, "empty": 0}
