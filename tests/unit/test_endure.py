"""Tracking that outlives its database: how long it bears it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from yolotrack.errors import Fenced, StoreAway, StoreError
from yolotrack.roles import endure
from yolotrack.roles.endure import RETRY_SECONDS, track_on

MANY = 100
LOCKED = 30.0
"""Seconds that one refusal takes, where the database is locked."""
HANGING = 300.0
"""Where a statement hangs."""


@dataclass(frozen=True)
class Attempt:
    """How a role fares: after so many seconds, with or without a commit, the error."""

    seconds: float
    committed: bool = False
    error: type[Exception] | None = StoreAway


class World:
    """Clock, stop and roles in one: time passes in roles and in pauses only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, attempts: Iterator[Attempt]) -> None:
        self.now = 1000.0
        self.tried = 0
        self.committed = False
        self._attempts = attempts
        self._stopped = False
        monkeypatch.setattr(endure.time, "monotonic", lambda: self.now)

    def is_set(self) -> bool:
        return self._stopped

    def wait(self, seconds: float) -> None:
        assert 0 < seconds <= RETRY_SECONDS[1]
        self.now += seconds

    def new_role(self) -> World:
        self.committed = False
        self.tried += 1
        assert self.tried <= MANY, "it never gives up"
        return self

    def run(self, shard: str, stop: object) -> None:
        assert (shard, stop) == ("detections.0", self)
        attempt = next(self._attempts)
        self.now += attempt.seconds
        self.committed = attempt.committed
        if attempt.error is not None:
            raise attempt.error("refused")
        self._stopped = True

    def bear(self, patience: float, bearing: type[StoreError] = StoreAway) -> None:
        track_on(self.new_role, "detections.0", self, bearing=bearing, patience=patience)  # type: ignore[arg-type]


def always(attempt: Attempt) -> Iterator[Attempt]:
    while True:
        yield attempt


@pytest.mark.parametrize("seconds", [0.0, LOCKED, HANGING])
@pytest.mark.parametrize("patience", [60.0, 600.0])
def test_a_database_that_refuses_for_good_is_given_up_on(
    seconds: float, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch, always(Attempt(seconds)))
    with pytest.raises(StoreAway):
        world.bear(patience)
    assert patience < world.now - 1000.0 <= patience + 2 * (seconds + RETRY_SECONDS[1])


@pytest.mark.parametrize("well", [Attempt(20.0, committed=True), Attempt(3600.0)])
def test_one_that_serves_in_between_is_borne_for_ever(well: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_patch = [Attempt(LOCKED), well]
    world = World(monkeypatch, iter([*20 * bad_patch, Attempt(1.0, error=None)]))
    world.bear(60.0)
    assert world.tried == 41


def test_being_overtaken_costs_no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, iter([*50 * [Attempt(10.0, error=Fenced)], Attempt(1.0, error=None)]))
    world.bear(60.0, StoreError)
    assert world.tried == 51


def test_another_error_is_not_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, always(Attempt(1.0, error=StoreError)))
    with pytest.raises(StoreError):
        world.bear(60.0)
    assert world.tried == 1
