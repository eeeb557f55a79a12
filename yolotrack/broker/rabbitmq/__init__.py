"""The broker for many processes and machines: RabbitMQ 3.10 and later, over pika. Only this package imports pika."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrack.broker.rabbitmq.broker import RabbitBroker
from yolotrack.broker.rabbitmq.topology import Topology

if TYPE_CHECKING:
    from yolotrack.config import BrokerSettings

__all__ = ["RabbitBroker", "Topology", "open_broker"]

WATCHED_SECONDS = 10.0
"""How long somebody who waits at the screen waits for a first connection."""
_MEGABYTE = 1_000_000


def open_broker(settings: BrokerSettings, *, watched: bool = False) -> RabbitBroker:
    """Connect. `BrokerError` when no node of the broker can be reached within the patience of the settings, or refuses.

    A command that somebody is waiting for is `watched`: it gives up on a first connection sooner.
    """
    topology = Topology(
        settings.namespace,
        max_frames=settings.max_frames,
        live_frames=settings.live_frames,
        video_log_bytes=settings.video_log_mb * _MEGABYTE,
        tracks_log_bytes=settings.tracks_log_mb * _MEGABYTE,
    )
    return RabbitBroker(settings.url, topology, settings.patience_seconds, WATCHED_SECONDS if watched else None)
