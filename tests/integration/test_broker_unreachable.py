"""What is told where the broker should be and is not: one line that names the host and the reason, and in time."""

from __future__ import annotations

import logging
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.brokers import Taker, note
from tests.support.ports import (
    Behaviour,
    Port,
    closes_at_once,
    forward,
    http_server,
    resets_at_once,
    says,
    says_nothing,
)
from tests.support.rabbit import RabbitNode, free_port, open_rabbit, rabbit_node
from tests.support.waiting import Background, wait_until
from yolotrack.broker.rabbitmq import RabbitBroker, open_broker
from yolotrack.config import BrokerSettings
from yolotrack.errors import BrokerError

pytestmark = pytest.mark.timeout(90)

SHARD = "detections.0"
FAST = "stack_timeout=1&socket_timeout=1"
SECONDS = 30
"""More than enough for what cannot heal, and less than the patience there."""
PIKA = ("AMQPConn", "Workflow", "Error(", "Error:", "<", "(404,", "(403", "(320", "pika", "Errno", "_ssl.c")
TLS = """
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.certfile = {folder}/node.pem
ssl_options.keyfile = {folder}/node.key
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.verify = verify_none
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """An authority, and what it gave to the node at 127.0.0.1; none without `openssl`."""
    if shutil.which("openssl") is None:
        return None
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout node.key -out node.csr",
        "x509 -req -days 2 -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out node.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def tls_port(certificates: Path | None) -> int:
    if certificates is None:
        pytest.skip("no openssl command to make certificates with")
    return free_port()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, certificates: Path | None, tls_port: int) -> Iterator[RabbitNode]:
    """One with a TLS port, a user without rights, and a virtual host that takes no connections."""
    with rabbit_node(tmp_path_factory.mktemp("tls-rabbitmq"), TLS.format(port=tls_port, folder=certificates)) as own:
        own.control("add_user", "nobody", "nobody")
        own.control("add_vhost", "full")
        own.control("set_permissions", "-p", "full", "guest", ".*", ".*", ".*")
        own.control("set_vhost_limits", "-p", "full", '{"max-connections": 0}')
        yield own


def assert_for_people(said: str) -> None:
    """One line in our words, without secrets."""
    assert "\n" not in said
    assert "s3cret" not in said
    assert not [word for word in PIKA if word in said], said


def told(url: str, patience: float) -> str:
    """What opening it ends with."""
    with pytest.raises(BrokerError) as caught:
        open_rabbit(url, patience=patience)
    assert_for_people(str(caught.value))
    return str(caught.value)


# What cannot heal


def lasting(node: RabbitNode, tls_port: int) -> dict[str, tuple[str, str]]:
    plain, tls = f"127.0.0.1:{node.port}", f"127.0.0.1:{tls_port}"
    return {
        "password": (f"amqp://guest:s3cret@{plain}/", f"{plain}: it refuses the user guest, or the password"),
        "user": (f"amqp://who:s3cret@{plain}/", f"{plain}: it refuses the user who, or the password"),
        "no vhost": (f"amqp://guest:guest@{plain}/s", f"{plain}: it has no virtual host s"),
        "vhost refused": (
            f"amqp://nobody:nobody@{plain}/",
            f"{plain}: it refuses the user nobody the virtual host /",
        ),
        "tls on plain": (f"amqps://guest:s3cret@{plain}/", f"{plain}: TLS is not spoken there: write amqp://"),
        "plain on tls": (f"amqp://guest:s3cret@{tls}/", f"{tls}: TLS is spoken there: write amqps://"),
        "certificate": (f"amqps://guest:s3cret@{tls}/", f"{tls}: its certificate is not trusted: "),
    }


@pytest.mark.parametrize(
    "case", ["password", "user", "no vhost", "vhost refused", "tls on plain", "plain on tls", "certificate"]
)
def test_what_cannot_heal_is_told_in_seconds(case: str, node: RabbitNode, tls_port: int) -> None:
    url, reason = lasting(node, tls_port)[case]
    begin = time.monotonic()
    said = told(url, patience=600)
    assert time.monotonic() - begin < SECONDS
    assert said.startswith(f"no connection to the broker: {reason}")
    assert "is it up" not in said


@pytest.mark.parametrize("tls", ["", "s"])
@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (says(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "an HTTP server is there, and no broker"),
        (says(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), "what is there does not speak AMQP 0-9-1"),
        (says(b"-ERR unknown command\r\n"), "what is there does not speak AMQP 0-9-1"),
        (says(b"AMQP\x00\x01\x00\x00"), "what is there does not speak AMQP 0-9-1"),
    ],
    ids=["http", "ssh", "redis", "amqp 1.0"],
)
def test_another_service_is_told_in_seconds(behaviour: Behaviour, reason: str, tls: str) -> None:
    with Port(behaviour) as port:
        begin = time.monotonic()
        said = told(f"amqp{tls}://u:s3cret@127.0.0.1:{port.number}/?{FAST}", patience=600)
        assert time.monotonic() - begin < SECONDS
        assert f"127.0.0.1:{port.number}: {reason}" in said


def test_an_http_server_that_waits_for_a_line_is_found_out() -> None:
    with http_server() as port:
        assert f"127.0.0.1:{port}: an HTTP server is there" in told(f"amqp://127.0.0.1:{port}/?{FAST}", patience=600)


def test_an_https_server_is_found_out(
    certificates: Path | None, tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert certificates is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "node.pem", certificates / "node.key")
    answer = says(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    def over_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            answer(wrapped)

    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    with Port(over_tls) as port:
        assert "an HTTP server is there" in told(f"amqps://127.0.0.1:{port.number}/?{FAST}", patience=600)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://u:s3cret@host:port/",
        "amqp://u:s3cret@a,,b/",
        "amqp://u:s3cret@a:1:2/",
        "amqp://u:s3cret@[::1/",
        "amqp://u:s3cret@a/?no=such",
        "amqp://u:s3cret@a,b/?heartbeat=soon",
        "amqp://u:s3cret/t@a/",
    ],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    said = told(url, patience=600)
    assert "is no broker URL; it looks like amqp://user:pass@host:5672/" in said


# What may heal


def passing(node: RabbitNode, port: int) -> dict[str, tuple[Behaviour | None, str, str]]:
    return {
        "refused": (None, f"amqp://u:s3cret@127.0.0.1:{free_port()}/", "connection refused"),
        "unresolved": (
            None,
            "amqp://u:s3cret@nowhere.invalid:5673/",
            "nowhere.invalid:5673: the name does not resolve",
        ),
        "silent": (says_nothing, "", "it accepts connections and says nothing"),
        "closes": (closes_at_once, "", "it closes every connection at once (a proxy without a broker behind it?)"),
        "resets": (resets_at_once, "", "it closes every connection at once (a proxy without a broker behind it?)"),
        "login broken off": (forward(node.port, at_most=30), "", "it closed the connection at the login"),
        "limit": (None, f"amqp://guest:guest@127.0.0.1:{node.port}/full", "connection limit (0) is reached"),
    }


@pytest.mark.parametrize("case", ["refused", "unresolved", "silent", "closes", "resets", "login broken off", "limit"])
def test_what_may_heal_is_told_at_once_with_the_time_it_is_tried_for(
    case: str, node: RabbitNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolotrack.broker.rabbitmq.probe.SECONDS", 0.3)
    with Port(closes_at_once) as port:
        behaviour, url, reason = passing(node, port.number)[case]
        port.behaviour = behaviour or closes_at_once
        url = url or f"amqp://u:s3cret@127.0.0.1:{port.number}/?{FAST}"
        patience = 3 if case == "silent" else 1
        said = told(url, patience=patience)
    lines = [record.getMessage() for record in caplog.records if reason in record.getMessage()]
    assert len(lines) == 1, "each of two connections would say it, and each attempt"
    assert lines[0].startswith("no connection to the broker: ")
    assert f"; trying for {patience} s" in lines[0]
    assert said.startswith("no connection to the broker for ")
    assert said.endswith("; is it up?")
    assert reason in said
    for line in (record.getMessage() for record in caplog.records):
        assert_for_people(line)


def test_whoever_waits_at_the_screen_waits_ten_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("yolotrack.broker.rabbitmq.WATCHED_SECONDS", 1.0)
    with pytest.raises(BrokerError, match=r"no connection to the broker for [12] s: "):
        open_broker(BrokerSettings(url=f"amqp://127.0.0.1:{free_port()}/"), watched=True)
    assert "trying for 1 s" in caplog.text


def test_a_slow_answer_is_told_of_before_it_is_given_up_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("yolotrack.broker.rabbitmq.link.SLOW_SECONDS", 0.1)
    with Port(says_nothing) as port:
        opening = Background(lambda: open_rabbit(f"amqp://127.0.0.1:{port.number}/", patience=600))
        wait_until(lambda: "no answer" in caplog.text, "the line about it")
        assert opening.running
        line = f"no answer from the broker at 127.0.0.1:{port.number} yet; trying for 600 s"
        assert [record.getMessage() for record in caplog.records] == [line]


# In the middle


@pytest.fixture
def gate(node: RabbitNode) -> Iterator[Port]:
    """The node's port, until it becomes something else."""
    with Port(forward(node.port)) as port:
        yield port


@pytest.fixture
def broker(gate: Port) -> Iterator[RabbitBroker]:
    with closing(open_rabbit(f"amqp://guest:guest@127.0.0.1:{gate.number}/?{FAST}", patience=60)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("behaviour", "reason", "patience"),
    [
        (closes_at_once, "it closes every connection at once", 60),
        (says_nothing, "it accepts connections and says nothing", 60),
        (says(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), "an HTTP server is there", 15),
    ],
    ids=["closes", "silent", "http"],
)
def test_in_the_middle_it_is_told_and_heals(
    behaviour: Behaviour,
    reason: str,
    patience: int,
    gate: Port,
    broker: RabbitBroker,
    node: RabbitNode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker.publish(SHARD, note("cam", 1))
    gate.become(behaviour)
    wait_until(lambda: f"; trying for {patience} s" in caplog.text, "the line about it", 20)
    publishing = Background(lambda: broker.publish(SHARD, note("cam", 2)))
    gate.become(forward(node.port))
    publishing.result(20)
    assert Taker(broker.subscribe(SHARD, 2)).numbers(2) == [1, 2]
    where = f"the broker at 127.0.0.1:{gate.number}"
    lines = [record.getMessage() for record in caplog.records]
    assert f"lost the connection to {where}: the connection broke; connecting again" in lines
    assert any(f"127.0.0.1:{gate.number}: {reason}" in line for line in lines)
    assert f"connected to {where}" in lines
    for line in lines:
        assert_for_people(line)


def test_a_password_that_is_changed_in_the_middle_ends_it(
    gate: Port, node: RabbitNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("yolotrack.broker.rabbitmq.link.CHANGED_SECONDS", 1.0)
    node.control("add_user", "passing", "s3cret")
    node.control("set_permissions", "passing", ".*", ".*", ".*")
    broker = open_rabbit(f"amqp://passing:s3cret@127.0.0.1:{gate.number}/", patience=600)
    subscription = broker.subscribe(SHARD, 1)
    node.control("change_password", "passing", "another")
    gate.cut()
    with pytest.raises(BrokerError, match="it refuses the user passing, or the password") as caught:
        list(subscription)
    broker.close()
    for line in (str(caught.value), *(record.getMessage() for record in caplog.records)):
        assert_for_people(line)


@pytest.mark.parametrize(
    ("command", "reason"),
    [("close_all_connections", "CONNECTION_FORCED - the operator"), ("stop_app", "it is shutting down")],
)
def test_the_brokers_own_reason_is_told(
    command: str, reason: str, node: RabbitNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with closing(open_rabbit(node.url, patience=60)):
        node.control(command, *(["the operator"] if command.startswith("close") else []))
        try:
            wait_until(lambda: reason in caplog.text, "the reason")
        finally:
            node.control("start_app")
    for record in caplog.records:
        assert_for_people(record.getMessage())


# TLS as it should be


def test_a_trusted_certificate_is_verified(
    node: RabbitNode, certificates: Path | None, tls_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates and certificates / "ca.pem"))
    with closing(open_rabbit(f"amqps://guest:guest@127.0.0.1:{tls_port}/", patience=20)) as broker:
        broker.publish(SHARD, note("cam", 1))
        assert Taker(broker.subscribe(SHARD, 1)).numbers(1) == [1]


# Several


def test_the_first_node_that_answers_is_taken(node: RabbitNode, caplog: pytest.LogCaptureFixture) -> None:
    hosts = f"nowhere.invalid,127.0.0.1:{free_port()},127.0.0.1:{node.port}"
    for url in (f"amqp://guest:guest@{hosts}/", ",".join(f"amqp://guest:guest@{host}/" for host in hosts.split(","))):
        with closing(open_rabbit(url, patience=20)) as broker:
            broker.publish(SHARD, note("cam", 1))
    assert not caplog.records, "one of several is enough"


def test_one_of_several_that_is_something_else_is_passed_over(node: RabbitNode) -> None:
    with Port(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        hosts = f"127.0.0.1:{port.number},127.0.0.1:{node.port}"
        with closing(open_rabbit(f"amqp://guest:guest@{hosts}/?{FAST}", patience=20)) as broker:
            broker.publish(SHARD, note("cam", 1))


def test_each_of_several_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    one, other = free_port(), free_port()
    said = told(f"amqp://u:s3cret@127.0.0.1:{one},127.0.0.1:{other},nowhere.invalid/", patience=1)
    reasons = (
        f"127.0.0.1:{one}: connection refused; 127.0.0.1:{other}: connection refused;"
        " nowhere.invalid:5672: the name does not resolve"
    )
    assert reasons in said
    assert f"no connection to the broker: {reasons}; trying for 1 s" in [r.getMessage() for r in caplog.records]
