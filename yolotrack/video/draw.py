"""Boxes, labels and traces on pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import supervision as sv

from yolotrack.model import FrameTracks, Outcome, Pixels

if TYPE_CHECKING:
    from yolotrack.config import OutputSettings

SMALLEST_TEXT = 0.4
"""Font scale below which digits run together."""
BOLD_TEXT = 0.8
"""Font scale from which strokes are two pixels wide."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
"""The one that supervision writes in."""

PALETTE = sv.ColorPalette.from_hex(
    [
        "#FF4040", "#00C4FF", "#FFB633", "#A351FB", "#4CFB12", "#FF39C9",
        "#2E9CAA", "#FF7633", "#6675FF", "#D1D435", "#40DE8A", "#CD3AFF",
        "#FFA1A0", "#00D6C1", "#94CF1A", "#863AFF", "#FF97CA", "#1B9640",
    ]
)  # fmt: skip
"""Supervision's colours without the ones too dark for a street, in an order in which neighbours differ."""


def readable_on(color: sv.Color) -> sv.Color:
    """Black or white, whichever stands out more (contrast ratio of WCAG 2.2)."""
    channels = [channel / 255 for channel in color.as_rgb()]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return sv.Color.BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else sv.Color.WHITE


class Annotator:
    """Draws the tracks of one run's frames, in order: traces, boxes, then labels on top.

    A track keeps its colour. A frame that was not tracked stays as it is. Memory is bounded by the trace's
    length.
    """

    def __init__(self, width: int, height: int, settings: OutputSettings) -> None:
        """For pictures of that size; lines and letters grow with it."""
        size = (width, height)
        thickness = sv.calculate_optimal_line_thickness(size)
        lookup = sv.ColorLookup.TRACK
        self._size = size
        self._scale = max(SMALLEST_TEXT, sv.calculate_optimal_text_scale(size))
        self._stroke = 2 if self._scale >= BOLD_TEXT else 1
        self._padding = round(8 * self._scale)
        self._boxes = sv.BoxAnnotator(PALETTE, thickness, lookup)
        self._traces = sv.TraceAnnotator(
            PALETTE, trace_length=settings.trace_length, thickness=thickness, color_lookup=lookup
        )
        self._labels = sv.LabelAnnotator(
            PALETTE,
            lookup,
            text_color=sv.ColorPalette([readable_on(color) for color in PALETTE.colors]),
            text_scale=self._scale,
            text_thickness=self._stroke,
            text_padding=self._padding,
        )
        self._with_labels = settings.labels
        self._with_traces = settings.traces

    def __call__(self, pixels: Pixels, tracks: FrameTracks) -> Pixels:
        """An annotated copy of the frame's picture."""
        scene: Pixels = pixels.copy()
        found = tracks.tracks if tracks.outcome is Outcome.TRACKED else sv.Detections.empty()
        if self._with_traces:
            self._traces.annotate(scene, found)  # empty ones too: traces age by frames
        if len(found):
            self._boxes.annotate(scene, found)
            if self._with_labels:
                self._write(scene, found)
        return scene

    def _write(self, scene: Pixels, found: sv.Detections) -> None:
        labels = _labels(found)
        corners = np.array(
            [self._corner(x, y, label) for (x, y), label in zip(found.xyxy[:, :2], labels, strict=True)],
            np.float32,
        )
        places = sv.Detections(xyxy=np.hstack([corners, corners + 1]), tracker_id=found.tracker_id)
        self._labels.annotate(scene, places, labels)

    def _corner(self, x: float, y: float, label: str) -> tuple[float, float]:
        """The lower left corner of a label on a box's upper left one, moved to where all of it is seen."""
        (width, height), _ = cv2.getTextSize(label, FONT, self._scale, self._stroke)
        right = self._size[0] - 1 - width - 2 * self._padding
        bottom = self._size[1] - 1
        return max(0.0, min(x, right)), max(height + 2.0 * self._padding, min(y, bottom))


def _labels(found: sv.Detections) -> list[str]:
    """`#id class 0.87` for each."""
    ids, names, confidences = found.tracker_id, found.data["class_name"], found.confidence
    if ids is None or confidences is None:
        raise ValueError("tracks have ids and confidences")
    return [f"#{track} {name} {sure:.2f}" for track, name, sure in zip(ids, names, confidences, strict=True)]
