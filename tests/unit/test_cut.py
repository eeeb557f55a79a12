"""Which frames of a run a video shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from threading import Event

import pytest

from tests.support.scripted import ScriptedSource
from tests.support.stores import batch_of, box_of, claimed, lost, make_run, open_file, tracked
from yolotrack.errors import NotFound, SourceError
from yolotrack.model import FrameTracks, RunStatus
from yolotrack.roles.compile import Pair, pairs_of_file
from yolotrack.roles.cut import Cut, Life, frames_within, life_in_log, life_in_store
from yolotrack.store.base import Store

RUN = make_run()
FRAMES = [
    *(tracked(RUN, index, (1,)) for index in range(10)),
    *(tracked(RUN, index, (1, 7)) for index in range(10, 20)),
    lost(RUN, 20),
    *(tracked(RUN, index, (7,)) for index in range(21, 30)),
]
"""25 a second: track 1 from 0 to 19, track 7 from 10 to 29, but for frame 20."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(open_file(tmp_path_factory.mktemp("cut") / "t.db")) as opened:
        opened.commit(claimed(opened, RUN), batch_of(FRAMES, published=40))  # ten are still on their way
        empty = claimed(opened, make_run("empty"))
        opened.end_run(empty, RunStatus.COMPLETE, 0)
        yield opened


def indexes(pairs: Iterator[Pair]) -> list[int]:
    return [outcome.index for _, outcome in pairs]


def pairs(frames: list[FrameTracks] = FRAMES) -> Iterator[Pair]:
    return ((None, frame) for frame in frames)


@pytest.mark.parametrize(
    ("cut", "first", "end"),
    [
        (Cut(), 0, 30),
        (Cut(0.4, 0.8), 10, 20),
        (Cut(0.39, 0.81), 10, 21),
        (Cut(0.41), 11, 30),
        (Cut(end=0.04), 0, 1),
        (Cut(1.16, 99.0), 29, 30),
    ],
)
def test_a_cut_begins_with_its_start_and_ends_before_its_end(store: Store, cut: Cut, first: int, end: int) -> None:
    assert indexes(cut.of(pairs(), Event())) == list(range(first, end))
    assert frames_within(store, store.find_run(RUN.run_id), cut) == (first, end)


def test_a_cut_looks_no_further_than_its_end() -> None:
    rest = pairs()
    assert indexes(Cut(end=0.2).of(rest, Event())) == [0, 1, 2, 3, 4]
    assert next(rest)[1].index == 6, "one frame says that it is over"


@pytest.mark.parametrize(("cut", "words"), [(Cut(1.2), "from 1.2 s on"), (Cut(0.41, 0.43), "and before 0.43 s")])
def test_a_cut_without_a_frame_is_refused(store: Store, cut: Cut, words: str) -> None:
    with pytest.raises(NotFound, match=words):
        indexes(cut.of(pairs(), Event()))
    with pytest.raises(NotFound, match=rf"{words}.*: its last one is at 1\.160 s"):
        frames_within(store, store.find_run(RUN.run_id), cut)


def test_a_run_without_frames_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="has no frames"):
        frames_within(store, store.find_run("latest", stream="empty"), Cut())


def test_whoever_stopped_it_knows_why_there_is_nothing() -> None:
    stop = Event()
    stop.set()
    assert indexes(Cut(9.0).of(pairs(), stop)) == []


def test_the_life_of_a_track_is_the_same_from_store_and_log(store: Store) -> None:
    lives = life_in_store(store, RUN.run_id, 7), life_in_log(FRAMES, RUN.run_id, 7)

    seen = [*range(10, 20), *range(21, 30)]
    assert lives[0] == lives[1] == Life([index / 25 for index in seen], [box_of(index, 7) for index in seen])


@pytest.mark.parametrize(("margin", "first", "end"), [(0.0, 10, 30), (0.2, 5, 30), (10.0, 0, 30)])
def test_a_life_is_cut_with_its_margin_both_ends_included(margin: float, first: int, end: int) -> None:
    cut = life_in_log(FRAMES, RUN.run_id, 7).cut(margin)
    assert indexes(cut.of(pairs(), Event())) == list(range(first, end))
    short = life_in_log(FRAMES[:20], RUN.run_id, 1).cut(margin / 10)
    assert indexes(short.of(pairs(), Event()))[-1] == min(29, 19 + round(margin * 2.5 - 0.4))


def test_a_track_that_is_not_there_is_named(store: Store) -> None:
    for life in (lambda: life_in_store(store, RUN.run_id, 4), lambda: life_in_log(FRAMES, RUN.run_id, 4)):
        with pytest.raises(NotFound, match=f"run {RUN.run_id} has no track 4: its 2 tracks are 1 to 7"):
            life()
    with pytest.raises(NotFound, match="it has none"):
        life_in_log([lost(RUN, 0)], RUN.run_id, 1)


# -- pictures out of a file


def test_pictures_find_their_frames_by_time() -> None:
    chosen = FRAMES[3:9:2]
    found = list(pairs_of_file(ScriptedSource(30), chosen, stop=Event()))

    assert [(frame and frame.index, outcome.index) for frame, outcome in found] == [(3, 3), (5, 5), (7, 7)]


def test_a_frame_whose_picture_is_gone_has_none() -> None:
    found = list(pairs_of_file(ScriptedSource(12), FRAMES[10:14], stop=Event()))

    assert [frame is not None for frame, _ in found] == [True, True, False, False]


def test_a_file_of_another_time_is_refused() -> None:
    with pytest.raises(SourceError, match=r"scripted\.mp4 has no picture at any time of the run"):
        list(pairs_of_file(ScriptedSource(5), FRAMES[10:], stop=Event()))


def test_stopping_ends_the_pairs() -> None:
    stop = Event()
    begun = pairs_of_file(ScriptedSource(30), FRAMES, stop=stop)
    next(begun)
    stop.set()
    assert list(begun) == []
