"""Names and arguments of everything declared on RabbitMQ; the same words on 3.10 and 4.

Declaring is idempotent and without waiting: on one channel the broker works in order, so what is declared first is
there for what is sent next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from yolotrack.broker.base import DEAD, FRAMES, QUARANTINE, SUSPECTS, is_log

if TYPE_CHECKING:
    from pika.channel import Channel

SUSPECT_LIMIT = 3
"""Deliveries of a suspect frame, each to a worker that does nothing else, before it counts as deadly."""
FRAME_LIMIT = 10
"""Of a frame that many share: who gets one again makes it a suspect at once."""
HANDOVER_LIMIT = 1000
"""Of other messages. Every return counts, so a database that is away for hours must not use this up."""
QUARANTINED = 1000
SHARD_LIMIT = 20_000
"""Messages of a few kilobytes: detections that no tracker takes hold detectors up, and so the publishers."""
SMALL_LOG_BYTES = 20_000_000

Route: TypeAlias = Literal["detect", "skip"]
"""How a frame leaves the exchange: to the work queue and its video log, or to the log alone."""


@dataclass(frozen=True, slots=True)
class Topology:
    """What exists under one namespace."""

    namespace: str
    max_frames: int
    """Frames ready in the work queue before an archive's publisher waits."""
    live_frames: int
    """Before a live publisher skips."""
    video_log_bytes: int
    tracks_log_bytes: int

    @property
    def exchange(self) -> str:
        """Where frames are published, once."""
        return self.queue("frames")

    def queue(self, topic: str) -> str:
        """The queue behind a topic."""
        return f"{self.namespace}.{topic}"

    def lease(self, stream: str) -> str:
        """The exclusive queue that the publisher of a stream holds while it lives."""
        return self.queue(f"publisher.{stream}")

    def route(self, route: Route, stream: str) -> str:
        """A routing key of the frames exchange, or a pattern of them."""
        return f"{route}.{stream}"

    def declare(self, channel: Channel, topic: str) -> None:
        """Declare a topic's queue and what it leans on."""
        if topic in (FRAMES, SUSPECTS) or topic.startswith("detections."):
            self._queue(channel, DEAD)
        self._queue(channel, topic)
        if topic == FRAMES:
            self._bind(channel, topic, self.route("detect", "#"))
        if topic.startswith("video."):
            stream = topic.removeprefix("video.")
            self._bind(channel, topic, self.route("detect", stream), self.route("skip", stream))

    def declare_stream(self, channel: Channel, stream: str) -> None:
        """Everything that frames of a stream are routed to."""
        self.declare(channel, FRAMES)
        self.declare(channel, f"video.{stream}")

    def _queue(self, channel: Channel, topic: str) -> None:
        channel.queue_declare(self.queue(topic), durable=True, arguments=dict(self.arguments(topic)))

    def _bind(self, channel: Channel, topic: str, *routes: str) -> None:
        channel.exchange_declare(self.exchange, exchange_type="topic", durable=True)
        for route in routes:
            channel.queue_bind(self.queue(topic), self.exchange, route)

    def arguments(self, topic: str) -> Mapping[str, Any]:
        """Explicit, so that every version and every process means the same queue."""
        if is_log(topic):
            return self._log(topic)
        if topic == QUARANTINE:
            return _quorum(QUARANTINED, "drop-head", HANDOVER_LIMIT)
        if topic == DEAD:
            return _quorum(SHARD_LIMIT, "reject-publish", HANDOVER_LIMIT)
        limit = 4 * self.max_frames if topic in (FRAMES, SUSPECTS) else SHARD_LIMIT
        deliveries = {FRAMES: FRAME_LIMIT, SUSPECTS: SUSPECT_LIMIT}.get(topic, HANDOVER_LIMIT)
        arguments = _quorum(limit, "reject-publish", deliveries) | {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.queue(DEAD),
            "x-dead-letter-strategy": "at-least-once",
        }
        return arguments | ({"x-single-active-consumer": True} if topic.startswith("detections.") else {})

    def _log(self, topic: str) -> dict[str, Any]:
        kept = {"video": self.video_log_bytes, "annotated": self.video_log_bytes, "tracks": self.tracks_log_bytes}
        size = kept.get(topic.partition(".")[0], SMALL_LOG_BYTES)
        # retention drops whole segments, so they must be small beside the whole
        return {
            "x-queue-type": "stream",
            "x-max-length-bytes": size,
            "x-stream-max-segment-size-bytes": max(size // 8, 1_000_000),
        }


def _quorum(limit: int, overflow: str, deliveries: int) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-max-length": limit,
        "x-overflow": overflow,
        "x-delivery-limit": deliveries,
    }
