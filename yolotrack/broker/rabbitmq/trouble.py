"""What went wrong with a connection or a channel, in words for the user: the one place that knows pika's errors."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from enum import Enum

from pika import exceptions as amqp
from pika.adapters.utils import connection_workflow as workflow

from yolotrack.broker.rabbitmq.addresses import Address
from yolotrack.broker.rabbitmq.probe import Answer, ask
from yolotrack.errors import BrokerError

_CLOSED_BY_BROKER = re.compile(r"ConnectionClosedByBroker: \((\d+)\) ['\"](.*)['\"]", re.DOTALL)
_LIMIT = "limit"
ACCESS_REFUSED, NOT_ALLOWED, FORCED = 403, 530, 320


class Hope(Enum):
    """Whether trying again may help."""

    AWAY = "it may come back"
    UNRESOLVED = "a name that is not known may become known, as those of containers do"
    NONE = "somebody has to change something"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there is no connection to a host, as in "connection refused"."""

    reason: str
    hope: Hope = Hope.AWAY


def connection_trouble(error: BaseException | str, address: Address) -> Trouble:
    """Why a connection could not be opened, or was lost. May ask the host once more what it speaks: some seconds."""
    cause = _root(error)
    match cause:
        case socket.gaierror():
            return Trouble("the name does not resolve", Hope.UNRESOLVED)
        case ssl.SSLCertVerificationError():
            return Trouble(f"its certificate is not trusted: {cause.verify_message or cause.reason}", Hope.NONE)
        case amqp.ProbableAuthenticationError() | amqp.ProbableAccessDeniedError():
            return _refused(cause, address)
        case amqp.AuthenticationError():
            return Trouble("it offers no login with user and password", Hope.NONE)
        case amqp.ConnectionClosed():
            return Trouble(_closed(cause.reply_code, cause.reply_text))
        case amqp.AMQPHeartbeatTimeout():
            return Trouble("no sign of life")
        case amqp.ConnectionBlockedTimeout():
            return Trouble("it took no messages for too long (memory or disk alarm)")
        case amqp.StreamLostError():
            return Trouble("the connection broke")
        case TimeoutError():
            return Trouble("no answer")
        case OSError() if not isinstance(cause, ssl.SSLError | ConnectionResetError | BrokenPipeError):
            return Trouble((cause.strerror or "the connection broke").lower())
    answer = ask(address)  # TLS or protocol: see what is spoken there
    if answer is Answer.TLS and address.tls and isinstance(cause, ssl.SSLError) and cause.reason:
        return Trouble(f"the TLS handshake failed: {cause.reason.lower().replace('_', ' ')}", Hope.NONE)
    return _mismatch(answer, address)


def _root(error: BaseException | str) -> BaseException | str:
    """The error that pika wrapped, of the address that was tried last."""
    while True:
        inner: BaseException | str | None = None
        if isinstance(error, workflow.AMQPConnectionWorkflowFailed):
            inner = error.exceptions[-1] if error.exceptions else None
        elif isinstance(error, workflow.AMQPConnectorPhaseErrorBase):
            inner = error.exception
            if isinstance(error, workflow.AMQPConnectorSocketConnectError) and isinstance(
                inner, workflow.AMQPConnectorStackTimeout
            ):
                return TimeoutError()
        elif type(error) is amqp.AMQPConnectionError and error.args and isinstance(error.args[0], BaseException):
            inner = error.args[0]
        if inner is None:
            return error
        error = inner


def _refused(error: amqp.AMQPError, address: Address) -> Trouble:
    """The broker closed at the login; what it said travels within the text of pika's guess."""
    said = _CLOSED_BY_BROKER.search(str(error))
    if said is None:
        return Trouble("it closed the connection at the login")
    code, text = int(said[1]), said[2]
    host = address.parameters.virtual_host
    if code not in (ACCESS_REFUSED, NOT_ALLOWED) or _LIMIT in text:
        return Trouble(_closed(code, text))
    if isinstance(error, amqp.ProbableAuthenticationError):
        local = " (guest may log in from the broker's own machine only)" if address.user == "guest" else ""
        return Trouble(f"it refuses the user {address.user}, or the password{local}", Hope.NONE)
    if "not found" in text:
        return Trouble(f"it has no virtual host {host}", Hope.NONE)
    return Trouble(f"it refuses the user {address.user} the virtual host {host}", Hope.NONE)


def _closed(code: int, text: str) -> str:
    if code == FORCED and "shutdown" in text:
        return "it is shutting down"
    return f"it closed the connection: {text}"


_MISMATCHES = {
    Answer.TLS: Trouble("TLS is spoken there: write amqps:// instead of amqp://", Hope.NONE),
    Answer.HTTP: Trouble("an HTTP server is there, and no broker", Hope.NONE),
    Answer.OTHER: Trouble("what is there does not speak AMQP 0-9-1", Hope.NONE),
    Answer.NOTHING: Trouble("it accepts connections and says nothing"),
    Answer.CLOSED: Trouble("it closes every connection at once (a proxy without a broker behind it?)"),
    Answer.AWAY: Trouble("the connection broke"),
}


def _mismatch(answer: Answer, address: Address) -> Trouble:
    if answer is Answer.AMQP:
        # with what was meant, the probe was answered well: it was only slow, or is starting
        if address.tls:
            return Trouble("TLS is not spoken there: write amqp:// instead of amqps://", Hope.NONE)
        return Trouble("it broke off while the connection was being opened")
    if answer is Answer.TLS and address.tls:
        return Trouble("it broke off while the connection was being opened")
    return _MISMATCHES[answer]


def channel_trouble(reason: BaseException) -> str:
    """Why a channel was closed, in the broker's own words where it has any."""
    text = getattr(reason, "reply_text", "")
    return str(text) or "the connection broke"


def refusal(reason: BaseException) -> BrokerError | None:
    """Why a channel was closed, if no retry mends that; None if one may."""
    if getattr(reason, "reply_code", 0) not in (403, 406):
        return None
    text = channel_trouble(reason)
    return BrokerError(f"the broker refuses: {text}{_remedy(text)}")


def _remedy(text: str) -> str:
    if "inequivalent arg" in text:
        return "; delete that queue, or choose another --namespace"
    if "message size" in text:
        return "; publish with a lower --quality, or raise max_message_size in its rabbitmq.conf"
    return ""
