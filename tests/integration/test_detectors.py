"""The detectors against each other and against ultralytics, and which one is chosen."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import supervision as sv
from scipy.optimize import linear_sum_assignment

import yolotrack
from tests.support.models import shipped_picture
from yolotrack.config import ModelSettings
from yolotrack.errors import ModelError
from yolotrack.vision import detector as opening
from yolotrack.vision import export
from yolotrack.vision.base import Detector
from yolotrack.vision.detector import open_detector
from yolotrack.vision.export import openvino_export
from yolotrack.vision.letterbox import Letterbox
from yolotrack.vision.nms import find_boxes
from yolotrack.vision.openvino import MOST_ENGINES, OpenVINODetector
from yolotrack.vision.options import DetectOptions
from yolotrack.vision.ultralytics import UltralyticsDetector
from yolotrack.vision.weights import digest_of

PICTURES = ("bus", "zidane")
SMALL = DetectOptions(imgsz=160, conf=0.3)


def look(detector: Detector, image: np.ndarray) -> sv.Detections:
    return detector.submit(image).result(60)


def predicted(weights: Path, image: np.ndarray, options: DetectOptions) -> sv.Detections:
    """What plain ultralytics finds."""
    from ultralytics import YOLO

    (result,) = YOLO(weights).predict(
        image, imgsz=options.imgsz, conf=options.conf, iou=options.iou, max_det=options.max_det, verbose=False
    )
    return sv.Detections.from_ultralytics(result)


def assert_agree(ours: sv.Detections, theirs: sv.Detections) -> None:
    """One to one the same classes, boxes within 2 pixels or 2 %; boxes of equal confidence in any order."""
    assert len(ours) == len(theirs)
    apart = np.abs(ours.xyxy[:, None] - theirs.xyxy[None]).sum(axis=2)
    _, pairs = linear_sum_assignment(apart + 1e6 * (ours.class_id[:, None] != theirs.class_id[None]))
    assert ours.data["class_name"].tolist() == theirs.data["class_name"][pairs].tolist()
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy[pairs], atol=2, rtol=0.02)
    np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=0.001)


def assert_all_agree(weights: Path, options: DetectOptions) -> list[int]:
    """OpenVINO, our ultralytics and plain ultralytics on both pictures; how many boxes they found."""
    openvino, ultralytics = OpenVINODetector(weights, options, "fp32"), UltralyticsDetector(weights, options)
    counts = []
    for name in PICTURES:
        image = shipped_picture(name)
        reference = predicted(weights, image, options)
        assert_agree(look(openvino, image), reference)
        assert_agree(look(ultralytics, image), reference)
        counts.append(len(reference))
    openvino.close()
    ultralytics.close()
    return counts


def test_all_agree_on_real_weights(real_data: Path) -> None:
    assert assert_all_agree(real_data / "weights/yolov8n.pt", DetectOptions()) == [6, 11]


def test_all_agree_on_weights_that_find_much(tiny_model: Path) -> None:
    assert min(assert_all_agree(tiny_model, DetectOptions(imgsz=320, conf=0.3))) > 20


def test_all_agree_on_the_demo_model() -> None:
    demo = Path(yolotrack.__file__).parent / "demo/demo.pt"
    if not demo.is_file():
        pytest.skip("the demo model is not trained yet")
    assert_all_agree(demo, DetectOptions())


def test_known_objects_are_found_where_they_are(real_data: Path) -> None:
    detector = OpenVINODetector(real_data / "weights/yolov8n.pt", DetectOptions(conf=0.5), "fp32")
    found = look(detector, shipped_picture("bus"))
    detector.close()
    assert sorted(found.data["class_name"].tolist()) == ["bus", "person", "person", "person"]
    np.testing.assert_allclose(found.xyxy[found.data["class_name"] == "bus"], [[22, 231, 805, 758]], atol=3)


@pytest.mark.parametrize("size", [(768, 432), (1920, 1080), (810, 1080), (333, 777), (31, 17), (3000, 2), (640, 640)])
def test_letterboxing_is_that_of_ultralytics(size: tuple[int, int]) -> None:
    from ultralytics.data.augment import LetterBox

    picture = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    letterbox = Letterbox.fit(*size, imgsz=640)
    ours = np.full((letterbox.canvas[1], letterbox.canvas[0], 3), 114, np.uint8)
    letterbox.place(picture, ours)
    assert np.array_equal(ours, LetterBox((640, 640), auto=True, stride=32)(image=picture))


@pytest.mark.parametrize(
    ("conf", "iou", "max_det", "classes"),
    [(0.25, 0.7, 300, ()), (0.001, 0.7, 300, ()), (0.001, 0.45, 2000, ()), (0.5, 0.2, 20, ()), (0.1, 0.6, 300, (1, 3))],
)
def test_suppression_is_that_of_ultralytics(conf: float, iou: float, max_det: int, classes: tuple[int, ...]) -> None:
    import torch
    from ultralytics.utils.nms import non_max_suppression

    rng = np.random.default_rng(3)
    raw = np.empty((4 + 5, 3000), np.float32)
    raw[:2] = rng.random((2, 3000)) * 600
    raw[2:4] = 10 + rng.random((2, 3000)) * 150
    raw[4:] = rng.random((5, 3000)) ** 6
    (expected,) = non_max_suppression(
        torch.from_numpy(raw[None].copy()), conf, iou, classes=list(classes) or None, max_det=max_det
    )
    found = find_boxes(raw, conf, iou, max_det, classes)
    assert len(found.xyxy) > 5
    assert found.class_id.tolist() == expected[:, 5].int().tolist()
    assert np.array_equal(found.confidence, expected[:, 4].numpy())
    np.testing.assert_allclose(found.xyxy, expected[:, :4].numpy(), atol=1e-4)


def test_classes_are_filtered_by_name_and_number(tiny_model: Path) -> None:
    options = DetectOptions(imgsz=160, conf=0.3, classes=("car", "2"))
    for detector in (OpenVINODetector(tiny_model, options), UltralyticsDetector(tiny_model, options)):
        found = look(detector, shipped_picture("bus"))
        assert set(found.class_id.tolist()) == {1, 2}
        detector.close()


def test_an_unknown_class_is_refused_on_opening(tiny_model: Path) -> None:
    for kind in (OpenVINODetector, UltralyticsDetector):
        with pytest.raises(ModelError, match="no class 'cra'; did you mean car"):
            kind(tiny_model, DetectOptions(imgsz=160, classes=("cra",)))


def test_the_digest_tells_apart_what_finds_other_boxes(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copyfile(tiny_model, tmp_path / "copy.pt")
    same = [OpenVINODetector(tiny_model), OpenVINODetector(copy), OpenVINODetector(copy, DetectOptions(imgsz=630))]
    assert len({detector.digest for detector in same}) == 1
    options = [{"imgsz": 320}, {"conf": 0.2}, {"iou": 0.6}, {"max_det": 299}, {"classes": ("car",)}]
    others = [OpenVINODetector(tiny_model, DetectOptions(**option)) for option in options]  # type: ignore[arg-type]
    assert len({detector.digest for detector in [same[0], *others]}) == 1 + len(others)
    by_name, by_number = (OpenVINODetector(tiny_model, DetectOptions(classes=(car,))) for car in ("car", "1"))
    assert by_name.digest == by_number.digest


def test_the_resolved_precision_is_in_the_digest(tiny_model: Path) -> None:
    auto, fp32 = OpenVINODetector(tiny_model), OpenVINODetector(tiny_model, precision="fp32")
    try:
        bf16 = OpenVINODetector(tiny_model, precision="bf16")
    except ModelError as error:
        assert "does not compute in bf16" in str(error)
        assert auto.digest == fp32.digest
    else:
        assert auto.digest == bf16.digest != fp32.digest


def test_many_sizes_take_turns(tiny_model: Path) -> None:
    detector = OpenVINODetector(tiny_model, SMALL, "fp32")
    sizes = [(200, 40 + 30 * number) for number in range(MOST_ENGINES + 2)]
    images = [np.ascontiguousarray(shipped_picture("bus")[: h * 2, : w * 2]) for w, h in sizes]
    first = [look(detector, image) for image in images]
    for found, future in zip(first * 2, [detector.submit(image) for image in images * 2], strict=True):
        assert found.xyxy.tobytes() == future.result(60).xyxy.tobytes()
    detector.close()


def test_two_sizes_that_share_an_engine_do_not_see_each_other(tiny_model: Path) -> None:
    detector = OpenVINODetector(tiny_model, SMALL, "fp32")
    tall, flat = shipped_picture("zidane")[:700], shipped_picture("zidane")[:560]
    assert Letterbox.fit(1280, 700, 160).canvas == Letterbox.fit(1280, 560, 160).canvas
    alone = look(detector, flat)
    for _ in range(detector.capacity):
        look(detector, tall)
    assert look(detector, flat).xyxy.tobytes() == alone.xyxy.tobytes()
    detector.close()


def test_opening_chooses_openvino_on_a_cpu(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_cuda_devices", lambda: 0)
    detector = open_detector(ModelSettings(weights=str(tiny_model)))
    assert isinstance(detector, OpenVINODetector)


def test_weights_that_openvino_is_not_for_run_on_torch(
    tiny_model: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(export, "_run_child", lambda _: {"unsuited": "it is odd"})
    detector = open_detector(ModelSettings(weights=str(tiny_model), device="cpu", imgsz=64))
    assert isinstance(detector, UltralyticsDetector)
    assert "does not run on OpenVINO: it is odd; running it with PyTorch" in caplog.text
    detector.close()


def test_weights_in_another_format_run_on_ultralytics(tiny_model: Path, tmp_path: Path) -> None:
    exported = openvino_export(tiny_model, digest_of(tiny_model))
    folder = shutil.copytree(exported.xml.parent, tmp_path / "tiny_openvino_model")
    detector = open_detector(ModelSettings(weights=str(folder), device="cpu", imgsz=160, conf=0.3))
    assert isinstance(detector, UltralyticsDetector)
    assert len(look(detector, shipped_picture("bus")))
    detector.close()
