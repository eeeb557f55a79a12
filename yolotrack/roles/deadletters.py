"""Turns what the broker gave up on into tombstones: a frame without an outcome would stall its run for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from threading import Event

from yolotrack.broker.base import DeadLetter, SharedBroker
from yolotrack.model import FrameLost, Outcome
from yolotrack.roles.track import NO_SUCH_RUN

log = logging.getLogger("yolotrack.deadletters")


def entomb(broker: SharedBroker, shard_of: Callable[[str], str], *, stop: Event) -> None:
    """Give every dead frame its outcome `failed`, and keep other dead messages in quarantine, until `stop` is set."""
    with closing(broker.dead_letters()) as letters:
        for letter in letters:
            if letter is not None:
                _entomb(broker, shard_of, letter)
            if stop.is_set():
                return


def _entomb(broker: SharedBroker, shard_of: Callable[[str], str], letter: DeadLetter) -> None:
    place = letter.place
    if place is None or letter.reason == NO_SUCH_RUN:  # nobody could do anything with its tombstone either
        log.error("quarantined a message reason=%r", letter.reason)
        letter.quarantine()
        return
    where = (place.run_id, place.stream, place.index, place.media_time, place.captured_at)
    log.warning("dead-lettered stream=%s frame=%d reason=%r", place.stream, place.index, letter.reason)
    broker.publish(shard_of(place.stream), FrameLost(*where, Outcome.FAILED, letter.reason))
    letter.ack()
