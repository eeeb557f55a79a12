"""Tracking that outlives its database: how long it bears it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from yolotrack.errors import Fenced, StoreAway, StoreError, StoreGone
from yolotrack.roles import endure
from yolotrack.roles.endure import RETRY_SECONDS, open_patiently, track_on

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


class Clock:
    """Time passes in pauses only, and `stop` is set after so many of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pauses: int = MANY) -> None:
        self.now = 1000.0
        self.pauses = pauses
        monkeypatch.setattr(endure.time, "monotonic", lambda: self.now)

    def wait(self, seconds: float) -> bool:
        assert 0 < seconds <= RETRY_SECONDS[1]
        self.now += seconds
        self.pauses -= 1
        return self.pauses <= 0


class Opening:
    """Refuses so many times."""

    def __init__(self, refusals: int, error: type[StoreError] = StoreAway) -> None:
        self.refusals = refusals
        self.error = error
        self.tried = 0

    def __call__(self) -> str:
        self.tried += 1
        if self.tried <= self.refusals:
            raise self.error(f"starting up {self.tried}")
        return "opened"

    def patiently(self, clock: Clock, patience: float = 600.0) -> str:
        return open_patiently(self, clock, patience=patience)  # type: ignore[arg-type]


@pytest.mark.parametrize("refusals", [0, 1, 20])
def test_a_database_that_comes_later_is_waited_for(
    refusals: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert Opening(refusals).patiently(Clock(monkeypatch)) == "opened"
    assert len(caplog.messages) == refusals
    assert not refusals or caplog.messages[0] == "database refuses, trying again for 600 s: starting up 1"


@pytest.mark.parametrize("patience", [60.0, 600.0])
def test_one_that_never_comes_is_given_up_on(patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    opening, clock = Opening(MANY), Clock(monkeypatch)
    with pytest.raises(StoreAway):
        opening.patiently(clock, patience)
    assert patience < clock.now - 1000.0 <= patience + RETRY_SECONDS[1]


@pytest.mark.parametrize("error", [StoreError, StoreGone, Fenced])
def test_what_does_not_pass_is_told_at_once(error: type[StoreError], monkeypatch: pytest.MonkeyPatch) -> None:
    opening = Opening(1, error)
    with pytest.raises(error):
        opening.patiently(Clock(monkeypatch))
    assert opening.tried == 1


def test_waiting_ends_when_it_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = Opening(MANY)
    with pytest.raises(StoreAway):
        opening.patiently(Clock(monkeypatch, pauses=3))
    assert opening.tried == 3


@pytest.mark.parametrize("bearing", [StoreAway, StoreError])
def test_a_database_that_is_gone_is_never_borne(bearing: type[StoreError], monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, iter([Attempt(1.0, committed=True, error=StoreGone)]))
    with pytest.raises(StoreGone):
        world.bear(600.0, bearing)
    assert world.tried == 1
