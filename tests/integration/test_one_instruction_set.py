"""Equal instruction sets, equal boxes and digests; other sets, other digests. Each detector in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from yolotrack.vision import cpu

pytestmark = pytest.mark.timeout(300)

LOOK = """
import hashlib, json, sys
from pathlib import Path
from tests.support.models import shipped_picture
from yolotrack.config import ModelSettings
from yolotrack.vision import detector as module
module._cuda_devices = lambda: 0
settings = ModelSettings(**json.loads(sys.argv[1]))
if sys.argv[2]:
    module._on_cpu = lambda weights, settings: module._with_ultralytics(weights, settings, "cpu")
detector = module.open_detector(settings)
boxes = hashlib.sha256()
for name in ("bus", "zidane") * 2:
    found = detector.submit(shipped_picture(name)).result(60)
    assert len(found)
    boxes.update(found.xyxy.tobytes() + found.confidence.tobytes())
kernels = ""
if hasattr(detector, "_engines"):
    from yolotrack.vision.openvino import _model
    model = _model(detector._core, detector._export.xml, (320, 192))
    compiled = detector._core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    convolutions = [one for one in told if one["layerType"].astype(str) == "Convolution"]
    kernels = " ".join(sorted({one["primitiveType"].astype(str) for one in convolutions}))
print(json.dumps([detector.digest, boxes.hexdigest(), detector.engine, kernels]))
"""


@cache
def looked(
    weights: Path, cap: str = "auto", processors: str = "", variable: str = "", *, torch: bool = False
) -> tuple[str, str, str, str]:
    """Digest, boxes, engine and kernels of convolutions of a detector on two pictures."""
    settings: dict[str, Any] = {"weights": str(weights), "device": "cpu", "precision": "auto" if torch else "fp32"}
    bare = {name: value for name, value in os.environ.items() if "CPU_ISA" not in name and name != cpu.TORCH_CAP}
    environment = {**bare, **({"ONEDNN_MAX_CPU_ISA": variable} if variable else {})}
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        LOOK,
        json.dumps({**settings, "cpu_isa": cap, "imgsz": 320, "conf": 0.3}),
    ]
    command.append("torch" if torch else "")
    if processors:
        command = ["taskset", "-c", processors, *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout.splitlines()[-1]))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def native() -> str:
    name = cpu._name(cpu._flags(), "")
    if name not in ("avx2", "avx512_core", "avx512_core_vnni", "avx512_core_bf16", "avx512_core_amx"):
        pytest.skip(f"no cap is called {name}")
    return name


def test_a_cap_equal_to_what_a_processor_has_changes_no_bit(tiny_model: Path, native: str) -> None:
    assert looked(tiny_model, native) == looked(tiny_model)
    assert looked(tiny_model)[2] == f"OpenVINO fp32 {native}"


def test_a_lower_cap_is_another_detector_the_same_in_every_process(tiny_model: Path, native: str) -> None:
    lower = "avx2" if native.startswith("avx512") else "avx"
    capped = looked(tiny_model, lower)
    assert capped[0] != looked(tiny_model)[0]
    assert capped[1] != looked(tiny_model)[1], "or the digest would not need to tell them apart"
    assert capped[:3] == looked(tiny_model, variable=lower.upper())[:3]


def test_the_name_is_that_of_the_kernels_which_compute(tiny_model: Path, native: str) -> None:
    for cap in ("auto", "avx2", "avx"):
        _, _, engine, kernels = looked(tiny_model, cap)
        used = set(re.findall(r"_(sse42|avx|avx2|avx512)_", kernels))
        assert max(used, key=["sse42", "avx", "avx2", "avx512"].index) in engine, (engine, kernels)


def test_the_number_of_processors_changes_no_bit(tiny_model: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor")
    assert looked(tiny_model, processors=str(min(os.sched_getaffinity(0)))) == looked(tiny_model)


def test_torch_says_what_it_computes_with(tiny_model: Path, native: str) -> None:
    plain, same, lower = (looked(tiny_model, cap, torch=True) for cap in ("auto", native, "avx"))
    assert plain == same
    assert plain[0] != lower[0]
    assert re.fullmatch(rf"PyTorch cpu {native}, (avx2|avx512) kernels, \d+ threads", plain[2])
    assert re.fullmatch(r"PyTorch cpu avx, default kernels, \d+ threads", lower[2])
