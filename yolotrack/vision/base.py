"""The contracts of a detector and of a tracker."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

from yolotrack.model import Pixels

if TYPE_CHECKING:
    import supervision as sv


class Detector(Protocol):
    """Finds objects in pictures, asynchronously. Stateless: a picture's result depends on nothing but the picture.

    One thread submits; futures resolve on threads of the detector's own, in any order: the caller keeps the order.
    """

    @property
    def names(self) -> Mapping[int, str]:
        """The name of every class it knows."""

    @property
    def digest(self) -> str:
        """Equal for two detectors exactly when they find the same boxes: weights, precision, runtime, settings."""

    @property
    def capacity(self) -> int:
        """Pictures in flight that keep the device busy (or fill a batch); `submit` blocks beyond it."""

    def prepare(self, width: int, height: int) -> None:
        """Get ready for pictures of that size, however long it takes. `ModelError` when that cannot be."""

    def submit(self, image: Pixels) -> Future[sv.Detections]:
        """Boxes in pixels of `image`, best first: xyxy float32, confidence float32, class_id int, data["class_name"].

        The picture must not be written to until the future is done. A picture that cannot be processed fails
        its own future with `ModelError` and no other.
        """

    def close(self) -> None:
        """Finish what is in flight and give the device back; idempotent."""


class Tracker(Protocol):
    """Gives detections of consecutive frames their identities. One instance per run, used by one thread."""

    @property
    def name(self) -> str:
        """As in the configuration."""

    def update(
        self, detections: sv.Detections, media_time: float, motion: tuple[float, ...] | None = None
    ) -> sv.Detections:
        """The confirmed tracks of this frame: a new value with `tracker_id` from 1, dense per run, ordered by id.

        Call it for every frame in order, empty ones too, with the frame's real, increasing time.
        `motion` is `Frame.motion`; trackers that do not compensate for camera motion ignore it.
        """

    def snapshot(self) -> bytes:
        """The whole state. Plain data: no snapshot, whoever made it, can execute code when restored."""

    def restore(self, state: bytes) -> None:
        """Go on exactly as the tracker that gave `state` would have. `BadSnapshot` on anything else."""
