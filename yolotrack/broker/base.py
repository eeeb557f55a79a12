"""The contract of a broker: queues that share work out, and logs that everybody reads whole.

Topics are plain names, built here and nowhere else:

    frames              a work queue: each message goes to one of the competing subscribers
    suspects            a work queue of frames whose first worker vanished: tried alone, few times
    dead                a work queue of what the broker or a role gave up on
    quarantine          the newest of those that nothing could be made of, for people to look at
    detections.<shard>  a shard: one active subscriber at a time, in publishing order
    video.<stream>      a log of frames
    tracks.<stream>     a log of outcomes and the ends of runs
    annotated.<stream>  a log of drawn frames, where somebody renders them
    runs                a log of what runs there are, which model each is detected with, and which were ended because
                        their publisher was gone

Delivery is at least once, ordered per topic and publisher. Declaring is idempotent and happens on first use.
Every method may be called from any thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Literal, Protocol, TypeAlias

from yolotrack.model import Frame, Message

FRAMES = "frames"
SUSPECTS = "suspects"
DEAD = "dead"
QUARANTINE = "quarantine"
RUNS = "runs"

Start: TypeAlias = Literal["start", "now"] | int | datetime
"""Where to begin in a log: its oldest entry, what comes next, a position as `LogReader.position` gives it, or a time:
whatever was published from then on, and perhaps some before, as clocks differ."""


def shard_topic(stream: str, shards: int) -> str:
    """The shard that owns `stream`: `crc32(stream) % shards`, the same on every machine."""
    return f"detections.{zlib.crc32(stream.encode()) % shards}"


def video_log(stream: str) -> str:
    """The log that carries the frames of `stream`."""
    return f"video.{stream}"


def tracks_log(stream: str) -> str:
    """The log that carries the tracks of `stream`."""
    return f"tracks.{stream}"


def annotated_log(stream: str) -> str:
    """The log that carries the drawn frames of `stream`."""
    return f"annotated.{stream}"


def is_log(topic: str) -> bool:
    """Whether a topic is a log rather than a queue."""
    return topic == RUNS or topic.startswith(("video.", "tracks.", "annotated."))


class Delivery(Protocol):
    """One message in the hands of one subscriber. Exactly one of the three answers is given, from any thread."""

    @property
    def message(self) -> Message:
        """What was published."""

    @property
    def redelivered(self) -> bool:
        """True when it was with an earlier subscriber, or on its way there, who gave no answer."""

    @property
    def session(self) -> int:
        """Grows when the broker took back what was unanswered, because a connection broke. Answers to deliveries
        of an earlier session have no effect, and the messages come again."""

    def ack(self) -> None:
        """Done: never deliver it again."""

    def reject(self) -> None:
        """Not now: deliver it again, to anyone; dead-lettered when it came back too often."""

    def dead_letter(self, reason: str) -> None:
        """Never: set it aside with the reason."""


class Subscription(Protocol):
    """A share of a queue. Iterate it in one thread; close it from any."""

    @property
    def ready(self) -> bool:
        """Whether a delivery is at hand, so that the next one comes without waiting, as far as can be told."""

    def __iter__(self) -> Iterator[Delivery | None]:
        """Deliveries in order, but for those that come again, which may come before, among or behind the others;
        None on an idle tick (at most 0.2 s apart). Ends after `close`.

        At most `prefetch` deliveries are without an answer at any time.
        """

    def close(self) -> None:
        """Stop. What has no answer yet goes back to the queue, marked redelivered."""


@dataclass(frozen=True, slots=True)
class FramePlace:
    """Which frame a message was about, when nothing else of it can be read."""

    run_id: str
    stream: str
    index: int
    media_time: float
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class SickQueue:
    """A queue or log that does not answer, while its broker does."""

    queue: str
    """Its name at the broker, namespace included."""
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who is there for a queue."""

    waiting: int
    """Messages that nobody has taken."""
    takers: int
    """Subscribers, whether they have room or not."""


class DeadLetter(Protocol):
    """A message that was given up on. Exactly one of the two answers is given."""

    @property
    def place(self) -> FramePlace | None:
        """The frame it was about; None when it was about none, or cannot be told."""

    @property
    def reason(self) -> str:
        """Why it was given up, in a few words."""

    def ack(self) -> None:
        """Dealt with."""

    def quarantine(self) -> None:
        """Keep it for people to look at; the newest are kept."""


class DeadLetters(Protocol):
    """A share of the dead-letter queue, one at a time. Iterate it in one thread; close it from any."""

    def __iter__(self) -> Iterator[DeadLetter | None]:
        """As a subscription."""

    def close(self) -> None:
        """As a subscription."""


class Lease(Protocol):
    """The right to feed a stream, until it is closed or its process dies."""

    @property
    def breaks(self) -> int:
        """How often it was lost with its connection so far; meanwhile the stream had no publisher."""

    @property
    def is_held(self) -> bool:
        """Whether it is held now, as far as this process knows."""

    def close(self) -> None:
        """Give it back; idempotent."""


class LogReader(Protocol):
    """One reader's own walk through a log. Iterate it in one thread; close it from any."""

    @property
    def position(self) -> int:
        """Of the entry that comes next: where another reader would go on."""

    def __iter__(self) -> Iterator[Message | None]:
        """Entries in order, without repeats; None on an idle tick (at most 0.2 s apart). Ends after `close`."""

    def close(self) -> None:
        """Stop reading; the log and its other readers do not notice."""


class Broker(Protocol):
    """Carries messages. Publishing returns once the broker is responsible for the message, a few frames excepted, and
    blocks while it is full.

    A blocked call ends with `BrokerClosed` when the broker closes.
    """

    def publish(self, topic: str, *messages: Message) -> None:
        """To one queue, shard or log, in order; returns when the broker is responsible for all."""

    def publish_frame(self, frame: Frame, *, detect: bool = True) -> None:
        """Once, to the stream's video log and, with `detect`, to the work queue, in order.

        Returns while a few frames are still on their way to the broker, so that the next may be made meanwhile;
        `settle` waits for those.
        """

    def settle(self) -> None:
        """Return when the broker is responsible for every frame published so far."""

    def has_room(self) -> bool:
        """False while as many frames wait for a detector as a live publisher lets pile up: it then skips detection."""

    def wait_for_room(self, seconds: float) -> bool:
        """Wait until the work queue takes another frame of an archive, at most so long; whether it does."""

    def subscribe(self, topic: str, prefetch: int) -> Subscription:
        """A share of a queue, or of a shard once its active subscriber is gone."""

    def read(self, log: str, start: Start) -> LogReader:
        """A reader of its own. One that begins at "now" may miss entries when it is slow; the others miss none.

        A shared broker lets it miss frames only: outcomes and ends are small, and counted.
        """

    def close(self) -> None:
        """End every subscription and reader; idempotent."""


class SharedBroker(Broker, Protocol):
    """A broker between processes, which come and go without a word."""

    def feed(self, stream: str) -> Lease:
        """Become the one publisher of a stream; `StreamBusy` when there is another."""

    def is_fed(self, stream: str) -> bool:
        """Whether a publisher feeds it; True when in doubt."""

    def finish_publishing(self, run_id: str, stream: str, since: datetime, *, stop: Event) -> int | None:
        """How many frames of a run were published, once nobody feeds its stream any more; None if `stop` is set first.

        Those that its publisher may have died over, the last ones, come to the work queue again: it may have brought
        them to the video log alone. `since` is a time before its newest frames were captured: it saves reading the
        whole log.
        """

    def attendance(self, topic: str) -> Attendance | None:
        """Who is there for a queue, as the broker sees it now; None when it cannot say in time."""

    @property
    def sick(self) -> tuple[SickQueue, ...]:
        """Queues and logs of this process that do not answer just now, the first to fall sick first.

        They are tried again for as long as somebody wants something of them.
        """

    def dead_letters(self) -> DeadLetters:
        """What was given up on, shared among all who ask."""
