"""Opening the detector that the settings name: a user's own, OpenVINO on a CPU, ultralytics on everything else."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolotrack.config import ModelSettings
from yolotrack.errors import ModelError
from yolotrack.vision.base import Detector
from yolotrack.vision.cpu import cap_isa
from yolotrack.vision.offline import stay_offline
from yolotrack.vision.options import DetectOptions
from yolotrack.vision.text import reason
from yolotrack.vision.weights import find_weights

if TYPE_CHECKING:
    from collections.abc import Callable

FACTORY = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<factory>[^\W\d]\w*)")
METHODS = ("prepare", "submit", "close")

log = logging.getLogger(__name__)


def check_detector(settings: ModelSettings) -> None:
    """Refuse a device or weights that are not there, before anything heavy is imported.

    Official weights are downloaded. `ModelError` in one line.
    """
    if _own_factory(settings.weights) is None:
        _device(settings.device)
        find_weights(settings.weights)


def open_detector(settings: ModelSettings) -> Detector:
    """The detector for those settings, loaded and checked; close it when done. `ModelError` in one line otherwise."""
    stay_offline()
    own = _own_factory(settings.weights)
    if own:
        return _own_detector(own["module"], own["factory"], settings)
    cap_isa(settings.cpu_isa)
    device = _device(settings.device)
    weights = find_weights(settings.weights)
    if device == "cpu" and weights.suffix.lower() == ".pt":
        return _on_cpu(weights, settings)
    return _with_ultralytics(weights, settings, device)


def _own_factory(weights: str) -> re.Match[str] | None:
    """Module and factory of a detector of the user's own, where that is what the weights name."""
    own = FACTORY.fullmatch(weights)
    return own if own and not Path(weights).exists() else None


def _on_cpu(weights: Path, settings: ModelSettings) -> Detector:
    from yolotrack.vision.export import Unsuited
    from yolotrack.vision.openvino import OpenVINODetector

    try:
        return OpenVINODetector(weights, _options(settings), settings.precision)
    except Unsuited as error:
        log.warning("%s; running it with PyTorch, which is slower", error)
        return _with_ultralytics(weights, settings, "cpu")


def _with_ultralytics(weights: Path, settings: ModelSettings, device: str) -> Detector:
    from yolotrack.vision.ultralytics import UltralyticsDetector

    if settings.precision == "bf16":
        raise ModelError(f"precision bf16 needs .pt weights on a CPU, not {settings.weights} on {device}: use auto")
    on_cuda = device.startswith("cuda")
    return UltralyticsDetector(
        weights, _options(settings), device, half=settings.half and on_cuda, batch=settings.batch if on_cuda else 1
    )


def _options(settings: ModelSettings) -> DetectOptions:
    return DetectOptions(settings.imgsz, settings.conf, settings.iou, settings.max_det, settings.classes)


def _device(wanted: str) -> str:
    """`auto` resolved; `ModelError` for a device that is not there."""
    if wanted == "auto":
        return "cuda" if _cuda_devices() else "cpu"
    if wanted.startswith("cuda"):
        number, count = int(wanted.partition(":")[2] or 0), _cuda_devices()
        if number >= count:
            raise ModelError(f"no device {wanted} here ({count} CUDA devices found): use --device cpu")
    if wanted == "mps" and not _has_mps():
        raise ModelError("no device mps here: use --device cpu")
    return wanted


def _cuda_devices() -> int:
    """How many CUDA (or ROCm) devices torch can use. Does not import torch, which takes seconds, where none can be."""
    if not (_has_cuda_driver() or Path("/dev/kfd").exists()):
        return 0
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def _has_cuda_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _has_mps() -> bool:
    import torch

    return bool(torch.backends.mps.is_available())


def _own_detector(module: str, factory: str, settings: ModelSettings) -> Detector:
    """What `factory` of `module` makes; modules in the current folder count."""
    where = f"{module}:{factory}"
    try:
        make = getattr(_imported(module), factory)
        detector = make(settings) if _wants_settings(make) else make()
        _check_detector(detector, where)
    except ModelError:
        raise
    except Exception as error:  # it is somebody else's code
        raise ModelError(f"cannot open the detector {where}: {type(error).__name__}: {reason(error)}") from error
    opened: Detector = detector
    return opened


def _imported(module: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return importlib.import_module(module)


def _wants_settings(make: Callable[..., object]) -> bool:
    """Whether the factory has a parameter that must be given, or one called `settings`."""
    parameters = inspect.signature(make).parameters
    return "settings" in parameters or any(
        parameter.default is parameter.empty and parameter.kind <= parameter.POSITIONAL_OR_KEYWORD
        for parameter in parameters.values()
    )


def _check_detector(detector: Any, where: str) -> None:
    """`ModelError` naming the first part of the `Detector` contract that is not there."""
    for name in METHODS:
        if not callable(getattr(detector, name, None)):
            raise ModelError(f"what {where} returns is no detector: it has no method {name}")
    if not isinstance(getattr(detector, "names", None), Mapping):
        raise ModelError(f"what {where} returns is no detector: names must map class numbers to names")
    if not isinstance(getattr(detector, "digest", None), str):
        raise ModelError(f"what {where} returns is no detector: digest must be text")
    if not isinstance(getattr(detector, "capacity", None), int) or detector.capacity < 1:
        raise ModelError(f"what {where} returns is no detector: capacity must be at least 1")
