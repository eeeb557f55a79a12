"""Which model a run is detected with: the first that any worker offered, and every worker learns which that was."""

from __future__ import annotations

import logging
from contextlib import closing

from yolotrack.broker.base import RUNS, Broker
from yolotrack.errors import BrokerClosed, ModelMismatch
from yolotrack.model import Frame, ModelPinned

log = logging.getLogger("yolotrack.detect")


class Pins:
    """One worker's view of the log of offers. A log has one order, so all workers see the same offer first.

    Used by two threads, one of them for suspects. Each reads the log in its order, from a place before which all is
    noted, so both note the same offer first; and to read an offer twice changes nothing.
    """

    def __init__(self, broker: Broker, model: str, digest: str) -> None:
        self._broker = broker
        self._model = model
        self._digest = digest
        self._first: dict[str, ModelPinned] = {}
        """By run."""
        self._position: int | None = None
        """How far the log is read."""

    def check(self, frame: Frame) -> None:
        """Return when this worker's model is the one of the frame's run; `ModelMismatch` when it is another."""
        first = self._first.get(frame.run_id) or self._first_offer(frame.run_id, frame.stream)
        if first.digest != self._digest:
            raise ModelMismatch(
                f"the run of {frame.stream} is detected with {first.model} ({first.digest[:12]}), and this worker has "
                f"{self._model} ({self._digest[:12]}): start it with the same weights, precision, imgsz, conf, iou, "
                "max-det and classes, the same releases, and, where processors differ, all workers with one --cpu-isa"
            )

    def _first_offer(self, run_id: str, stream: str) -> ModelPinned:
        mine = ModelPinned(run_id, stream, self._model, self._digest)
        with closing(self._broker.read(RUNS, "start" if self._position is None else self._position)) as offers:
            self._broker.publish(RUNS, mine)
            for offer in offers:
                if isinstance(offer, ModelPinned):
                    self._first.setdefault(offer.run_id, offer)
                self._position = offers.position
                if run_id in self._first:
                    log.info("first offer stream=%s run=%s model=%s", stream, run_id, self._first[run_id].model)
                    return self._first[run_id]
        raise BrokerClosed("the broker is closed")
