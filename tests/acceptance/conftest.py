"""Videos that several tests of the command share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.histories import dump_of
from tests.support.rabbit import RabbitNode, rabbit_node
from tests.support.scene_videos import SceneVideo, write_scene
from tests.support.screen import Screen, virtual_screen
from tests.support.videos import write_video
from yolotrack.demo.scene import Scene
from yolotrack.demo.source import IMGSZ, WEIGHTS

SCENE_FRAMES = 60

StartCluster = Callable[..., Cluster]


@pytest.fixture(scope="session")
def scene_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cars, trucks and people that the bundled model knows: 60 frames, 960x540, 25 a second, with sound."""
    folder = tmp_path_factory.mktemp("videos")
    pictures = [pixels for pixels, _ in Scene(seed=11, frames=SCENE_FRAMES)]
    return write_video(folder / "scene.mp4", pictures, sound="aac")


@pytest.fixture(scope="session")
def disc_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 numbered pictures, 160x120, 25 a second; `scripted_model` sees the disc in them."""
    return write_video(tmp_path_factory.mktemp("videos") / "discs.mp4", 50)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """A virtual screen."""
    with virtual_screen(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def demo_model() -> list[str]:
    """The options for the bundled model."""
    return ["--model", str(WEIGHTS), "--imgsz", str(IMGSZ)]


@pytest.fixture(scope="session")
def scene_videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[SceneVideo, SceneVideo]:
    """Two different ones, for the scripted detector of `scene_model`, on different shards of two."""
    folder = tmp_path_factory.mktemp("scenes")
    return write_scene(folder, "street", 3, 240), write_scene(folder, "bridge", 5, 180)


@pytest.fixture(scope="session")
def mortal_rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """The node behind `own_rabbit`: one start costs about as much as a test."""
    with rabbit_node(tmp_path_factory.mktemp("own-rabbit")) as node:
        yield node


@pytest.fixture
def own_rabbit(mortal_rabbit: RabbitNode) -> RabbitNode:
    """A node that the test may stop; it runs, whatever the test before did to it."""
    if not mortal_rabbit.runs:
        mortal_rabbit.start()
    return mortal_rabbit


@pytest.fixture
def cluster(rabbit: RabbitNode, scene_videos: tuple[SceneVideo, SceneVideo], tmp_path: Path) -> Iterator[StartCluster]:
    """Opens clusters that end with the test, on the session's node or another; options are those of `Cluster`."""
    with ExitStack() as stack:

        def open_cluster(node: RabbitNode = rabbit, **options: Any) -> Cluster:
            folder = tmp_path / f"cluster-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return stack.enter_context(Cluster(node, folder, scene_videos[0].path.parent, **options))

        yield open_cluster


@pytest.fixture(scope="session")
def references(
    rabbit: RabbitNode, scene_videos: tuple[SceneVideo, SceneVideo], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What one worker makes of both videos at once, by stream."""
    with Cluster(rabbit, tmp_path_factory.mktemp("reference"), scene_videos[0].path.parent) as cluster:
        cluster.work()
        for video in scene_videos:
            cluster.publish(video)
        return {video.stream: dump_of(cluster, video.stream) for video in scene_videos}
