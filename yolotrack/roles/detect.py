"""detect: frames in, detections out. Stateless, so any number of them may compete; it never tracks."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeAlias

from yolotrack.broker.base import FRAMES, Broker, Delivery
from yolotrack.errors import ModelError
from yolotrack.model import Frame, FrameDetections, FrameLost, Outcome
from yolotrack.vision.base import Detector

if TYPE_CHECKING:
    import supervision as sv

ShardOf: TypeAlias = Callable[[str], str]
"""The topic of the shard that owns a stream."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    delivery: Delivery
    frame: Frame
    result: Future[sv.Detections]


def detect(broker: Broker, detector: Detector, model: str, shard_of: ShardOf, *, stop: Event) -> None:
    """Detect until `stop` is set or the broker closes, with as many frames in flight as the detector likes.

    This thread feeds the detector; another one takes results in the order fed, publishes them, then acknowledges.
    A frame that the detector refuses becomes a `FrameLost`. What was in flight at the stop is finished.
    """
    subscription = broker.subscribe(FRAMES, prefetch=2 * detector.capacity)
    in_flight: queue.Queue[_InFlight | None] = queue.Queue(maxsize=detector.capacity)
    collector = _Collector(broker, model, detector.digest, shard_of, in_flight)
    thread = Thread(target=collector.run, name="detect-collect", daemon=True)
    thread.start()
    try:
        for delivery in subscription:
            if delivery is not None:
                _feed(delivery, detector, in_flight)
            if stop.is_set() or collector.error is not None:
                break
    finally:
        in_flight.put(None)
        thread.join()
        subscription.close()
    if collector.error is not None:
        raise collector.error


def _feed(delivery: Delivery, detector: Detector, in_flight: queue.Queue[_InFlight | None]) -> None:
    message = delivery.message
    if isinstance(message, Frame):
        in_flight.put(_InFlight(delivery, message, _submit(detector, message)))
    else:
        delivery.dead_letter(f"no frame to detect: {type(message).__name__}")


def _submit(detector: Detector, frame: Frame) -> Future[sv.Detections]:
    assert not isinstance(frame.picture, bytes)  # noqa: S101  # over a broker, pictures are decoded on arrival
    try:
        return detector.submit(frame.picture)
    except ModelError as error:
        failed: Future[sv.Detections] = Future()
        failed.set_exception(error)
        return failed


class _Collector:
    """Takes results, publishes, acknowledges. After an error it goes on emptying its queue, so that nobody blocks."""

    def __init__(
        self, broker: Broker, model: str, digest: str, shard_of: ShardOf, in_flight: queue.Queue[_InFlight | None]
    ) -> None:
        self._broker = broker
        self._model = model
        self._digest = digest
        self._shard_of = shard_of
        self._in_flight = in_flight
        self.error: BaseException | None = None

    def run(self) -> None:
        while (item := self._in_flight.get()) is not None:
            if self.error is None:
                try:
                    self._finish(item)
                except BaseException as error:  # handed to the feeding thread
                    self.error = error

    def _finish(self, item: _InFlight) -> None:
        frame = item.frame
        self._broker.publish(self._shard_of(frame.stream), self._outcome(frame, item.result))
        item.delivery.ack()

    def _outcome(self, frame: Frame, result: Future[sv.Detections]) -> FrameDetections | FrameLost:
        where = (frame.run_id, frame.stream, frame.index, frame.media_time, frame.captured_at)
        try:
            detections = result.result()
        except ModelError as error:
            return FrameLost(*where, Outcome.FAILED, str(error))
        return FrameDetections(*where, detections, self._model, self._digest, frame.motion)
