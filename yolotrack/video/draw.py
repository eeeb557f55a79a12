"""Boxes, labels and traces on pictures."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Style:
    """What is drawn of a run's tracks, and how."""

    labels: bool = True
    """`#id class conf` on every box."""
    traces: bool = True
    trace_length: int = 50
    """Frames that a trace reaches back."""
    thickness: int | None = None
    """Of lines, pixels; None grows with the picture."""
    classes: tuple[str, ...] = ()
    """Names or numbers; empty draws all."""
    tracks: tuple[range, ...] = ()
    """Ids; empty draws all."""

    def chosen(self, found: sv.Detections) -> sv.Detections:
        """Those that are drawn, in order; all of one frame's tracks in, itself where all are drawn."""
        if not len(found) or not (self.classes or self.tracks):
            return found
        names, numbers, ids = found.data["class_name"], found.class_id, found.tracker_id
        if numbers is None or ids is None:
            raise ValueError("tracks have classes and ids")
        keep = [
            self._draws(str(name), int(number), int(track))
            for name, number, track in zip(names, numbers, ids, strict=True)
        ]
        return found[np.array(keep)]  # type: ignore[return-value]

    def _draws(self, name: str, number: int, track: int) -> bool:
        of_class = not self.classes or name in self.classes or str(number) in self.classes
        return of_class and (not self.tracks or any(track in ids for ids in self.tracks))


class Annotator:
    """Draws the tracks of one run's frames, in order: traces, boxes, then labels on top.

    A track keeps its colour. A frame that was not tracked stays as it is. Memory is bounded by the trace's
    length.
    """

    def __init__(self, width: int, height: int, style: Style) -> None:
        """For pictures of that size; lines and letters grow with it, unless `style` says how thick lines are."""
        size = (width, height)
        thickness = style.thickness or sv.calculate_optimal_line_thickness(size)
        lookup = sv.ColorLookup.TRACK
        self._size = size
        self._scale = max(SMALLEST_TEXT, sv.calculate_optimal_text_scale(size))
        self._stroke = 2 if self._scale >= BOLD_TEXT else 1
        self._padding = round(8 * self._scale)
        self._boxes = sv.BoxAnnotator(PALETTE, thickness, lookup)
        self._traces = sv.TraceAnnotator(
            PALETTE, trace_length=style.trace_length, thickness=thickness, color_lookup=lookup
        )
        self._labels = sv.LabelAnnotator(
            PALETTE,
            lookup,
            text_color=sv.ColorPalette([readable_on(color) for color in PALETTE.colors]),
            text_scale=self._scale,
            text_thickness=self._stroke,
            text_padding=self._padding,
        )
        self.style = style
        """May be replaced between two frames: traces go on, of the same length and thickness."""

    def __call__(self, pixels: Pixels, tracks: FrameTracks) -> Pixels:
        """An annotated copy of the frame's picture."""
        scene: Pixels = pixels.copy()
        found = self.style.chosen(tracks.tracks) if tracks.outcome is Outcome.TRACKED else sv.Detections.empty()
        if self.style.traces:
            self._traces.annotate(scene, found)  # empty ones too: traces age by frames
        else:
            self._traces.trace.put(found)
        if len(found):
            self._boxes.annotate(scene, found)
            if self.style.labels:
                self._write(scene, found)
        return scene

    def pan(self, right: float, down: float) -> None:
        """The scene moved by so many pixels since the picture before: so do the traces."""
        self._traces.trace.xy = self._traces.trace.xy + np.array([right, down], np.float32)

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


def open_annotator(width: int, height: int, settings: OutputSettings) -> Annotator:
    """An annotator for pictures of that size, of the style in the settings."""
    return Annotator(width, height, style_of(settings))


def style_of(settings: OutputSettings) -> Style:
    """The style in the settings."""
    return Style(settings.labels, settings.traces, settings.trace_length, settings.thickness)


def _labels(found: sv.Detections) -> list[str]:
    """`#id class 0.87` for each."""
    ids, names, confidences = found.tracker_id, found.data["class_name"], found.confidence
    if ids is None or confidences is None:
        raise ValueError("tracks have ids and confidences")
    return [f"#{track} {name} {sure:.2f}" for track, name, sure in zip(ids, names, confidences, strict=True)]
