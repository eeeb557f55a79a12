"""Videos that several tests of the command share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.videos import write_video
from yolotrack.demo.scene import Scene
from yolotrack.demo.source import IMGSZ, WEIGHTS

SCENE_FRAMES = 60


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


@pytest.fixture(scope="session")
def demo_model() -> list[str]:
    """The options for the bundled model."""
    return ["--model", str(WEIGHTS), "--imgsz", str(IMGSZ)]
