"""`yolotrack config` and what every command shares, as the installed command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from yolotrack.config import Settings, load_file, masked

YOLOTRACK = Path(sys.executable).with_name("yolotrack")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def yolotrack(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([YOLOTRACK, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return done


def test_show_prints_the_settings_in_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.yaml").write_text("model: {conf: 0.2, iou: 0.2}")
    monkeypatch.setenv("YOLOTRACK_MODEL__IOU", "0.3")

    done = yolotrack("config", "show", "--db", "postgresql://me:hunter2@db/t")

    shown = yaml.safe_load(done.stdout)
    assert (shown["model"]["conf"], shown["model"]["iou"]) == (0.2, 0.3)
    assert shown["database"]["url"] == "postgresql://me:***@db/t"
    assert done.stderr == ""


def test_show_is_itself_a_config() -> None:
    Path("shown.yaml").write_text(yolotrack("config", "show").stdout)

    assert masked(load_file(Path("shown.yaml"))) == masked(Settings())


def test_show_as_json() -> None:
    shown = json.loads(yolotrack("config", "show", "--json").stdout)

    assert shown == masked(Settings())


def test_validate_accepts_a_right_file() -> None:
    Path("right.yaml").write_text("model: {conf: 0.2}")

    assert yolotrack("config", "validate", "right.yaml").stdout == "right.yaml: valid\n"
    assert yolotrack("config", "validate", "right.yaml", "--quiet").stdout == ""


def test_validate_refuses_a_wrong_file_with_a_line_for_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOTRACK_MODEL__CONF", "0.5")
    Path("wrong.yaml").write_text("model: {conf: 7, weigths: a.pt}")

    done = yolotrack("config", "validate", "wrong.yaml", code=1)

    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "error: wrong.yaml: model.conf: should be less than or equal to 1, not 7",
        "error: wrong.yaml: model.weigths: unknown key; did you mean model.weights?",
    ]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["config", "shew"], "error: No such command 'shew'. Did you mean 'show'?; see `yolotrack config --help`"),
        (["config", "show", "--jsn"], "error: No such option: --jsn (Possible options: --json); see"),
        (["config", "validate"], "error: Missing argument 'FILE'; see `yolotrack config validate --help`"),
        (["config", "show", "--log-level", "loud"], "error: --log-level: log.level: should be 'debug',"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(arguments: list[str], line: str) -> None:
    done = yolotrack(*arguments, code=2)

    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(line)


def test_a_failure_shows_its_traceback_only_when_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    failing = ["config", "show", "--db", "sqlite:///ü.db"]

    plain = yolotrack(*failing, code=1).stderr
    debug = yolotrack(*failing, "--log-level", "debug", code=1).stderr

    assert plain.startswith("error: UnicodeEncodeError: ")
    assert plain.endswith("; run again with --log-level debug to see where\n")
    assert len(plain.splitlines()) == 1
    assert "Traceback (most recent call last):" in debug


def test_nobody_reading_the_output_is_no_reason_to_complain() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run([YOLOTRACK, "config", "show"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")


def test_version_and_help_name_the_commands() -> None:
    assert yolotrack("--version").stdout == "yolotrack 0.1.0\n"
    for command in ("run", "demo", "db", "config"):
        assert f"\n  {command} " in yolotrack("--help").stdout


def test_without_a_command_the_help_is_shown() -> None:
    assert "Commands:" in yolotrack(code=2).stderr


def test_as_a_module_it_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "yolotrack", "config", "validate", "none.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (1, "error: none.yaml: No such file or directory\n")
