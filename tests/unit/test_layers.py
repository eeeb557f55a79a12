"""Who may import whom: cli -> web -> pipeline -> roles -> contracts -> model, errors; never up, adapters not sideways.

Read off the source, imports within functions included; imports for type checkers alone are free.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "yolotrack"
ADAPTERS = ("broker", "store", "video", "vision", "formats")
ABOVE_ROLES = ("yolotrack.cli", "yolotrack.web", "yolotrack.pipeline", "yolotrack.worker", "yolotrack.__main__")
HEAVY = (
    "torch",
    "torchvision",
    "ultralytics",
    "openvino",
    "cv2",
    "av",
    "supervision",
    "trackers",
    "sqlalchemy",
    "psycopg",
    "pyarrow",
    "pika",
    "starlette",
    "uvicorn",
)
LIGHT_THIRD_PARTY = ("numpy", "supervision")
ONLY_IN = {
    "typer": ("yolotrack.cli",),
    "pika": ("yolotrack.broker.rabbitmq",),
    "sqlalchemy": ("yolotrack.store",),
    "psycopg": ("yolotrack.store.postgres",),
    "pyarrow": ("yolotrack.store", "yolotrack.formats", "yolotrack.evaluate"),
    "ultralytics": ("yolotrack.vision",),
    "openvino": ("yolotrack.vision",),
    "trackers": ("yolotrack.vision", "yolotrack.evaluate", "yolotrack.demo"),
    "av": ("yolotrack.video", "yolotrack.demo"),
    "starlette": ("yolotrack.web",),
    "uvicorn": ("yolotrack.web",),
}


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    package: str
    tree: ast.Module

    def within(self, *packages: str) -> bool:
        return any(self.name == package or self.name.startswith(package + ".") for package in packages)

    @property
    def is_contract(self) -> bool:
        return self.name in {f"yolotrack.{adapter}.base" for adapter in ADAPTERS}

    @property
    def opens(self) -> bool:
        """It has an `open_*` factory, which is what settings are handed to."""
        return any(isinstance(node, ast.FunctionDef) and node.name.startswith("open_") for node in self.tree.body)


def modules_of(package: Path) -> dict[str, Module]:
    modules = (_module(package, file) for file in sorted(package.rglob("*.py")))
    return {module.name: module for module in modules}


def _module(package: Path, file: Path) -> Module:
    parts = (package.name, *file.relative_to(package).with_suffix("").parts)
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, ".".join(parts[:-1]), ast.parse(file.read_text(encoding="utf-8")))


def imports(module: Module, known: Mapping[str, Module]) -> Iterator[tuple[int, str]]:
    """Line and full name of whatever `module` imports: of our own, the module; of others, what is written."""
    hidden = {id(inner) for node in ast.walk(module.tree) if _types_only(node) for inner in _body(node)}
    for node in ast.walk(module.tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(module, node)
            inner = ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
            yield from ((line, name if name in known else source) for line, name in inner)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    """The module that `from .x import y` names."""
    if not node.level:
        return str(node.module)
    parents = module.package.split(".")
    return ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])


def _types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _body(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.If)
    for statement in node.body:
        yield from ast.walk(statement)


def refusal(module: Module, target: str) -> str | None:
    """Why `module` may not import `target`; None where it may."""
    top = target.partition(".")[0]
    if top == "yolotrack":
        return _refused_ours(module, target)
    owners = ONLY_IN.get(top)
    if owners and not module.within(*owners):
        return f"{top} belongs to {', '.join(owners)}"
    outside = {*HEAVY, "typer", "rich"} - {"supervision"}
    if module.within("yolotrack.roles", "yolotrack.pipeline", "yolotrack.worker") and top in outside:
        return "roles and the pipeline know contracts, not libraries"
    if module.is_contract and top in outside:
        return "contracts know no library of their adapters"
    if module.name in {"yolotrack.model", "yolotrack.errors"} and top not in {
        *sys.stdlib_module_names,
        *LIGHT_THIRD_PARTY,
    }:
        return "model and errors import numpy and supervision at most"
    return None


def _refused_ours(module: Module, target: str) -> str | None:
    if module.name in {"yolotrack.model", "yolotrack.errors"}:
        return None if target in {"yolotrack.model", "yolotrack.errors"} else "model and errors are the bottom"
    if module.within("yolotrack.web") and _under(target, "yolotrack.web", "yolotrack.pipeline"):
        return None
    if _under(target, *ABOVE_ROLES) and not module.within("yolotrack.cli", "yolotrack.__main__"):
        return "upwards: only the command line knows the pipeline and itself"
    if _under(target, "yolotrack.config") and not _sees_settings(module):
        return "only cli, pipeline and open_* factories see settings"
    if _under(target, "yolotrack.roles") and not module.within("yolotrack.roles", *ABOVE_ROLES):
        return "upwards: only the pipeline and the command line know roles"
    adapter = next((name for name in ADAPTERS if _under(target, f"yolotrack.{name}")), None)
    return _refused_adapter(module, adapter, target) if adapter else None


def _sees_settings(module: Module) -> bool:
    return module.within("yolotrack.cli", "yolotrack.pipeline", "yolotrack.worker", "yolotrack.config") or module.opens


def _refused_adapter(module: Module, adapter: str, target: str) -> str | None:
    if target == f"yolotrack.{adapter}.base":
        own = next((name for name in ADAPTERS if module.within(f"yolotrack.{name}")), adapter)
        return None if own == adapter or not module.is_contract else "contracts do not know each other"
    if module.within("yolotrack.roles"):
        return "roles know contracts, not adapters"
    if module.within("yolotrack.web"):
        return "pages know contracts, not adapters"
    if module.within(*(f"yolotrack.{other}" for other in ADAPTERS if other != adapter)):
        return "adapters do not import each other"
    return None


def _under(target: str, *packages: str) -> bool:
    return any(target == package or target.startswith(package + ".") for package in packages)


def violations(package: Path) -> list[str]:
    known = modules_of(package)
    return [
        f"{module.name}:{line} imports {target}: {why}"
        for module in known.values()
        for line, target in imports(module, known)
        if (why := refusal(module, target))
    ]


def test_every_import_follows_the_layers() -> None:
    found = violations(PACKAGE)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("roles/track.py", "import pika", "yolotrack.roles.track:1 imports pika"),
        ("roles/track.py", "from yolotrack.store.sql import open_store", "roles know contracts, not adapters"),
        (
            "roles/track.py",
            "def f():\n    from yolotrack.pipeline import run",
            "track:2 imports yolotrack.pipeline: upwards",
        ),
        ("roles/track.py", "import cv2", "roles and the pipeline know contracts, not libraries"),
        ("video/sink.py", "from yolotrack.vision import detector", "adapters do not import each other"),
        ("video/sink.py", "from ..vision.detector import open_detector", "adapters do not import each other"),
        ("video/sink.py", "from yolotrack.roles.track import Track", "upwards"),
        ("roles/track.py", "import starlette.routing", "starlette belongs to yolotrack.web"),
        ("roles/track.py", "from yolotrack.web.app import create_app", "upwards: only the command line"),
        ("pipeline.py", "from yolotrack.web.app import create_app", "upwards: only the command line"),
        ("web/app.py", "from yolotrack.store.sql import open_store", "pages know contracts, not adapters"),
        ("web/app.py", "from yolotrack.cli.web import serve", "upwards: only the command line"),
        ("broker/memory.py", "import pika", "pika belongs to yolotrack.broker.rabbitmq"),
        ("pipeline.py", "import typer", "typer belongs to yolotrack.cli"),
        ("model.py", "import msgspec", "numpy and supervision at most"),
        ("errors.py", "from yolotrack.store.base import Store", "the bottom"),
        ("store/base.py", "import sqlalchemy.orm", "contracts know no library"),
        ("store/base.py", "from yolotrack.video.base import Source", "contracts do not know each other"),
        ("video/draw.py", "from yolotrack.config import OutputSettings", "only cli, pipeline and open_* factories"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path: Path, file: str, source: str, complaint: str) -> None:
    package = tmp_path / "yolotrack"
    for name in ("video/sink.py", "vision/detector.py", "roles/track.py", "store/base.py", "video/base.py", file):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    (package / file).write_text(source)

    found = violations(package)

    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("roles/track.py", "from yolotrack.store.base import Store\nimport supervision"),
        ("roles/track.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("store/sql.py", "from yolotrack.config import DatabaseSettings\ndef open_store(): ..."),
        ("broker/rabbitmq.py", "import pika"),
        ("cli/run.py", "import typer\nfrom yolotrack.pipeline import run_pipeline"),
        ("web/app.py", "import starlette\nfrom yolotrack.web.guard import Guard\nfrom yolotrack.pipeline import run"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, source: str) -> None:
    package = tmp_path / "yolotrack"
    for name in ("store/base.py", "pipeline.py", file):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    (package / file).write_text(source)

    assert violations(package) == []


def test_importing_every_contract_loads_nothing_heavy() -> None:
    contracts = ", ".join(f"yolotrack.{adapter}.base" for adapter in ADAPTERS)

    loaded = _loaded_by(f"import yolotrack.model, yolotrack.errors, {contracts}")

    assert loaded.isdisjoint(HEAVY)


def test_help_loads_nothing_heavy() -> None:
    help_ = "import sys; sys.argv = ['yolotrack', '--help']\ntry: yolotrack.cli.main()\nexcept SystemExit: pass"

    loaded = _loaded_by(f"import yolotrack.cli; {help_}")

    assert "yolotrack.cli" in loaded
    assert loaded.isdisjoint({*HEAVY, "pydantic", "yaml"})


def _loaded_by(code: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys; print('\\n' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ}
    )
    return set(done.stdout.splitlines()[-1].split())
