"""The container files against what they name: commands, options, settings, files and each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from yolotrack.cli import app
from yolotrack.config import setting_fields

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("yolotrack")]
EXAMPLE = dict(
    line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
)
VARIABLE = re.compile(r"\$\{(\w+)(?::?[-?][^}]*)?\}")


def test_the_services_are_there() -> None:
    assert set(SERVICES) == {"rabbitmq", "postgres", "worker", "publisher", "compiler"}
    assert SERVICES["postgres"]["profiles"] == ["postgres"]
    assert SERVICES["publisher"]["profiles"] == ["publisher"]
    assert SERVICES["compiler"]["profiles"] == ["compiler"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_the_command_line(name: str) -> None:
    words = [VARIABLE.sub(lambda found: EXAMPLE.get(found[1], "x"), word) for word in SERVICES[name]["command"]]
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]

    with command.make_context(words[0], words[1:]) as context:
        assert not context.args


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    known = {f"YOLOTRACK_{key.upper().replace('.', '__')}" for key in setting_fields()}

    assert set(SERVICES[name]["environment"]) <= known


def test_everything_taken_from_the_environment_is_in_the_example() -> None:
    assert {found[1] for found in VARIABLE.finditer((ROOT / "docker-compose.yml").read_text())} <= set(EXAMPLE)


def test_the_worker_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_named_volumes_are_declared() -> None:
    named = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith((".", "/"))
    }

    assert named == set(COMPOSE["volumes"])


def test_the_image_runs_as_nobody_special_and_copies_what_is_there() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]

    assert [line for line in lines if line.startswith("USER ")] == ["USER yolotrack"]
    assert copied and all((ROOT / path).exists() for path in copied)
    assert "ENTRYPOINT" in "".join(lines) and '["yolotrack"]' in "".join(lines)


def test_the_compose_file_satisfies_docker_compose(tmp_path: Path) -> None:
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed")
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)

    done = subprocess.run([tool, "config", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
