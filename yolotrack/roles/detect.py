"""detect: frames in, detections out. Stateless, so any number of them may compete; it never tracks."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, TypeAlias

from yolotrack.broker.base import FRAMES, SUSPECTS, Broker, Delivery
from yolotrack.errors import BadPicture, ModelError, ModelMismatch
from yolotrack.model import Frame, FrameDetections, FrameLost, Outcome, Pixels
from yolotrack.roles.pin import Pins
from yolotrack.vision.base import Detector

if TYPE_CHECKING:
    import supervision as sv

log = logging.getLogger("yolotrack.detect")

ShardOf: TypeAlias = Callable[[str], str]
"""The topic of the shard that owns a stream."""
Decode: TypeAlias = Callable[[bytes], Pixels]
"""The pixels of a JPEG; `BadPicture` when it is none."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    delivery: Delivery
    frame: Frame
    result: Future[sv.Detections]

    @property
    def found(self) -> bool:
        """Whether the detector is done with it, and well."""
        return self.result.done() and not self.result.cancelled() and self.result.exception() is None


class DetectRole:
    """Detects with one detector, for as long as it runs. `run` and `run_suspects` each in a thread of its own.

    A frame that cannot be decoded, or that the detector refuses, becomes a `FrameLost`.
    """

    def __init__(
        self,
        broker: Broker,
        detector: Detector,
        model: str,
        shard_of: ShardOf,
        *,
        decode: Decode | None = None,
        pins: Pins | None = None,
    ) -> None:
        """`decode` where pictures travel as JPEGs; `pins` where workers with other models may compete."""
        self._broker = broker
        self._detector = detector
        self._model = model
        self._digest = detector.digest
        self._shard_of = shard_of
        self._decode = decode
        self._pins = pins
        self._submitting = Lock()

    def run(self, stop: Event) -> None:
        """Detect until `stop` is set or the broker closes, with as many frames in flight as the detector likes.

        This thread feeds the detector; another takes results in the order fed, publishes, then acknowledges: those
        together that were found meanwhile, so that a broker far away costs no time a frame. What was in flight at the
        stop is finished.
        """
        self._consume(FRAMES, 2 * self._detector.capacity, self._detector.capacity, stop)

    def run_suspects(self, stop: Event) -> None:
        """As `run`, for frames whose worker vanished: one at a time, so that a deadly one is found out."""
        self._consume(SUSPECTS, 1, 1, stop)

    def _consume(self, topic: str, prefetch: int, capacity: int, stop: Event) -> None:
        in_flight: queue.Queue[_InFlight | None] = queue.Queue(maxsize=capacity)
        collector = _Collector(self._finish, in_flight)
        thread = Thread(target=collector.run, name=f"{topic}-collect", daemon=True)
        with closing(self._broker.subscribe(topic, prefetch)) as subscription:
            thread.start()
            try:
                for delivery in subscription:
                    if delivery is not None:
                        self._feed(topic, delivery, in_flight)
                    if stop.is_set() or collector.error is not None:
                        break
            finally:
                in_flight.put(None)
                thread.join()
        if collector.error is not None:
            raise collector.error

    def _feed(self, topic: str, delivery: Delivery, in_flight: queue.Queue[_InFlight | None]) -> None:
        message = delivery.message
        if not isinstance(message, Frame):
            delivery.dead_letter(f"no frame to detect: {type(message).__name__}")
        elif topic == FRAMES and delivery.redelivered and self._decode is not None:
            # a crash counts against everything its worker had in hand: find out alone which frame it was
            self._broker.publish(SUSPECTS, message)
            delivery.ack()
        else:
            self._check_model(topic, delivery, message)
            in_flight.put(_InFlight(delivery, message, self._submit(message)))

    def _check_model(self, topic: str, delivery: Delivery, frame: Frame) -> None:
        try:
            if self._pins is not None:
                self._pins.check(frame)
        except ModelMismatch:
            self._broker.publish(topic, frame)  # anew: it is not to blame for the end of this worker
            delivery.ack()
            raise

    def _submit(self, frame: Frame) -> Future[sv.Detections]:
        try:
            pixels = self._pixels(frame)
            with self._submitting:
                return self._detector.submit(pixels)
        except (ModelError, BadPicture) as error:
            failed: Future[sv.Detections] = Future()
            failed.set_exception(error)
            return failed

    def _pixels(self, frame: Frame) -> Pixels:
        if not isinstance(frame.picture, bytes):
            return frame.picture
        if self._decode is None:
            raise BadPicture("a JPEG where pixels were expected")
        return self._decode(frame.picture)

    def _finish(self, items: list[_InFlight]) -> None:
        outcomes: dict[str, list[FrameDetections | FrameLost]] = {}
        for item in items:
            outcomes.setdefault(self._shard_of(item.frame.stream), []).append(self._outcome(item.frame, item.result))
        for shard, messages in outcomes.items():
            self._broker.publish(shard, *messages)
        for item in items:
            item.delivery.ack()

    def _outcome(self, frame: Frame, result: Future[sv.Detections]) -> FrameDetections | FrameLost:
        where = (frame.run_id, frame.stream, frame.index, frame.media_time, frame.captured_at)
        try:
            detections = result.result()
        except (ModelError, BadPicture) as error:
            log.warning("failed stream=%s frame=%d reason=%r", frame.stream, frame.index, str(error))
            return FrameLost(*where, Outcome.FAILED, str(error))
        return FrameDetections(*where, detections, self._model, self._digest, frame.motion)


class _Collector:
    """Finishes results in order. After an error it goes on emptying its queue, so that nobody blocks."""

    def __init__(self, finish: Callable[[list[_InFlight]], None], in_flight: queue.Queue[_InFlight | None]) -> None:
        self._finish = finish
        self._in_flight = in_flight
        self.error: BaseException | None = None

    def run(self) -> None:
        for items in self._batches():
            if self.error is None:
                try:
                    self._finish(items)
                except BaseException as error:  # handed to the feeding thread
                    self.error = error

    def _batches(self) -> Iterator[list[_InFlight]]:
        """All that is in flight, in order: what is found already together, what is to be waited for or fails alone.

        No batch is larger than what may be without an answer.
        """
        batch: list[_InFlight] = []
        while True:
            try:
                item = self._in_flight.get(block=not batch)
            except queue.Empty:
                yield batch
                batch = []
                continue
            if item is not None and item.found:
                batch.append(item)
                continue
            if batch:
                yield batch
                batch = []
            if item is None:
                return
            yield [item]
