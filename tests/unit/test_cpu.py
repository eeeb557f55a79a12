"""Which instruction set oneDNN uses, told from the processor's flags and the cap in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from yolotrack.config import ModelSettings
from yolotrack.errors import ModelError
from yolotrack.vision import cpu
from yolotrack.vision.cpu import LADDER, TORCH_CAP, cap_isa, instruction_set

VARIABLES = [f"{prefix}_{name}" for prefix in cpu.PREFIXES for name in (cpu.CAP, *cpu.OTHER_KNOBS)] + [TORCH_CAP]

HASWELL = "fpu sse4_1 sse4_2 avx f16c fma avx2 bmi1"
SKYLAKE = f"{HASWELL} avx512f avx512dq avx512cd avx512bw avx512vl"
ICE_LAKE = f"{SKYLAKE} avx512_vnni"
ZEN_4 = f"{ICE_LAKE} avx512_bf16"
SAPPHIRE_RAPIDS = f"{ZEN_4} avx_vnni avx512_fp16 amx_bf16 amx_tile amx_int8"
ALDER_LAKE = f"{HASWELL} avx_vnni"

KINDS = {
    "fpu": "sse",
    "fpu sse4_1": "sse41",
    "sse4_1 avx": "avx",
    HASWELL: "avx2",
    ALDER_LAKE: "avx2_vnni",
    SKYLAKE: "avx512_core",
    SKYLAKE.replace(" avx512vl", ""): "avx2",  # Knights Landing
    ICE_LAKE: "avx512_core_vnni",
    ZEN_4: "avx512_core_bf16",
    SAPPHIRE_RAPIDS: "avx512_core_amx",
    SAPPHIRE_RAPIDS.replace("amx_bf16 amx_tile amx_int8", ""): "avx512_core_fp16",
    f"{SAPPHIRE_RAPIDS} amx_fp16": "avx512_core_amx_fp16",
}


@pytest.fixture(autouse=True)
def a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One in which nothing was read yet; the environment is as before afterwards."""
    before = dict(os.environ)
    monkeypatch.setattr(cpu, "_read", [])
    monkeypatch.setattr(cpu.platform, "machine", lambda: "x86_64")
    for name in VARIABLES:
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)


def processor(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    monkeypatch.setattr(cpu, "_flags", lambda: frozenset(flags.split()))
    monkeypatch.setattr(cpu, "_read", [])


@pytest.mark.parametrize(("flags", "name"), KINDS.items())
def test_every_kind_of_processor_has_its_name(monkeypatch: pytest.MonkeyPatch, flags: str, name: str) -> None:
    processor(monkeypatch, flags)
    assert instruction_set("some CPU") == name


@pytest.mark.parametrize("cap", [cap for cap in LADDER if cap != "sse41"])
def test_a_cap_makes_all_processors_that_can_do_it_one(monkeypatch: pytest.MonkeyPatch, cap: str) -> None:
    able = [flags for flags in KINDS if cpu._needs(cap) <= frozenset(flags.split())]
    names = set()
    for flags in able:
        processor(monkeypatch, flags)
        cap_isa(cap)
        names.add(instruction_set("some CPU"))
    assert names <= {cap}


def test_a_cap_above_what_a_processor_can_do_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, HASWELL)
    cap_isa("avx512_core_amx")
    assert instruction_set("some CPU") == "avx2"


@pytest.mark.parametrize("cap", ["avx2", "avx512_core"])
def test_a_cap_is_where_onednn_and_torch_look_and_replaces_what_was_there(
    monkeypatch: pytest.MonkeyPatch, cap: str
) -> None:
    processor(monkeypatch, SAPPHIRE_RAPIDS)
    os.environ["DNNL_MAX_CPU_ISA"] = "AVX"
    cap_isa(cap)
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == os.environ["DNNL_MAX_CPU_ISA"] == cap.upper()
    assert os.environ[TORCH_CAP] == cap.partition("_")[0]


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "avx2"),
        ({"DNNL_MAX_CPU_ISA": "avx2"}, "avx2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX"}, "avx2"),
        ({"ONEDNN_MAX_CPU_ISA": "", "DNNL_MAX_CPU_ISA": "AVX"}, "avx"),
        ({"ONEDNN_MAX_CPU_ISA": "ALL"}, "avx512_core_amx"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX10_1_512"}, "avx512_core_amx up to avx10_1_512"),
        ({"ONEDNN_CPU_ISA_HINTS": "PREFER_YMM"}, "avx512_core_amx CPU_ISA_HINTS=prefer_ymm"),
        ({"DNNL_DEFAULT_FPMATH_MODE": "BF16"}, "avx512_core_amx DEFAULT_FPMATH_MODE=bf16"),
    ],
)
def test_a_cap_in_the_environment_counts(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str) -> None:
    processor(monkeypatch, SAPPHIRE_RAPIDS)
    os.environ.update(variables)
    cap_isa("auto")
    assert instruction_set("some CPU") == name


def test_a_cap_that_comes_too_late_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, SKYLAKE)
    assert instruction_set("some CPU") == "avx512_core"
    cap_isa("avx512_core_amx")  # means the same here
    with pytest.raises(ModelError, match="computes with avx512_core already; start a new one for avx2"):
        cap_isa("avx2")
    assert instruction_set("some CPU") == "avx512_core", "what was read once holds"


def test_where_nobody_lists_flags_the_processor_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for device, cap in (("Xeon", "auto"), ("EPYC", "auto"), ("EPYC", "avx2")):
        processor(monkeypatch, "")
        cap_isa(cap)
        names.add(instruction_set(device))
    assert names == {"x86_64 Xeon", "x86_64 EPYC", "x86_64 EPYC avx2"}


def test_a_cap_means_nothing_to_another_kind_of_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu.platform, "machine", lambda: "aarch64")
    cap_isa("auto")
    with pytest.raises(ModelError, match="is for x86 processors, and this is aarch64"):
        cap_isa("avx2")


def test_every_choice_of_the_setting_is_one_that_onednn_knows() -> None:
    choices = ModelSettings.model_fields["cpu_isa"].annotation.__args__  # type: ignore[union-attr]
    assert set(choices) - {"auto"} <= set(LADDER)
