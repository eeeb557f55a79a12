"""Who is where and when: timetables for vehicles and people that never drive into each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .actors import Body, car, lorry, person
from .geometry import Floats
from .layout import Layout

_STEP = 0.2
"""Seconds between two knots of a vehicle's timetable."""
_LEAD = 30.0
"""Seconds of traffic before the first picture, so that the street is already busy."""
_BRAKE, _PULL = 4.0, 3.0
"""Metres per second squared."""
_PERSON, _CAR, _LORRY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Actor:
    """One object: knots of its timetable (seconds, metres), linear in between; absent outside of them.

    `walked` is the distance travelled at each knot.
    """

    class_id: int
    body: Body
    times: Floats
    places: Floats
    walked: Floats

    def present(self, time: float) -> bool:
        """Whether the actor is on the street."""
        return bool(self.times[0] <= time < self.times[-1])

    def place(self, time: float) -> Floats:
        """(x, y) metres on the ground, float64 [2]."""
        return np.array([np.interp(time, self.times, self.places[:, i]) for i in (0, 1)])

    def distance(self, time: float) -> float:
        """Metres travelled."""
        return float(np.interp(time, self.times, self.walked))

    def heading(self, time: float) -> Floats:
        """Unit vector of the direction of travel; while standing, that of the last movement."""
        knot = int(np.searchsorted(self.times, time, side="right")) - 1
        for i in (*range(knot, -1, -1), *range(knot + 1, len(self.times) - 1)):
            if i < len(self.times) - 1:
                step = self.places[i + 1] - self.places[i]
                size = float(np.hypot(step[0], step[1]))
                if size > 1e-6:
                    return np.asarray(step / size)
        return np.array([1.0, 0.0])


def _actor(class_id: int, body: Body, times: Floats, places: Floats) -> Actor:
    steps = np.hypot(*np.diff(places, axis=0).T)
    return Actor(class_id, body, times, places, np.concatenate([[0.0], np.cumsum(steps)]))


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a vehicle means to drive: in `lane`, and after `change_at` seconds over to lane `change`."""

    class_id: int
    body: Body
    start: float
    speed: float
    lane: int
    change: int
    change_at: float


def vehicles(rng: Generator, layout: Layout, duration: float) -> list[Actor]:
    """Cars and lorries that enter until `duration` seconds, in the order in which they enter."""
    placed: list[Actor] = []
    time = -_LEAD
    while time < duration:
        time += rng.exponential(layout.vehicle_gap)
        wish = _wish(rng, layout, time)
        for slot in range(-1, 4):
            actor = _drive(layout, wish, slot)
            if actor is not None and not any(_collide(actor, other) for other in placed[-40:]):
                placed.append(actor)
                break
    return placed


def _wish(rng: Generator, layout: Layout, start: float) -> _Plan:
    large = bool(rng.random() < 0.24)
    body = lorry(rng) if large else car(rng)
    lane = int(rng.integers(len(layout.lanes)))
    speed = layout.lane_speed[lane] * (0.85 if large else 1.0) * rng.uniform(0.85, 1.2)
    change = lane ^ 1 if rng.random() < 0.3 else lane
    return _Plan(_LORRY if large else _CAR, body, start, speed, lane, change, rng.uniform(0.5, 3.0))


def _drive(layout: Layout, plan: _Plan, slot: int) -> Actor | None:
    """A passage through the picture, or None where there is none with this place in the queue.

    `slot` -1 drives through on green, 0 stops at the line, 1 behind that.
    """
    sign, length = layout.lane_sign[plan.lane], plan.body.length
    left, right = layout.edges(layout.lanes[plan.lane])
    margin = length / 2 + 1.5
    enter, leave = (left - margin, right + margin) if sign > 0 else (right + margin, left - margin)
    line = abs(layout.stop_line(sign) - enter)
    at_line = plan.start + line / plan.speed
    red = layout.red_at(at_line + 0.3) or layout.red_at(at_line - 1.2)
    if (red is None) != (slot < 0):
        return None
    elapsed = np.arange(0.0, 80.0, _STEP)
    travelled = elapsed * plan.speed
    if red is not None:
        stop = line - length / 2 - 0.4 - slot * 7.0
        if stop - plan.speed**2 / (2 * _BRAKE) < 0.5:
            return None
        travelled = _stop_and_go(elapsed, plan.speed, stop, red[1] + 0.6 + slot * 1.0 - plan.start)
    keep = int(np.searchsorted(travelled, abs(leave - enter))) + 1
    elapsed, travelled = elapsed[:keep], travelled[:keep]
    places = np.stack([enter + sign * travelled, _across(layout, plan, travelled)], axis=1)
    return _actor(plan.class_id, plan.body, plan.start + elapsed, places)


def _across(layout: Layout, plan: _Plan, travelled: Floats) -> Floats:
    """The depth y after so many metres, with a smooth change of lanes."""
    share = np.clip((travelled / plan.speed - plan.change_at) / 2.2, 0.0, 1.0)
    start, end = layout.lanes[plan.lane], layout.lanes[plan.change]
    return np.asarray(start + (end - start) * share * share * (3 - 2 * share))


def _stop_and_go(elapsed: Floats, speed: float, stop: float, go: float) -> Floats:
    """Metres after the given seconds: cruise, brake so as to stand at `stop`, wait until `go`, pull away."""
    brake, pull = _BRAKE, _PULL
    begin = (stop - speed * speed / (2 * brake)) / speed
    braking = np.clip(elapsed - begin, 0.0, speed / brake)
    arriving = np.minimum(elapsed, begin) * speed + speed * braking - brake * braking**2 / 2
    go = max(go, begin + speed / brake)
    pulling = np.clip(elapsed - go, 0.0, speed / pull)
    return np.asarray(arriving + pull * pulling**2 / 2 + np.maximum(elapsed - go - speed / pull, 0.0) * speed)


def _collide(a: Actor, b: Actor) -> bool:
    """Whether two vehicles come nearer than a metre or so to each other."""
    start, end = max(a.times[0], b.times[0]), min(a.times[-1], b.times[-1])
    if start >= end:
        return False
    when = np.arange(start, end, _STEP)
    along, across = (
        np.abs(np.interp(when, a.times, a.places[:, axis]) - np.interp(when, b.times, b.places[:, axis]))
        for axis in (0, 1)
    )
    return bool(np.any((along < (a.body.length + b.body.length) / 2 + 1.2) & (across < 2.3)))


def strollers(rng: Generator, layout: Layout, duration: float) -> list[Actor]:
    """Walkers and runners on both pavements who come in until `duration` seconds."""
    placed = []
    time = -_LEAD
    while time < duration:
        time += rng.exponential(layout.walker_gap)
        band = layout.near_walk if rng.random() < 0.45 else layout.far_walk
        y = rng.uniform(*band)
        left, right = layout.edges(y)
        ends = np.array([[left - 0.8, y], [right + 0.8, y]])
        speed = rng.uniform(2.4, 3.2) if rng.random() < 0.12 else rng.uniform(1.0, 1.8)
        if rng.random() < 0.5:
            ends = ends[::-1]
        span = float(abs(ends[1, 0] - ends[0, 0])) / speed
        placed.append(_actor(_PERSON, person(rng), np.array([time, time + span]), ends.copy()))
    return placed


def crossers(rng: Generator, layout: Layout, duration: float) -> list[Actor]:
    """Groups that cross while the vehicles have red: at least all who come in until `duration` seconds."""
    placed = []
    for red in layout.reds(-_LEAD, duration + _LEAD):
        for _ in range(int(rng.integers(4, 10))):
            placed.append(_cross(rng, layout, red[0] + 1.6 + rng.uniform(0.0, 2.0)))
    return placed


def _cross(rng: Generator, layout: Layout, go: float) -> Actor:
    """In from a side along the pavement, wait, over the road, and out along the other pavement."""
    speed, across = rng.uniform(1.2, 1.8), rng.uniform(1.9, 2.4)
    x = layout.zebra_x + rng.uniform(-1.6, 1.6)
    near, far = layout.near_kerb - rng.uniform(0.35, 1.1), layout.far_kerb + rng.uniform(0.35, 1.1)
    first, last = (near, far) if rng.random() < 0.5 else (far, near)
    come = layout.edges(first)[int(rng.integers(2))]
    part = layout.edges(last)[int(rng.integers(2))]
    come, part = come + 0.8 * np.sign(come), part + 0.8 * np.sign(part)
    places = np.array([[come, first], [x, first], [x, first], [x, last], [part, last]])
    arrive = go - rng.uniform(0.0, 6.0)
    over = go + abs(last - first) / across
    times = np.array([arrive - abs(x - come) / speed, arrive, go, over, over + abs(part - x) / speed])
    return _actor(_PERSON, person(rng), times, places)
