"""The embedded broker and the databases that tests of roles work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # tests of pure functions start sooner without them
    from tests.support.tracking import OpenStore
    from yolotrack.broker.memory import MemoryBroker
    from yolotrack.store.base import Store


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    """One with room for every message of a test."""
    from yolotrack.broker.memory import MemoryBroker

    opened = MemoryBroker(capacity=4096, retain=4096)
    yield opened
    opened.close()


@pytest.fixture
def store_at(tmp_path: Path) -> Iterator[OpenStore]:
    """Opens databases by name."""
    from yolotrack.config import DatabaseSettings
    from yolotrack.store.sql import open_store

    opened: list[Store] = []

    def open_one(name: str) -> Store:
        opened.append(open_store(DatabaseSettings(url=f"sqlite:///{tmp_path / name}.db")))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(store_at: OpenStore) -> Store:
    """A new, empty one."""
    return store_at("tracks")
