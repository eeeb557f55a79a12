"""Three private RabbitMQ nodes in one cluster: any one of them may be killed, and comes back with its data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.rabbit import RabbitNode, free_port, need_server
from tests.support.waiting import Background

START_SECONDS = 120.0
PEERS = """
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
cluster_formation.classic_config.nodes.2 = {own}
"""


class RabbitTrio:
    """The nodes, and who leads a queue. `url` names all three."""

    def __init__(self, folder: Path) -> None:
        home = folder / "home"
        home.mkdir(parents=True)
        cookie = home / ".erlang.cookie"
        cookie.write_text("TESTS")
        cookie.chmod(0o400)
        shared = {"HOME": str(home), "ERL_EPMD_PORT": str(free_port())}
        self.nodes = [RabbitNode(folder / name, **shared) for name in "abc"]
        for node in self.nodes[1:]:
            with (node.folder / "rabbitmq.conf").open("a") as config:
                config.write(PEERS.format(first=self.nodes[0].name, own=node.name))
        self.url = "amqp://guest:guest@" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes) + "/"

    def start(self) -> None:
        """Start those that do not run: the first alone, for the others join it."""
        self._start(self.nodes[:1])
        self._start(self.nodes[1:])

    def _start(self, nodes: list[RabbitNode]) -> None:
        starting = [Background(node.start) for node in nodes if not node.runs]
        for start in starting:
            start.result(START_SECONDS)

    def leader(self, queue: str) -> RabbitNode:
        """The node that leads a queue or a stream."""
        return next(node for node in self.nodes if node.name == self.listed(queue)["leader"])

    def listed(self, queue: str) -> dict[str, object]:
        """Leader and members of a queue, as a node that runs sees them."""
        up = next(node for node in self.nodes if node.runs)
        rows = json.loads(up.control("list_queues", "name", "leader", "members", "--formatter", "json"))
        return next(row for row in rows if row["name"] == queue)

    def close(self) -> None:
        """Kill them, and delete their data."""
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.close()


@contextmanager
def rabbit_trio(folder: Path) -> Iterator[RabbitTrio]:
    """Started, and one cluster."""
    need_server()
    trio = RabbitTrio(folder)
    try:
        trio.start()
        yield trio
    finally:
        trio.close()
