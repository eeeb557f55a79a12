"""What every test stands on: nobody's own folders, no settings from outside, real data where there is some."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.postgres import PostgresCluster
    from tests.support.rabbit import RabbitNode

_REPOSITORY = Path(__file__).resolve().parents[1]
_FOLDERS = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "YOLO_CONFIG_DIR", "MPLCONFIGDIR")


def pytest_configure(config: pytest.Config) -> None:
    """Caches and settings of this session and its subprocesses go to folders of its own.

    Before collection: some libraries look for their folders when they are imported. Subprocesses may keep the
    bytecode that they compile: hundreds begin here, and each would compile all of the package again.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    home = Path(tempfile.mkdtemp(prefix="yolotrack-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for variable in _FOLDERS:
        (home / variable.lower()).mkdir()
        os.environ[variable] = str(home / variable.lower())


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests sets nothing."""
    for name in list(os.environ):
        if name.upper().startswith("YOLOTRACK_") and name != "YOLOTRACK_REAL_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real videos, weights and sequences; a test that needs it is skipped where it is absent."""
    folder = Path(os.environ.get("YOLOTRACK_REAL_DATA") or _REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; YOLOTRACK_REAL_DATA names its folder")
    return folder


@pytest.fixture
def every_thread_ends() -> Iterator[None]:
    """Fails the test that leaves a thread behind."""
    from tests.support.waiting import no_thread_left

    with no_thread_left():
        yield


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """Weights of a very small model that finds many boxes."""
    from tests.support.models import make_tiny_model

    return make_tiny_model()


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A RabbitMQ node for the whole session, which no test stops. Everybody takes a namespace of their own."""
    from tests.support.rabbit import rabbit_node

    with rabbit_node(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """A PostgreSQL cluster for the whole session, which no test stops. Everybody takes a schema of their own."""
    from tests.support.postgres import postgres_cluster

    with postgres_cluster() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a new, empty database or schema, of each kind there is."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres").fresh())
    return f"sqlite:///{tmp_path / 'tracks.db'}"
