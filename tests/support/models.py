"""Weights that a test makes itself, and pictures that ship inside ultralytics."""

from __future__ import annotations

import os
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from yolotrack.model import Pixels
from yolotrack.vision.offline import stay_offline

CLASSES = ("person", "car", "bird")


@cache
def make_tiny_model() -> Path:
    """A very small YOLOv8 with fixed random weights: it finds many boxes of every class. Made once per session."""
    path = Path(tempfile.mkdtemp(dir=os.environ["XDG_DATA_HOME"])) / "tiny.pt"
    stay_offline()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own imports
        import torch
        from ultralytics import YOLO
    torch.manual_seed(7)
    described = path.with_suffix(".yaml")
    described.write_text(_architecture(), encoding="utf-8")
    model = YOLO(described)
    model.model.names = dict(enumerate(CLASSES))
    for branch in model.model.model[-1].cv3:
        torch.nn.init.normal_(branch[-1].weight, std=0.5)
        torch.nn.init.constant_(branch[-1].bias, -2.0)
    _settle(model.model)
    model.save(path)
    return path


def _settle(model: Any) -> None:
    """Give the normalisations the statistics of a real picture; fresh ones let every signal fade away."""
    import torch

    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    picture = torch.from_numpy(cv2.resize(shipped_picture("bus"), (320, 320))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        model.train()(torch.cat((picture, picture.flip(3))))
    model.eval()


def _architecture() -> str:
    spec = find_spec("ultralytics")
    assert spec is not None and spec.origin is not None
    text = (Path(spec.origin).parent / "cfg/models/v8/yolov8.yaml").read_text(encoding="utf-8")
    return text.replace("nc: 80", f"nc: {len(CLASSES)}").replace("n: [0.33, 0.25, 1024]", "n: [0.33, 0.0625, 256]")


@cache
def shipped_picture(name: str) -> Pixels:
    """`bus` (810x1080) or `zidane` (1280x720)."""
    spec = find_spec("ultralytics")
    assert spec is not None and spec.origin is not None
    picture = cv2.imread(str(Path(spec.origin).parent / f"assets/{name}.jpg"))
    assert picture is not None
    return picture.astype(np.uint8, copy=False)
