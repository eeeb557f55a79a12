"""How the camera moved from one picture to the next."""

from __future__ import annotations

from trackers import CMC, CMCConfig

from yolotrack.model import Pixels


class CameraMotion:
    """Sparse optical flow on corners, and the similarity that most of them follow (BoT-SORT's method).

    Remembers the picture before, so one instance sees the pictures of one run, in order, from one thread.
    Two to three milliseconds for a picture of 768 x 432.
    """

    def __init__(self) -> None:
        self._estimator = CMC(CMCConfig(method="sparseOptFlow"))
        self._started = False

    def estimate(self, pixels: Pixels) -> tuple[float, ...] | None:
        """`Frame.motion`: six numbers, a 2x3 matrix row by row, from the picture before to this one.

        None for the first picture; no motion where there is too little to hold on to.
        """
        matrix = self._estimator.estimate(pixels)
        if not self._started:
            self._started = True
            return None
        return tuple(matrix.ravel().tolist())
