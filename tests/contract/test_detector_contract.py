"""What every detector promises: see `yolotrack.vision.base.Detector`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

from tests.support.models import shipped_picture
from tests.support.waiting import Background, no_thread_left
from yolotrack.config import ModelSettings
from yolotrack.errors import ModelError
from yolotrack.vision.base import Detector
from yolotrack.vision.detector import open_detector
from yolotrack.vision.options import DetectOptions

KINDS = ("openvino", "ultralytics", "ultralytics in batches", "a user's own")
OPTIONS = DetectOptions(imgsz=160, conf=0.3)
DEADLINE = 60.0

OWN = """
import numpy as np, supervision as sv
from concurrent.futures import Future
from yolotrack.errors import ModelError

class Brightness:
    names = {0: "picture"}
    digest = "own 1"
    capacity = 1
    def prepare(self, width, height): pass
    def close(self): pass
    def submit(self, image):
        future = Future()
        try:
            height, width, _ = image.shape
        except ValueError:
            future.set_exception(ModelError("no picture"))
            return future
        future.set_result(sv.Detections(
            xyxy=np.array([[0, 0, width, height]], np.float32),
            confidence=np.array([image.mean() / 255], np.float32),
            class_id=np.array([0]),
            data={"class_name": np.array(["picture"])},
        ))
        return future
"""


@pytest.fixture(scope="module", params=KINDS)
def detector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    opened = fresh(request.param, request, tmp_path_factory)
    yield opened
    opened.close()


def fresh(kind: str, request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Detector:
    """A new detector of that kind."""
    if kind == "a user's own":
        return users_own(folders.mktemp("own"))
    from yolotrack.vision.openvino import OpenVINODetector
    from yolotrack.vision.ultralytics import UltralyticsDetector

    weights = request.getfixturevalue("tiny_model")
    if kind == "openvino":
        return OpenVINODetector(weights, OPTIONS)
    return UltralyticsDetector(weights, OPTIONS, batch=3 if kind == "ultralytics in batches" else 1)


def users_own(folder: Path) -> Detector:
    (folder / "brightness.py").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        return open_detector(ModelSettings(weights="brightness:Brightness"))


def pictures() -> list[np.ndarray]:
    """Pictures of several sizes, as they come in no order."""
    bus, zidane = shipped_picture("bus"), shipped_picture("zidane")
    return [bus, zidane, zidane[:, ::-1], bus[:200, :300], zidane[100:], bus]


def look(detector: Detector, image: np.ndarray) -> sv.Detections:
    return detector.submit(image).result(DEADLINE)


def assert_same(left: sv.Detections, right: sv.Detections) -> None:
    assert left.xyxy.tobytes() == right.xyxy.tobytes()
    assert left.confidence.tobytes() == right.confidence.tobytes()
    assert left.class_id.tolist() == right.class_id.tolist()


def test_names_digest_and_capacity(detector: Detector) -> None:
    assert isinstance(detector.names, Mapping) and detector.names
    assert all(isinstance(number, int) and isinstance(name, str) for number, name in detector.names.items())
    assert detector.digest
    assert detector.capacity >= 1


def test_boxes_are_typed_sorted_and_within_the_picture(detector: Detector) -> None:
    for image in pictures():
        found = look(detector, image)
        assert len(found) > 0
        assert found.xyxy.dtype == found.confidence.dtype == np.float32
        assert np.issubdtype(found.class_id.dtype, np.integer)
        assert found.data["class_name"].tolist() == [detector.names[number] for number in found.class_id.tolist()]
        assert (np.diff(found.confidence) <= 0).all()
        assert np.isfinite(found.xyxy).all()
        assert (found.xyxy >= 0).all() and (found.xyxy[:, 2:] <= (image.shape[1], image.shape[0])).all()


def test_a_picture_without_anything_gives_empty_columns(detector: Detector) -> None:
    found = look(detector, np.zeros((48, 64, 3), np.uint8))
    assert found.xyxy.shape == (len(found), 4)
    assert found.confidence is not None and found.class_id is not None
    assert len(found.data["class_name"]) == len(found)


def test_a_result_depends_on_nothing_but_its_picture(detector: Detector) -> None:
    alone = [look(detector, image) for image in pictures()]
    with_others = fill(detector, pictures() * 3)
    for index, future in enumerate(with_others):
        assert_same(future.result(DEADLINE), alone[index % len(alone)])


def fill(detector: Detector, images: list[np.ndarray]) -> list[Future[sv.Detections]]:
    """Submit all as fast as the detector takes them."""
    futures = Background(lambda: [detector.submit(image) for image in images]).result(DEADLINE)
    wait(futures, DEADLINE)
    return list(futures)


def test_a_picture_that_is_none_fails_alone(detector: Detector) -> None:
    bus = shipped_picture("bus")
    good, bad, after = fill(detector, [bus, np.zeros((5, 5), np.uint8), bus])
    with pytest.raises(ModelError, match="picture"):
        bad.result(DEADLINE)
    assert_same(good.result(DEADLINE), after.result(DEADLINE))


def test_preparing_changes_nothing(detector: Detector) -> None:
    before = look(detector, shipped_picture("zidane"))
    detector.prepare(1280, 720)
    detector.prepare(100, 100)
    assert_same(look(detector, shipped_picture("zidane")), before)


def test_a_picture_may_be_a_view(detector: Detector) -> None:
    view = shipped_picture("bus")[::2, ::-1]
    assert_same(look(detector, view), look(detector, np.ascontiguousarray(view)))


@pytest.mark.parametrize("kind", KINDS)
def test_closing_finishes_what_is_in_flight(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with no_thread_left():
        opened = fresh(kind, request, tmp_path_factory)
        large = np.zeros((3000, 4000, 3), np.uint8)  # takes a while to scale
        futures = [opened.submit(large) for _ in range(opened.capacity)]
        opened.close()
        assert all(future.done() and not future.cancelled() for future in futures)
        opened.close()
