"""From a YOLO head's raw output to boxes: the same ones as ultralytics' `non_max_suppression`, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

MOST_CANDIDATES = 30_000
CLASS_OFFSET = 7680
"""Boxes are moved apart by this many pixels per class, so that only boxes of one class compete."""
BLOCK = 128
"""Candidates compared with each other at once: few pictures have more, and the matrix stays in the cache."""


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes on the model's input, best first."""

    xyxy: Floats
    confidence: Floats
    class_id: Ints


def find_boxes(raw: Floats, conf: float, iou: float, max_det: int, classes: Sequence[int] = ()) -> Found:
    """The boxes in `raw`, one picture's output: rows are centre x, centre y, width, height, then one score a class.

    An anchor counts with its best class. Boxes that are not finite never come out.
    """
    best = raw[4:].max(axis=0)
    (anchors,) = np.nonzero(best > conf)
    found = _candidates(raw[:, anchors], best[anchors], classes)
    keep = _suppress(found.xyxy + (found.class_id * CLASS_OFFSET).astype(np.float32)[:, None], iou, max_det)
    return Found(found.xyxy[keep], found.confidence[keep], found.class_id[keep])


def _candidates(columns: Floats, confidence: Floats, classes: Sequence[int]) -> Found:
    class_id = columns[4:].argmax(axis=0)
    centre, half = columns[:2], columns[2:4] / 2
    xyxy = np.concatenate((centre - half, centre + half)).T
    sound = np.isfinite(xyxy).all(axis=1)
    if classes:
        sound &= np.isin(class_id, classes)
    (kept,) = np.nonzero(sound)
    order = kept[np.argsort(-confidence[kept], kind="stable")[:MOST_CANDIDATES]]
    return Found(np.ascontiguousarray(xyxy[order]), confidence[order], class_id[order])


def _suppress(boxes: Floats, iou: float, most: int) -> list[int]:
    """Indexes of the boxes that no better one overlaps by more than `iou`; `boxes` are best first."""
    keep: list[int] = []
    for start in range(0, len(boxes), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(boxes)))
        if keep:
            block = block[~_overlapping(boxes[keep], boxes[block], iou).any(axis=0)]
        keep += _greedy(boxes[block], iou, block)
        if len(keep) >= most:
            break
    return keep[:most]


def _greedy(boxes: Floats, iou: float, indexes: npt.NDArray[np.intp]) -> list[int]:
    overlapping = _overlapping(boxes, boxes, iou)
    alive = np.ones(len(boxes), dtype=bool)
    keep = []
    for position, index in enumerate(indexes.tolist()):
        if alive[position]:
            keep.append(index)
            alive &= ~overlapping[position]
    return keep


def _overlapping(a: Floats, b: Floats, iou: float) -> npt.NDArray[np.bool_]:
    """Which of `a` (rows) overlap which of `b` (columns), in torchvision's order of operations."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    width, height = np.moveaxis((high - low).clip(min=0), 2, 0)
    inner = width * height
    area_a, area_b = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) for box in (a, b))
    with np.errstate(invalid="ignore", over="ignore"):
        overlap: npt.NDArray[np.bool_] = inner / (area_a[:, None] + area_b - inner) > np.float64(iou)
    return overlap
