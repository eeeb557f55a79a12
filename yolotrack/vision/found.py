"""The two ends of every detector of ours: a picture it takes, and the detections it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import supervision as sv

from yolotrack.errors import ModelError


def check_picture(image: Any) -> None:
    """`ModelError` unless that is a picture: uint8, height x width x 3, not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ModelError(f"not a picture: {what} instead of uint8 (height, width, 3)")
    if image.size == 0:
        raise ModelError(f"an empty picture: {image.shape[1]}x{image.shape[0]}")


def as_detections(
    xyxy: npt.NDArray[Any], confidence: npt.NDArray[Any], class_id: npt.NDArray[Any], names: Mapping[int, str]
) -> sv.Detections:
    """Boxes as `Detector.submit` promises them, in the order given."""
    return sv.Detections(
        xyxy=xyxy.astype(np.float32, copy=False),
        confidence=confidence.astype(np.float32, copy=False),
        class_id=class_id.astype(int, copy=False),
        data={"class_name": np.array([names.get(number, str(number)) for number in class_id.tolist()], dtype=str)},
    )
