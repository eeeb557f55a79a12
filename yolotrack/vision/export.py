"""Weights as an OpenVINO model, exported once through ultralytics and kept in the cache.

The export has a dynamic shape, which OpenVINO specialises for a picture's size in milliseconds: on YOLOv8n to bit
the same output, and the same graph, as an export of that shape. So one export serves every size.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yolotrack
from yolotrack.errors import ModelError
from yolotrack.vision.cache import cache_error, cache_subfolder
from yolotrack.vision.export_child import MODEL, RESULT, WEIGHTS
from yolotrack.vision.weights import OTHER_WEIGHTS, digest_of

MANIFEST = "manifest.json"
FORMAT = 1
"""Of the cache; a new number leaves old entries behind."""

log = logging.getLogger(__name__)


class Unsuited(ModelError):
    """These weights are fine, but cannot run on OpenVINO."""


class _Damaged(Exception):
    """A cache entry is missing or not as it was written."""


@dataclass(frozen=True, slots=True)
class Export:
    """An OpenVINO model of dynamic shape, NCHW RGB 0-1 in, raw YOLO head out."""

    xml: Path
    names: Mapping[int, str]
    stride: int
    digest: str
    """Of the graph and its weights: exports are equal byte by byte, on whatever processor they are made."""


def openvino_export(weights: Path, digest: str) -> Export:
    """The export of those weights, whose content has that digest; made when it is not in the cache or damaged there.

    Any number of processes may ask at once: one exports, the others wait. `ModelError` when ultralytics cannot load
    the weights or the cache cannot be written, `Unsuited` when OpenVINO is not for them.
    """
    entry = cache_subfolder("openvino") / _key(digest)
    with contextlib.suppress(_Damaged):
        return _load(entry)
    try:
        with _locked(entry.with_suffix(".lock")):
            with contextlib.suppress(_Damaged):
                return _load(entry)
            _make(weights, entry)
            return _load(entry)
    except OSError as error:
        raise cache_error(error) from error


def runtime() -> str:
    """Names and versions of what an export and its results depend on."""
    return f"openvino {version('openvino')}, ultralytics {version('ultralytics')}"


def _key(digest: str) -> str:
    return hashlib.sha256(f"{FORMAT} {digest} {runtime()}".encode()).hexdigest()[:32]


def _load(entry: Path) -> Export:
    try:
        manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
        sound = digest_of(entry / MODEL) == manifest["digest"]
        names = {int(number): str(name) for number, name in manifest["names"].items()}
        stride = int(manifest["stride"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Damaged from error
    if not sound:
        raise _Damaged
    xml = next((entry / MODEL).glob("*.xml"))
    return Export(xml, names, stride, digest_of(xml) + digest_of(xml.with_suffix(".bin")))


def _make(weights: Path, entry: Path) -> None:
    log.info("exporting %s to OpenVINO, once", weights.name)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".export-") as scratch:
        folder = Path(scratch)
        shutil.copyfile(weights, folder / WEIGHTS)
        result = _run_child(folder)
        if "error" in result:
            raise ModelError(f"{weights} cannot be loaded: {result['error']}; {OTHER_WEIGHTS}")
        if "unsuited" in result:
            raise Unsuited(f"{weights} does not run on OpenVINO: {result['unsuited']}")
        _publish(folder, entry, result)


def _publish(folder: Path, entry: Path, result: dict[str, Any]) -> None:
    done = folder / "done"
    done.mkdir()
    (folder / MODEL).rename(done / MODEL)
    manifest = {**result, "digest": digest_of(done / MODEL)}
    (done / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    shutil.rmtree(entry, ignore_errors=True)
    done.rename(entry)


def _run_child(folder: Path) -> dict[str, Any]:
    search = [str(Path(yolotrack.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-m", "yolotrack.vision.export_child"],
        cwd=folder,  # ultralytics mistakes some characters in a path for instructions
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    log.debug("export: %s", done.stderr)
    try:
        result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ModelError(f"the export to OpenVINO stopped with exit code {done.returncode}: {said[-1]}") from None
    return result


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time, where the system has such locks; without them work is doubled, not damaged."""
    with path.open("w") as file:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
