"""`open_detector`: a user's own detector, and settings that do not fit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from yolotrack.config import ModelSettings
from yolotrack.errors import ModelError
from yolotrack.vision import detector as module
from yolotrack.vision.detector import open_detector

MINE = """
from tests.support.scripted import ScriptedDetector
from yolotrack.errors import ModelError

def plain():
    return ScriptedDetector(digest="plain")

def asking(settings):
    return ScriptedDetector(digest=f"conf {settings.conf}")

def choosy(device, name="x"):
    return ScriptedDetector(digest=device.device)

def optional(name="mine"):
    return ScriptedDetector(digest=name)

def broken():
    raise ValueError("no luck\\ntoday")

def refusing():
    raise ModelError("not with me")

def nothing():
    return None

def half():
    detector = ScriptedDetector()
    detector.submit = None
    return detector

def idle():
    detector = ScriptedDetector()
    detector.capacity = 0
    return detector
"""


@pytest.fixture(autouse=True)
def in_a_folder_with_detectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_detectors.py").write_text(MINE)
    (tmp_path / "unloadable.py").write_text("import no_such_package")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_detectors", raising=False)


@pytest.mark.parametrize(
    ("factory", "digest"), [("plain", "plain"), ("asking", "conf 0.3"), ("choosy", "cpu"), ("optional", "mine")]
)
def test_a_factory_is_called_as_it_is_written(factory: str, digest: str) -> None:
    opened = open_detector(ModelSettings(weights=f"my_detectors:{factory}", conf=0.3, device="cpu"))
    assert opened.digest == digest
    opened.close()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("no_such_module:make", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("unloadable:make", "No module named 'no_such_package'"),
        ("my_detectors:gone", "has no attribute 'gone'"),
        ("my_detectors:broken", "ValueError: no luck"),
        ("my_detectors:refusing", "^not with me$"),
        ("my_detectors:nothing", "no detector: it has no method prepare"),
        ("my_detectors:half", "no detector: it has no method submit"),
        ("my_detectors:idle", "capacity must be at least 1"),
    ],
)
def test_a_factory_that_gives_no_detector_is_one_line(weights: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as error:
        open_detector(ModelSettings(weights=weights))
    assert "\n" not in str(error.value)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cuda_devices", lambda: 1)
    with pytest.raises(ModelError, match=r"no device cuda:3 here \(1 CUDA devices found\): use --device cpu"):
        open_detector(ModelSettings(weights="any.pt", device="cuda:3"))


def test_missing_weights_are_refused() -> None:
    with pytest.raises(ModelError, match=r"no weights at gone\.pt"):
        open_detector(ModelSettings(weights="gone.pt", device="cpu"))
