"""Every error yolotrack raises on purpose, in one tree.

    YolotrackError          one line for the user: what, why, what to do
    ├── UsageError          the command line itself is wrong (exit 2)
    ├── ConfigError         a setting is unknown, of the wrong type or out of range
    ├── SourceError         a source cannot be opened or read
    │   └── BadPicture      one picture cannot be decoded
    ├── OutputError         a file cannot be written, or exists
    ├── ModelError          weights or detector cannot be used
    │   └── ModelMismatch   a worker would detect otherwise than its run began
    ├── TrackerError        unknown tracker, bad parameter
    │   └── BadSnapshot     a tracker snapshot that is not one of ours
    ├── StoreError          the database refuses
    │   ├── StoreAway       the database cannot be reached just now
    │   ├── StoreGone       the database is no longer the one that was opened
    │   ├── Fenced          another owner took this run over
    │   └── NotFound        no such run, class or stream
    ├── BrokerError         the broker refuses
    │   ├── Stalled         a run that others should be working on does not go on
    │   ├── LogCut          a log no longer holds what is asked of it
    │   ├── BrokerClosed    the broker was closed while waiting on it
    │   └── StreamBusy      another publisher feeds this stream
    ├── ServeError          a page cannot be served where it should be
    └── WireError           bytes that are no message of ours

Adapters translate foreign errors to the most specific of these, each in one place.
The command line prints `str(error)` as one line and exits with `error.exit_code`.
"""


class YolotrackError(Exception):
    """Something went wrong that the user can read about in one line."""

    exit_code = 1


class UsageError(YolotrackError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class ConfigError(YolotrackError):
    """A setting is unknown, of the wrong type, or out of range."""


class SourceError(YolotrackError):
    """A source cannot be opened or read."""


class BadPicture(SourceError):
    """One picture cannot be decoded."""


class OutputError(YolotrackError):
    """A result cannot be written."""


class ModelError(YolotrackError):
    """Weights or a detector cannot be used."""


class ModelMismatch(ModelError):
    """A detection came from another model than the run began with."""


class TrackerError(YolotrackError):
    """A tracker cannot be built as asked."""


class BadSnapshot(TrackerError):
    """A tracker snapshot is damaged, or not one of ours."""


class StoreError(YolotrackError):
    """The database refuses."""


class StoreAway(StoreError):
    """The database cannot be reached, or is too busy; it may answer when it is asked again."""


class StoreGone(StoreError):
    """The database was deleted or replaced while it was in use; nothing more can be told of what was committed."""


class Fenced(StoreError):
    """Another owner took this run over; nothing of this commit was written."""


class NotFound(StoreError):
    """The database holds nothing of that name."""


class BrokerError(YolotrackError):
    """The broker refuses."""


class BrokerClosed(BrokerError):
    """The broker was closed."""


class Stalled(BrokerError):
    """A run that others should be working on does not go on."""


class LogCut(BrokerError):
    """A log no longer holds what is asked of it."""


class StreamBusy(BrokerError):
    """Another publisher feeds this stream."""


class ServeError(YolotrackError):
    """A page cannot be served."""


class WireError(YolotrackError):
    """Bytes that are no message of ours."""
