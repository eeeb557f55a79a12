"""The cache of exports, weights that are not nice, and the network that nobody may use."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import yolotrack
from tests.support.models import CLASSES, shipped_picture
from yolotrack.config import ModelSettings
from yolotrack.errors import ModelError
from yolotrack.vision import export
from yolotrack.vision.cache import cache_folder
from yolotrack.vision.detector import open_detector
from yolotrack.vision.export import openvino_export
from yolotrack.vision.openvino import OpenVINODetector
from yolotrack.vision.options import DetectOptions
from yolotrack.vision.ultralytics import UltralyticsDetector
from yolotrack.vision.weights import digest_of

SMALL = DetectOptions(imgsz=160, conf=0.3)


class TestCache:
    """Exports are made once, and again when they are damaged."""

    def test_the_second_start_neither_exports_nor_imports_torch(self, tiny_model: Path, own_cache: Path) -> None:
        OpenVINODetector(tiny_model, SMALL).close()
        code = (
            "import sys; from pathlib import Path\n"
            "from yolotrack.vision.openvino import OpenVINODetector\n"
            "detector = OpenVINODetector(Path(sys.argv[1])); detector.prepare(64, 64)\n"
            "print(*sorted({'torch', 'ultralytics'} & set(sys.modules)))\n"
        )
        done = run_python(code, tiny_model)
        assert done.stdout == "\n", done.stderr
        assert len(list((own_cache / "openvino").glob("*/manifest.json"))) == 1

    @pytest.mark.parametrize(
        "damage",
        [
            lambda entry: next(entry.glob("*/*.bin")).write_bytes(b"x"),
            lambda entry: (entry / "manifest.json").write_text("[]"),
        ],
        ids=["weights", "manifest"],
    )
    def test_a_damaged_entry_is_rebuilt(
        self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object]
    ) -> None:
        digest = digest_of(tiny_model)
        openvino_export(tiny_model, digest)
        shutil.copytree(cache_folder(), tmp_path / "cache/yolotrack")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        damage(openvino_export(tiny_model, digest).xml.parents[1])
        assert openvino_export(tiny_model, digest).names == dict(enumerate(CLASSES))
        detector = OpenVINODetector(tiny_model, SMALL)
        assert len(detector.submit(shipped_picture("bus")).result(60))
        detector.close()

    def test_two_that_start_at_once_export_once(
        self, tiny_model: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = []
        make = export._make
        monkeypatch.setattr(export, "_make", lambda *arguments: (made.append(1), make(*arguments)))
        digest = digest_of(tiny_model)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: openvino_export(tiny_model, digest), range(2))
        assert first == second
        assert len(made) == 1
        assert [path.name for path in (own_cache / "openvino").iterdir() if path.name.startswith(".")] == []

    def test_odd_characters_in_the_paths_do_no_harm(
        self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = tmp_path / "o'brien's .pt folder"
        odd.mkdir()
        monkeypatch.setenv("XDG_CACHE_HOME", str(odd / "cache"))
        weights = shutil.copyfile(tiny_model, odd / "yolov5n é.pt")
        for kind in (OpenVINODetector, UltralyticsDetector):
            detector = kind(weights, SMALL)
            assert len(detector.submit(shipped_picture("bus")).result(60))
            detector.close()


class TestBadWeights:
    """One line, before the first frame."""

    def test_a_zip_that_is_no_checkpoint(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
            archive.writestr("readme.txt", "hello")
        self.assert_refused(tmp_path / "other.pt")

    def test_a_checkpoint_of_something_else(self, tmp_path: Path) -> None:
        import torch

        torch.save({"model": {"a": torch.zeros(3)}}, tmp_path / "state.pt")
        self.assert_refused(tmp_path / "state.pt")

    def test_a_pickle_that_runs_code_runs_none(self, tmp_path: Path) -> None:
        import torch

        mark = tmp_path / "executed"
        torch.save({"model": Hostile(str(mark))}, tmp_path / "hostile.pt")
        self.assert_refused(tmp_path / "hostile.pt")
        assert not mark.exists()
        with zipfile.ZipFile(tmp_path / "hostile.pt") as archive:  # it is loaded, it would run
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            pickle.loads(archive.read(name))  # noqa: S301  # our own
        assert mark.exists()

    def assert_refused(self, weights: Path) -> None:
        with pytest.raises(ModelError, match="cannot be loaded") as error:
            open_detector(ModelSettings(weights=str(weights), device="cpu"))
        assert "\n" not in str(error.value) and weights.name in str(error.value)
        with pytest.raises(ModelError, match="cannot be loaded") as error:
            UltralyticsDetector(weights)
        assert "\n" not in str(error.value)


class Hostile:
    """Makes a folder when unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return (os.mkdir, (self.mark,))


LISTENING = """
import os, sys
def listen(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        with open(os.environ["HEARD"], "a") as file:
            file.write(f"{event} {arguments[-1]} {sys.argv}\\n")
sys.addaudithook(listen)
"""

BOTH = """
import sys
from pathlib import Path
import numpy as np
from yolotrack.vision.openvino import OpenVINODetector
from yolotrack.vision.options import DetectOptions
from yolotrack.vision.ultralytics import UltralyticsDetector
for kind in (OpenVINODetector, UltralyticsDetector):
    detector = kind(Path(sys.argv[1]), DetectOptions(imgsz=64))
    detector.submit(np.zeros((48, 64, 3), np.uint8)).result()
    detector.close()
"""


def test_export_and_detection_open_no_connection(tiny_model: Path, own_cache: Path, tmp_path: Path) -> None:
    """An audit hook in every Python process that starts, those that the detectors start included."""
    (tmp_path / "sitecustomize.py").write_text(LISTENING)
    heard, home = tmp_path / "heard", tmp_path / "home"
    heard.touch()
    home.mkdir()
    outside = {"PYTHONPATH": str(tmp_path), "HEARD": str(heard), "HOME": str(home)}
    done = run_python(BOTH, tiny_model, **outside)
    assert done.returncode == 0, done.stderr
    assert (own_cache / "openvino").is_dir()
    assert heard.read_text() == ""
    assert list(home.iterdir()) == []
    run_python("import socket; socket.getaddrinfo('127.0.0.1', 1)", tiny_model, **outside)
    assert "getaddrinfo" in heard.read_text(), "nobody listened"


def run_python(code: str, *arguments: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code as a user's program would, from another folder, without the tests' own settings."""
    repository = str(Path(yolotrack.__file__).parents[1])
    search = os.pathsep.join(filter(None, (environment.pop("PYTHONPATH", ""), repository)))
    ours = {"PYTHONPATH", "XDG_CONFIG_HOME", "YOLO_CONFIG_DIR"}
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=tempfile.gettempdir(),
        env={**outside, **environment, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
