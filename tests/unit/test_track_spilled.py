"""track with frames that waited in the store: a successor works them off, though nobody sends them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.runs import dump, found, make_run, messages_of
from tests.support.tracking import Tracking, published_tracks, reference, send, wait_for_end
from yolotrack import wire
from yolotrack.broker.base import tracks_log
from yolotrack.broker.memory import MemoryBroker
from yolotrack.config import DatabaseSettings
from yolotrack.model import Run
from yolotrack.store.base import Store
from yolotrack.store.sql import open_store

pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("every_thread_ends")]

COUNT = 40


def open_file(path: Path) -> Store:
    return open_store(DatabaseSettings(url=f"sqlite:///{path}"))


def spill(store: Store, run: Run, *indexes: int) -> None:
    """As an owner does that then dies."""
    store.start_run(run)
    store.spill(store.claim(run.run_id), {index: wire.encode(found(run, index)) for index in indexes})


@pytest.mark.parametrize("sent", [[], [0], [1, 2]], ids=["only the end", "one of them again", "two of them again"])
def test_a_successor_works_off_what_waited_in_the_store(sent: list[int], tmp_path: Path) -> None:
    run, store, broker = make_run(), open_file(tmp_path / "t.db"), MemoryBroker(capacity=4096, retain=4096)
    spill(store, run, *range(COUNT))
    messages = messages_of(run, COUNT)
    send(broker, [messages[0], *(messages[1 + index] for index in sent), messages[-1]])
    tracking = Tracking(broker, store)
    wait_for_end(broker.read(tracks_log(run.stream), "start"), run)
    tracking.end()
    assert published_tracks(broker, run) == list(range(COUNT))
    assert dump(store, run) == reference(lambda name: open_file(tmp_path / f"{name}.db"), run, messages)
    broker.close()
    store.close()
