"""Every line of README's "Ask the database" does what it says, on a database that has what it asks for."""

from __future__ import annotations

import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stores import batch_of, claimed, make_run, open_file, tracked
from yolotrack.cli import app
from yolotrack.cli.common import exit_code_of
from yolotrack.model import RunStatus

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.split("\n## Ask the database\n")[1].split("\n## ")[0]
COMMANDS = README.split("\n## Commands\n")[1].split("\n## ")[0]
LINES = re.findall(r"(?m)^yolotrack .+$", SECTION)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 seconds of a street, with persons and cars."""
    path = tmp_path_factory.mktemp("readme") / "yolotrack.db"
    with closing(open_file(path)) as store:
        run = make_run("street")
        claim = claimed(store, run)
        kinds = {"class_id": (0, 2, 2, 0), "confidence": (0.9, 0.8, 0.7, 0.6)}
        store.commit(claim, batch_of([tracked(run, index, (1, 3, 7, 9), **kinds) for index in range(500)]))
        store.end_run(claim, RunStatus.COMPLETE, 500)
    return path


def test_there_are_examples_of_every_command() -> None:
    assert {shlex.split(line)[2] for line in LINES} == {"runs", "tracks", "query", "export", "prune", "vacuum"}


@pytest.mark.parametrize("line", LINES)
def test_every_line_works(
    line: str, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOLOTRACK_DATABASE__URL", f"sqlite:///{database}")
    arguments = shlex.split(line, comments=True)[1:]

    code = exit_code_of(app, arguments)

    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "nothing to forget\n" if "prune" in arguments else "")
    has_rows = arguments[1] in ("runs", "tracks", "query") and "-o" not in arguments
    assert len(captured.out.splitlines()) >= (arguments[1] != "prune") + has_rows, "names and rows, or where they are"
    if "-o" in arguments:
        assert (tmp_path / arguments[arguments.index("-o") + 1]).exists()


def test_every_option_is_described() -> None:
    import typer

    commands = typer.main.get_command(app).commands["db"].commands  # type: ignore[attr-defined]
    shared = {"--config", "--db", "--log-level", "--help"}
    for name, command in commands.items():
        for spellings in (set(parameter.opts) for parameter in command.params):
            told = any(re.search(rf"[ `]{option}(?![\w-])", SECTION + COMMANDS) for option in spellings)
            assert told or spellings & shared, f"README.md does not tell of {name} {spellings}"
