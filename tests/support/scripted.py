"""A source, a detector and a sink that do what a test says. Pictures carry their number in their first pixel."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import supervision as sv

from yolotrack.errors import SourceError
from yolotrack.model import FrameTracks, Pixels
from yolotrack.video.base import Picture, SourceInfo

WIDTH, HEIGHT = 64, 48
RATE = Fraction(25)
NAMES = {0: "person", 2: "car"}


def make_picture(number: int) -> Pixels:
    """A picture that `number_of` reads `number` from."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[0, 0, :2] = divmod(number, 256)
    return pixels


def number_of(pixels: Pixels) -> int:
    """The number of a picture that `make_picture` made."""
    high, low = pixels[0, 0, :2].tolist()
    return int(high * 256 + low)


def scene(number: int) -> sv.Detections:
    """What there is to see in picture `number`: two cars that drive, a person seen in two pictures of three."""
    boxes = [(10 + 3 * number, 20, 60 + 3 * number, 50, 0.9, 2), (900 - 2 * number, 200, 960 - 2 * number, 240, 0.8, 2)]
    if number % 3:
        boxes.append((300, 100 + number, 330, 180 + number, 0.7, 0))
    if number % 50 > 30:
        boxes.append((600, 400, 640, 480, 0.6, 0))
    return as_detections(boxes)


def as_detections(boxes: list[tuple[float, ...]]) -> sv.Detections:
    """Detections out of rows of x1, y1, x2, y2, confidence, class."""
    table = np.array(boxes, np.float32).reshape(-1, 6)
    class_id = table[:, 5].astype(int)
    return sv.Detections(
        xyxy=table[:, :4],
        confidence=table[:, 4],
        class_id=class_id,
        data={"class_name": np.array([NAMES[number] for number in class_id.tolist()], dtype=str)},
    )


class Census:
    """Counts the pictures that exist, now and at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.alive = 0
        self.most = 0

    def register(self, pixels: Pixels) -> Pixels:
        """Count `pixels` until nobody holds them any more."""
        with self._lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(pixels, self._gone).atexit = False
        return pixels

    def _gone(self) -> None:
        with self._lock:
            self.alive -= 1


@dataclass
class ScriptedSource:
    """`count` numbered pictures at 25 a second, as fast as they are asked for."""

    count: int
    stream: str = "scripted"
    live: bool = False
    fail_at: int | None = None
    """Raise `SourceError` instead of this picture."""
    before: Callable[[int], object] = lambda number: None
    """Called with the number of each picture before it is given out."""
    census: Census = field(default_factory=Census)
    skipped: int = 0
    closed: bool = False

    @property
    def info(self) -> SourceInfo:
        return SourceInfo(f"{self.stream}.mp4", self.stream, WIDTH, HEIGHT, RATE, self.count, self.live)

    def __iter__(self) -> Iterator[Picture]:
        for number in range(self.count):
            if self.closed:
                return
            self.before(number)
            if number == self.fail_at:
                raise SourceError(f"{self.stream}: broken at picture {number}")
            yield Picture(self.census.register(make_picture(number)), number / 25)

    def close(self) -> None:
        self.closed = True


class ScriptedDetector:
    """Sees `scene` in every picture, after `latency` seconds on each of `capacity` simulated devices.

    `before` is called with the number of each picture on the device's thread, and may wait or raise.
    """

    names = NAMES

    def __init__(
        self,
        *,
        capacity: int = 4,
        latency: float = 0.0,
        before: Callable[[int], object] = lambda number: None,
        look: Callable[[int], sv.Detections] = scene,
        digest: str = "d1g357",
    ) -> None:
        self.capacity = capacity
        self.digest = digest
        self.prepared: list[tuple[int, int]] = []
        self.closed = False
        self._latency = latency
        self._before = before
        self._look = look
        self._free = threading.Semaphore(capacity)
        self._pool = ThreadPoolExecutor(capacity)

    def prepare(self, width: int, height: int) -> None:
        self.prepared.append((width, height))

    def submit(self, image: Pixels) -> Future[sv.Detections]:
        self._free.acquire()
        future = self._pool.submit(self._detect, number_of(image))
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        self.closed = True
        self._pool.shutdown()

    def _detect(self, number: int) -> sv.Detections:
        self._before(number)
        if self._latency:
            time.sleep(self._latency)  # stands for a device at work
        return self._look(number)


class RecordingSink:
    """Remembers the numbers of the pictures written. `before` is called with each, and may wait or raise."""

    def __init__(self, before: Callable[[int], object] = lambda number: None) -> None:
        self.written: list[int] = []
        self.times: list[float] = []
        self.state = "open"
        self._before = before

    def write(self, pixels: Pixels, media_time: float) -> None:
        assert self.state == "open"
        number = number_of(pixels)
        self._before(number)
        self.written.append(number)
        self.times.append(media_time)

    def close(self) -> None:
        if self.state == "open":
            self.state = "closed"

    def abort(self) -> None:
        if self.state == "open":
            self.state = "aborted"


def plain_copy(pixels: Pixels, tracks: FrameTracks) -> Pixels:
    """A `Draw` that draws nothing."""
    return pixels.copy()
