"""Observations in columns: which runs a `Selection` means, and the statements that find its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Select,
    and_,
    cast,
    column,
    func,
    or_,
    select,
    table,
    tuple_,
)

from yolotrack.errors import NotFound
from yolotrack.store.base import OBSERVATION_COLUMNS, Selection
from yolotrack.store.columns import ROWS, TIMES, Assembly, ChosenRun, columns_of, moment
from yolotrack.store.schema import classes, frames, observations, runs
from yolotrack.text import meant

if TYPE_CHECKING:
    import pyarrow as pa

Conditions: TypeAlias = list[ColumnElement[bool]]

_IDS_AT_ONCE = 500
_FEW_TRACKS = 1000
_NAMED_CLASSES = 6


def chosen_runs(
    connection: Connection, selection: Selection, missing: Callable[[Connection, str], NotFound]
) -> list[ChosenRun]:
    """The runs of a selection, as named. Raises what `missing` makes of an id that is not there, and `NotFound` for a
    class that none of them knows."""
    found = _rows_by_run_id(connection, selection.run_ids)
    for run_id in selection.run_ids:
        if run_id not in found:
            raise missing(connection, run_id)
    names = _names_by_run(connection, [row.id for row in found.values()])
    _require_classes(selection.classes, names.values())
    rows = (found[run_id] for run_id in dict.fromkeys(selection.run_ids))
    return [
        ChosenRun(row.id, row.run_id, row.stream, known, _wanted(selection.classes, known))
        for row in rows
        for known in (names.get(row.id, {}),)
    ]


def read_batches(connection: Connection, selection: Selection, chosen: Sequence[ChosenRun]) -> Iterator[pa.RecordBatch]:
    """`OBSERVATION_COLUMNS` of what is selected: at least one batch, empty where nothing is."""
    assemble = Assembly(chosen)
    left, found = selection.limit, False
    timed = _needs_times(selection)
    for query in _statements(selection, [run for run in chosen if run.wanted is None or run.wanted], timed):
        for columns in columns_of(connection, query if left is None else query.limit(left), timed=timed):
            found = True
            left = None if left is None else left - len(columns["frame"])
            yield assemble(columns)
        if left == 0:
            break
    if not found:
        yield assemble({name: np.empty(0, kind) for name, kind in (*ROWS, *TIMES)})


def statement(dialect: Dialect, selection: Selection, chosen: Sequence[ChosenRun]) -> str:
    """The selection as text for a shell of the database, over the view `v_observations`."""
    view = table("v_observations", *map(column, ("track_id", *OBSERVATION_COLUMNS)))
    shown = {"tracker_id": view.c.track_id.label("tracker_id")}
    columns: list[ColumnElement[Any]] = [shown.get(name, view.c[name]) for name in OBSERVATION_COLUMNS]
    by = {**{name: view.c[name] for name in OBSERVATION_COLUMNS}, "tracker_id": view.c.track_id}
    query = select(*columns).where(*_view_conditions(view.c, selection, chosen))
    query = query.order_by(*_ordered(selection.order, by), view.c.run_id, view.c.frame, view.c.track_id)
    if selection.limit is not None:
        query = query.limit(selection.limit)
    kind: Any = type(dialect)
    plain = kind(paramstyle="named")  # else some double the percent signs of texts, for their own parameters
    return f"{query.compile(dialect=plain, compile_kwargs={'literal_binds': True})};"


# -- runs and classes


def _rows_by_run_id(connection: Connection, run_ids: Sequence[str]) -> dict[str, Any]:
    query = select(runs.c.id, runs.c.run_id, runs.c.stream)
    return {
        row.run_id: row for some in _parts(run_ids) for row in connection.execute(query.where(runs.c.run_id.in_(some)))
    }


def _names_by_run(connection: Connection, numbers: Sequence[int]) -> dict[int, dict[int, str]]:
    names: dict[int, dict[int, str]] = {}
    for some in _parts(numbers):
        for row in connection.execute(select(classes).where(classes.c.run.in_(some))):
            names.setdefault(row.run, {})[row.class_id] = row.name
    return names


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Databases limit how many values a statement has."""
    return (values[start : start + _IDS_AT_ONCE] for start in range(0, len(values), _IDS_AT_ONCE))


def _wanted(asked: Sequence[int | str], names: Mapping[int, str]) -> frozenset[int] | None:
    if not asked:
        return None
    folded = {text.casefold() if isinstance(text, str) else text for text in asked}
    return frozenset(number for number, name in names.items() if number in folded or name.casefold() in folded)


def _require_classes(asked: Sequence[int | str], names: Iterable[Mapping[int, str]]) -> None:
    known = {number: name for of_run in names for number, name in of_run.items()}
    all_names = sorted({name for of_run in names for name in of_run.values()})
    folded = {name.casefold() for name in all_names}
    for text in asked:
        if text in known or (isinstance(text, str) and text.casefold() in folded):
            continue
        seen = [f"{name} ({number})" for number, name in sorted(known.items())[:_NAMED_CLASSES]]
        hint = meant(str(text), all_names, f"there were {', '.join(seen) or 'no objects'}")
        raise NotFound(f"no object of class {str(text)!r} was seen in the runs asked for; {hint}")


# -- statements


def _needs_times(selection: Selection) -> bool:
    """Whether to join frames: for their times, or because few observations of many frames are looked for."""
    return bool(selection.order or selection.track_ids) or _timed(frames.c, selection) != []


def _statements(selection: Selection, chosen: Sequence[ChosenRun], timed: bool) -> Iterator[Select[Any]]:
    """Run by run, in the order of a primary key, so that nothing is sorted; or all at once, where there is an order."""
    o, f = observations.c, frames.c
    if not selection.order:
        return (_select(selection, [run], timed).order_by(o.frame, o.track) for run in chosen)
    named: dict[str, Any] = {
        "tracker_id": o.track,
        "class_name": classes.c.name,
        "stream": runs.c.stream,
        "run_id": runs.c.run_id,
    }
    named |= {"media_time": f.media_time, "captured_at": f.captured_at}
    by = {name: named.get(name, o.get(name)) for name in OBSERVATION_COLUMNS}
    query = _select(selection, chosen, timed).join(runs, runs.c.id == o.run)
    query = query.join(classes, (classes.c.run == o.run) & (classes.c.class_id == o.class_id))
    ordered = query.order_by(*_ordered(selection.order, by), o.run, o.frame, o.track)
    return iter([ordered] if chosen else [])


def _ordered(order: Sequence[str], by: Mapping[str, Any]) -> list[ColumnElement[Any]]:
    return [by[name[1:]].desc() if name.startswith("-") else by[name] for name in order]


def _select(selection: Selection, chosen: Sequence[ChosenRun], timed: bool) -> Select[Any]:
    o, f = observations.c, frames.c
    box = (o.x_min, o.y_min, o.x_max, o.y_max)
    query = select(o.run, o.frame, o.track, o.class_id, o.confidence, *box).where(*_conditions(selection, chosen))
    if not timed:
        return query
    joined = query.join_from(observations, frames, (f.run == o.run) & (f.frame == o.frame))
    return joined.add_columns(f.media_time, moment(f.captured_at))


def _conditions(selection: Selection, chosen: Sequence[ChosenRun]) -> Conditions:
    o = observations.c
    of_runs = _one_of(o.run, [run.number for run in chosen])
    timed = _timed(frames.c, selection)
    return [
        of_runs,
        *_by_keys(selection, chosen),
        *_of_classes(o.run, o.class_id, {run.number: run.wanted for run in chosen}),
        *_shared(o, selection),
        *timed,
        *(_narrowed(selection, chosen[0].number) if timed and len(chosen) == 1 else ()),
    ]


def _by_keys(selection: Selection, chosen: Sequence[ChosenRun]) -> Conditions:
    """Left to itself, SQLite reads whole runs rather than use the tracks' index; which is right for many tracks."""
    if not selection.track_ids:
        return []
    o, hit = observations.c, observations.alias("hit").c
    if sum(1 + last - first for first, last in selection.track_ids) > _FEW_TRACKS:
        return [_in_ranges(o.track, selection.track_ids)]
    of_runs = _one_of(hit.run, [run.number for run in chosen])
    keys = select(hit.run, hit.frame, hit.track).where(of_runs, _in_ranges(hit.track, selection.track_ids))
    return [tuple_(o.run, o.frame, o.track).in_(keys)]


def _of_classes(run: Any, class_id: Any, wanted: Mapping[Any, frozenset[int] | None]) -> Conditions:
    """By run, since different models may call one class by different numbers."""
    runs_of: dict[frozenset[int], list[Any]] = {}
    for name, ids in wanted.items():
        if ids is not None:
            runs_of.setdefault(ids, []).append(name)
    alternatives = [and_(_one_of(run, same), _one_of(class_id, sorted(ids))) for ids, same in runs_of.items()]
    return [or_(*alternatives)] if alternatives else []


def _narrowed(selection: Selection, number: int) -> Conditions:
    """The frames that a time can be in: found in the short table, so that the long one is not read whole."""
    f = frames.alias("timed").c
    timed = _timed(f, selection)
    ends = (select(end(f.frame)).where(f.run == number, *timed).scalar_subquery() for end in (func.min, func.max))
    first, last = ends
    return [observations.c.frame >= first, observations.c.frame <= last]


def _timed(f: Any, selection: Selection) -> Conditions:
    return [*_within(f.media_time, selection.media_time), *_within(f.captured_at, selection.captured_at)]


def _view_conditions(view: Any, selection: Selection, chosen: Sequence[ChosenRun]) -> Conditions:
    conditions = [_one_of(view.run_id, [run.run_id for run in chosen])]
    if selection.track_ids:
        conditions.append(_in_ranges(view.track_id, selection.track_ids))
    conditions += _of_classes(view.run_id, view.class_id, {run.run_id: run.wanted for run in chosen})
    since, until = map(_iso, selection.captured_at)
    timed = [*_within(view.media_time, selection.media_time), *_within(view.captured_at, (since, until))]
    return [*conditions, *_shared(view, selection), *timed]


def _shared(o: Any, selection: Selection) -> Conditions:
    """What reads the same in the table and in the view."""
    conditions = _within(o.frame, selection.frames)
    if selection.min_confidence is not None:  # as it would be stored, so that 0.7 finds what is shown as 0.7
        conditions.append(o.confidence >= float(np.float32(selection.min_confidence)))
    if selection.box is not None:
        left, top, right, bottom = selection.box
        conditions.append(_twice_centre(o.x_min, o.x_max).between(2 * left, 2 * right))
        conditions.append(_twice_centre(o.y_min, o.y_max).between(2 * top, 2 * bottom))
    return conditions


def _twice_centre(low: Any, high: Any) -> ColumnElement[float]:
    """In doubles, where the sum is exact; PostgreSQL would round it to REAL."""
    return cast(low, Double) + cast(high, Double)


def _one_of(column: Any, values: Sequence[Any]) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)  # type: ignore[no-any-return]


def _in_ranges(column: Any, ranges: Sequence[tuple[int, int]]) -> ColumnElement[bool]:
    alone = [first for first, last in ranges if first == last]
    spans = [column.between(first, last) for first, last in ranges if first != last]
    return or_(*([_one_of(column, alone)] if alone else []), *spans)


def _within(column: Any, ends: tuple[Any, Any]) -> Conditions:
    first, end = ends
    return [*([] if first is None else [column >= first]), *([] if end is None else [column < end])]


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(timezone.utc).isoformat(timespec="microseconds")
