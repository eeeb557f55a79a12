"""A real RabbitMQ logs in a user whose password holds every sign that means something in a URL."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.support.rabbit import RabbitNode, fresh_namespace
from yolotrack.broker.base import RUNS
from yolotrack.broker.rabbitmq import open_broker
from yolotrack.config import load_settings
from yolotrack.errors import BrokerError
from yolotrack.model import new_barrier

PASSWORD = "a@b/c#d?e:f %9'\"&=$x"


@pytest.mark.parametrize("place", ["password", "password_file"])
def test_rabbitmq(rabbit: RabbitNode, place: str, tmp_path: Path) -> None:
    user = fresh_namespace()
    rabbit.control("add_user", user, PASSWORD)
    rabbit.control("set_permissions", "-p", "/", user, ".*", ".*", ".*")
    (tmp_path / "secret").write_text(PASSWORD)
    values = {"password": PASSWORD, "password_file": str(tmp_path / "secret")}
    hosts = rabbit.url.rpartition("@")[2]
    section = {"url": f"amqp://{hosts}", "user": user, "namespace": user, place: values[place]}

    settings = load_settings(None, {"broker": section}).broker
    with closing(open_broker(settings)) as broker:
        broker.publish(RUNS, new_barrier())
    wrong = load_settings(None, {"broker": section | {place: None, "password": PASSWORD[:-1]}}).broker

    with pytest.raises(BrokerError) as refused:
        open_broker(wrong)
    assert "d?e" not in str(refused.value)
