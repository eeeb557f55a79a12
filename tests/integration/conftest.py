"""What tests of the pipeline, of the store and of detectors share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.pipelines import MakeDetector
    from tests.support.scripted import ScriptedDetector
    from yolotrack.store.base import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's database goes."""
    return tmp_path / "tracks.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A new, empty one at `path`."""
    from tests.support.stores import open_file

    opened = open_file(path)
    yield opened
    opened.close()


@pytest.fixture
def make_detector() -> Iterator[MakeDetector]:
    """Makes scripted ones, which end with the test."""
    from tests.support.scripted import ScriptedDetector

    made: list[ScriptedDetector] = []

    def make(**options: Any) -> ScriptedDetector:
        made.append(ScriptedDetector(**options))
        return made[-1]

    yield make
    for detector in made:
        detector.close()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/yolotrack"
