"""What a processor computes with: the instruction set as oneDNN uses it, which OpenVINO and PyTorch share.

Another instruction set adds in another order, so boxes differ in their last bits, in fp32 too. oneDNN takes the best
set that the processor has, up to a cap in the environment, which it reads once, when it is first used.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping
from pathlib import Path

from yolotrack.errors import ModelError

LADDER: Mapping[str, tuple[str, frozenset[str]]] = {
    "sse41": ("", frozenset({"sse4_1"})),
    "avx": ("sse41", frozenset({"avx"})),
    "avx2": ("avx", frozenset({"avx2"})),
    "avx2_vnni": ("avx2", frozenset({"avx_vnni"})),
    "avx2_vnni_2": ("avx2_vnni", frozenset({"avx_vnni_int8", "avx_ne_convert"})),
    "avx512_core": ("avx2", frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"})),
    "avx512_core_vnni": ("avx512_core", frozenset({"avx512_vnni"})),
    "avx512_core_bf16": ("avx512_core_vnni", frozenset({"avx512_bf16"})),
    "avx512_core_fp16": ("avx512_core_bf16", frozenset({"avx512_fp16", "avx_vnni"})),
    "avx512_core_amx": ("avx512_core_fp16", frozenset({"amx_tile", "amx_int8", "amx_bf16"})),
    "avx512_core_amx_fp16": ("avx512_core_amx", frozenset({"amx_fp16"})),
}
"""oneDNN's names of instruction sets, the better ones later: what each extends, and the Linux CPU flags it adds."""
PREFIXES = ("ONEDNN", "DNNL")
"""Of oneDNN's environment variables, in the order it looks for them."""
CAP = "MAX_CPU_ISA"
OTHER_KNOBS = ("CPU_ISA_HINTS", "DEFAULT_FPMATH_MODE")
"""Variables that change what oneDNN computes, too."""
TORCH_CAP = "ATEN_CPU_CAPABILITY"
X86 = frozenset({"x86_64", "amd64", "i386", "i686"})
NO_CAP = frozenset({"", "all", "default"})

_reading = threading.Lock()
_read: list[str] = []
"""What oneDNN read in this process, once it did."""


def cap_isa(wanted: str) -> None:
    """Keep oneDNN and PyTorch from using a better instruction set than `wanted`, one of `LADDER`; `auto` does nothing.

    Call it before a model is loaded. It holds for this process and those that it starts, and takes the place of a cap
    in the environment. `ModelError` when this process computes with another instruction set already.
    """
    if wanted == "auto":
        return
    if platform.machine().lower() not in X86:
        raise ModelError(f"model.cpu_isa {wanted} is for x86 processors, and this is {platform.machine()}; use auto")
    with _reading:
        if _read and _name(_flags(), _read[0]) != _name(_flags(), wanted):
            raise ModelError(
                f"this process computes with {_name(_flags(), _read[0])} already; start a new one for {wanted}"
            )
        os.environ.update({f"{prefix}_{CAP}": wanted.upper() for prefix in PREFIXES})
        os.environ[TORCH_CAP] = _torch_name(wanted)


def instruction_set(device_name: str) -> str:
    """The name of the instruction set that oneDNN uses in this process, such as `avx2`. Call it once oneDNN is loaded.

    Where the system does not list the processor's abilities, the processor's own `device_name` stands for them.
    """
    with _reading:
        if not _read:
            _read.append(_variable(CAP))
        cap = _read[0]
    knobs = [f"{name}={value}" for name in OTHER_KNOBS if (value := _variable(name))]
    flags = _flags()
    name = _name(flags, cap) if flags else " ".join(filter(None, (platform.machine(), device_name, cap)))
    return " ".join([name, *knobs])


def _name(flags: frozenset[str], cap: str) -> str:
    """The best instruction set of a processor with those flags, below that cap."""
    if cap not in LADDER:
        return " ".join(filter(None, (_best(flags), "" if cap in NO_CAP else f"up to {cap}")))
    return _best(flags & _needs(cap))


def _best(flags: frozenset[str]) -> str:
    return next((name for name in reversed(tuple(LADDER)) if _needs(name) <= flags), "sse")


def _needs(name: str) -> frozenset[str]:
    if not name:
        return frozenset()
    extends, adds = LADDER[name]
    return adds | _needs(extends)


def _flags() -> frozenset[str]:
    """What the processor can do by Linux's names; empty where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    listed = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(listed.partition(":")[2].split())


def _variable(name: str) -> str:
    values = (os.environ.get(f"{prefix}_{name}", "") for prefix in PREFIXES)
    return next((value.lower() for value in values if value), "")


def _torch_name(cap: str) -> str:
    """PyTorch's own kernels come in three kinds."""
    return "avx512" if cap.startswith("avx512") else "avx2" if cap.startswith("avx2") else "default"
