"""The statements of a commit, built once: SQLAlchemy takes longer to build one than a database to carry it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Case, Column, Connection, Update, bindparam, case, delete, select, update

from yolotrack.errors import Fenced
from yolotrack.model import Outcome, utc_now
from yolotrack.store.base import Batch, Checkpoint, Claim
from yolotrack.store.rows import BatchRows
from yolotrack.store.schema import checkpoints, paths, runs, spilled, tracks
from yolotrack.store.sums import Path

_TRACKS_AT_ONCE = 1000
"""Databases limit how many values a statement has."""


def _given(name: str, column: Column[Any]) -> BindParameter[Any]:
    """A value that comes with the call; update statements keep the names of their columns for themselves."""
    return bindparam(f"given_{name}", type_=column.type)


def _where_owner() -> Any:
    return (checkpoints.c.run == _given("run", checkpoints.c.run)) & (
        checkpoints.c.epoch == _given("epoch", checkpoints.c.epoch)
    )


_MOVED = ("next_index", "confirmed_index", "tracker_state")
_KEEP = update(checkpoints).where(_where_owner()).values(epoch=checkpoints.c.epoch)
_MOVE = update(checkpoints).where(_where_owner()).values({name: _given(name, checkpoints.c[name]) for name in _MOVED})


def fence(connection: Connection, number: int, claim: Claim, checkpoint: Checkpoint | None = None) -> None:
    """Be the run's owner until the end of the transaction, and write how far it is; or raise `Fenced`."""
    owner = {"given_run": number, "given_epoch": claim.epoch}
    moved = {f"given_{name}": getattr(checkpoint, name) for name in _MOVED} if checkpoint is not None else {}
    if connection.execute(_KEEP if checkpoint is None else _MOVE, owner | moved).rowcount != 1:
        raise Fenced(f"run {claim.run_id} was taken over since epoch {claim.epoch}: this owner must stop")


_PATHS = select(*paths.columns[1:]).where(
    paths.c.run == _given("run", paths.c.run), paths.c.track.in_(bindparam("given_tracks", expanding=True))
)


def stored_paths(connection: Connection, number: int, ids: Sequence[int]) -> dict[int, Path]:
    """The paths of a run's tracks so far; those that begin now have none."""
    found: dict[int, Path] = {}
    for start in range(0, len(ids), _TRACKS_AT_ONCE):
        wanted = {"given_run": number, "given_tracks": ids[start : start + _TRACKS_AT_ONCE]}
        found.update((track, tuple(path)) for track, *path in connection.execute(_PATHS, wanted))
    return found


_DESCRIBED = ("model_digest", "model", "tracker")


def _larger(column: Column[int], name: str) -> Case[int]:
    given = _given(name, column)
    return case((column < given, given), else_=column)


def _unless_empty(column: Column[str]) -> Case[str]:
    given = _given(column.name, column)
    return case((given != "", given), else_=column)


def _adding_to_ledger() -> Update:
    counted = [outcome.value for outcome in Outcome]
    sums = {name: runs.c[name] + _given(name, runs.c[name]) for name in counted}
    texts = {name: _unless_empty(runs.c[name]) for name in _DESCRIBED}
    moment = _given("last_outcome_at", runs.c.last_outcome_at)
    values = {"published": _larger(runs.c.published, "published"), "last_outcome_at": moment, **sums, **texts}
    return update(runs).where(runs.c.id == _given("run", runs.c.id)).values(values)


_ADD_TO_LEDGER = _adding_to_ledger()


def add_to_ledger(connection: Connection, number: int, batch: Batch, rows: BatchRows) -> None:
    """Every frame with an outcome was published, whatever the batch knows."""
    values: dict[str, Any] = {name: getattr(batch, name) for name in _DESCRIBED}
    values |= {"run": number, "published": max(batch.published, batch.checkpoint.next_index), **rows.outcomes}
    values["last_outcome_at"] = utc_now()
    connection.execute(_ADD_TO_LEDGER, {f"given_{name}": value for name, value in values.items()})


_DROP_SPILLED = delete(spilled).where(
    spilled.c.run == _given("run", spilled.c.run), spilled.c.frame < _given("frame", spilled.c.frame)
)


def drop_spilled(connection: Connection, number: int, before: int) -> None:
    """What was kept of frames whose turn has come."""
    connection.execute(_DROP_SPILLED, {"given_run": number, "given_frame": before})


def replacing_paths(new: Any) -> Any:
    """An upsert of paths, in the place of those that are there."""
    values = {column.name: new.excluded[column.name] for column in paths.columns[2:]}
    return new.on_conflict_do_update(index_elements=[paths.c.run, paths.c.track], set_=values)


def adding_to_tracks(new: Any) -> Any:
    """An upsert of tracks, adding to the sums that are there."""
    return new.on_conflict_do_update(
        index_elements=[tracks.c.run, tracks.c.track, tracks.c.class_id],
        set_={
            "observations": tracks.c.observations + new.excluded.observations,
            "confidence_sum": tracks.c.confidence_sum + new.excluded.confidence_sum,
            "last_frame": new.excluded.last_frame,
            "last_time": new.excluded.last_time,
        },
    )
