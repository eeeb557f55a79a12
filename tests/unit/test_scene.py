"""The synthetic street: equal bits from equal seeds, and a ground truth that is exact to the pixel."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from yolotrack.demo.geometry import paint
from yolotrack.demo.layout import MARGIN
from yolotrack.demo.scene import CLASSES, MIN_CONSIDERED, Figure, GroundTruth, Scene, write_mot
from yolotrack.demo.street import Occluder
from yolotrack.demo.traffic import Actor


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(seed=3, frames=150)


@pytest.fixture(scope="module")
def truths(scene: Scene) -> list[GroundTruth]:
    return [scene.truth(index) for index in range(0, len(scene), 5)]


def test_the_same_seed_gives_the_same_bits(scene: Scene) -> None:
    again = Scene(seed=3, frames=150)
    assert np.array_equal(again.render(70), scene.render(70))
    assert _equal(again.truth(70), scene.truth(70))


def test_another_seed_gives_another_street(scene: Scene) -> None:
    assert not np.array_equal(Scene(seed=4, frames=1).render(0), scene.render(0))


def test_any_frame_alone_equals_the_frame_in_order() -> None:
    scene = Scene(seed=5, width=480, height=270, frames=6)
    for index, (image, truth) in enumerate(scene):
        assert np.array_equal(image, scene.render(index))
        assert _equal(truth, scene.truth(index))
    assert index + 1 == len(scene) == 6


def test_a_longer_scene_begins_like_a_shorter_one(scene: Scene) -> None:
    short = Scene(seed=3, frames=20)
    assert _equal(short.truth(19), scene.truth(19))


def test_the_frame_rate_only_changes_the_moments(scene: Scene) -> None:
    slow = Scene(seed=3, fps=Fraction(25, 2), frames=75)
    assert _equal(slow.truth(30), scene.truth(60))


def test_what_a_frame_is_made_of(scene: Scene) -> None:
    image, truth = scene.render(0), scene.truth(0)
    assert (image.shape, str(image.dtype)) == ((540, 960, 3), "uint8")
    n = len(truth)
    assert n > 5
    shapes = {"track_ids": (n,), "xyxy": (n, 4), "class_ids": (n,), "visibility": (n,)}
    kinds = {"track_ids": "int64", "xyxy": "float32", "class_ids": "int64", "visibility": "float32"}
    assert {name: getattr(truth, name).shape for name in shapes} == shapes
    assert {name: str(getattr(truth, name).dtype) for name in kinds} == kinds


@pytest.mark.parametrize("index", [-1, 150])
def test_there_is_no_frame_outside_the_scene(scene: Scene, index: int) -> None:
    with pytest.raises(IndexError):
        scene.render(index)
    with pytest.raises(IndexError):
        scene.truth(index)


@pytest.mark.parametrize("size", [{"width": 961}, {"height": 0}, {"frames": 0}, {"fps": 0}])
def test_impossible_sizes_are_refused(size: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no scene"):
        Scene(**size)


def test_every_class_appears_and_ids_are_unique(truths: list[GroundTruth]) -> None:
    kinds: dict[int, int] = {}
    for truth in truths:
        assert len(set(truth.track_ids.tolist())) == len(truth)
        assert np.all(truth.track_ids >= 1)
        assert np.all(np.diff(truth.track_ids) > 0)
        for track, kind in zip(truth.track_ids.tolist(), truth.class_ids.tolist(), strict=True):
            assert kinds.setdefault(track, kind) == kind
    assert set(kinds.values()) == set(range(len(CLASSES)))


def test_who_leaves_does_not_come_back(scene: Scene, truths: list[GroundTruth]) -> None:
    seen = np.zeros((len(scene._world.cast) + 1, len(truths)), int)
    for moment, truth in enumerate(truths):
        seen[truth.track_ids, moment] = 1
    entries = (np.diff(seen, axis=1, prepend=0) > 0).sum(axis=1)
    assert entries.max() == 1


def test_boxes_lie_in_the_picture(truths: list[GroundTruth]) -> None:
    boxes = np.concatenate([truth.xyxy for truth in truths])
    assert np.all(boxes >= 0)
    assert np.all(boxes <= [960, 540, 960, 540])
    assert np.all(boxes[:, 2:] - boxes[:, :2] >= 0.99)


def test_boxes_are_those_of_the_painted_pixels(scene: Scene) -> None:
    """Every figure painted alone and black on white, with the painter of the pictures."""
    truth, offset = scene.truth(40), scene.offset(40) - MARGIN
    boxes = dict(zip(truth.track_ids.tolist(), truth.xyxy, strict=True))
    width, height = scene._world.layout.canvas
    inner = [b for b in boxes.values() if min(b[:2]) > 0 and b[2] < scene.width and b[3] < scene.height]
    assert len(inner) > 5
    for figure in scene._figures(40):
        box = boxes.get(figure.track_id)
        if box is None or not any(box is b for b in inner):
            continue
        canvas = np.zeros((height, width, 3), np.uint8)
        paint(canvas, figure.polygons)
        rows, columns = np.nonzero(canvas.max(axis=2) > 0)
        outer = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) + np.tile(offset, 2)
        assert np.abs(box - outer).max() <= 2.0


def test_visibility_is_the_share_of_own_pixels(scene: Scene) -> None:
    """Against sets of pixels: what an object covers alone, less what is covered by all that is nearer."""
    index, size = 40, scene._world.layout.canvas[::-1]
    truth = scene.truth(index)
    known = dict(zip(truth.track_ids.tolist(), truth.visibility.tolist(), strict=True))
    nearer = np.ones(size, bool)
    dx, dy = np.rint(MARGIN - scene.offset(index)).astype(int)
    nearer[dy : dy + scene.height, dx : dx + scene.width] = False
    things: list[Figure | Occluder] = [*scene._figures(index), *scene._world.occluders]
    checked = 0
    for thing in sorted(things, key=lambda item: (item.y, abs(item.x))):
        own = _own_pixels(thing, size)
        whole = own[1:-1, 1:-1].sum() == own.sum()
        if isinstance(thing, Figure) and thing.track_id in known and whole:
            assert known[thing.track_id] == pytest.approx((own & ~nearer).sum() / own.sum(), abs=1e-5)
            checked += 1
        nearer |= own
    assert checked > 5


def test_the_bridge_hides_who_passes_under_it() -> None:
    scene = Scene(seed=1, frames=250)
    bridge = scene._world.occluders[0]
    middle = bridge.left + bridge.hides.shape[1] / 2
    seen: dict[int, list[tuple[float, float]]] = {}
    for index in range(0, len(scene), 3):
        truth = scene.truth(index)
        for track, box, share in zip(truth.track_ids.tolist(), truth.xyxy, truth.visibility, strict=True):
            if box[0] > 1 and box[2] < scene.width - 1:
                seen.setdefault(track, []).append((float(box[0] + box[2]) / 2 - middle, float(share)))
    passed = [v for v in seen.values() if min(p for p, _ in v) < -40 and max(p for p, _ in v) > 40]
    ranges = [(min(share for _, share in v), max(share for _, share in v)) for v in passed]
    assert len(passed) >= 3
    assert sum(low < 0.35 and high > 0.9 for low, high in ranges) >= 2


def test_vehicles_overtake_and_never_touch() -> None:
    cast = Scene(seed=8, frames=500)._world.cast
    vehicles = [actor for actor in cast if actor.class_id > 0]
    overtakings = 0
    for i, one in enumerate(vehicles):
        for other in vehicles[i + 1 :]:
            start, end = max(one.times[0], other.times[0]), min(one.times[-1], other.times[-1])
            if start < end:
                gap = _positions(one, start, end) - _positions(other, start, end)
                same_way = one.heading(start)[0] * other.heading(start)[0] > 0
                overtakings += bool(same_way and gap[0, 0] * gap[-1, 0] < 0)
                near = np.abs(gap) < [(one.body.length + other.body.length) / 2, 2.0]
                assert not np.any(near.all(axis=1))
    assert overtakings >= 1


def test_objects_hide_each_other(truths: list[GroundTruth]) -> None:
    shares = np.concatenate([truth.visibility for truth in truths])
    assert np.all((shares >= 0) & (shares <= 1))
    assert (shares < 0.5).mean() > 0.02
    assert (shares > 0.9).mean() > 0.5


def test_the_camera_shakes_pictures_and_boxes_alike() -> None:
    scene = Scene(seed=1, frames=250)
    first, second = _two_shaken(scene)
    moved = scene.offset(second) - scene.offset(first)
    assert np.abs(moved).max() > 0.8
    one, other = (scene.render(index)[:90, :, 1].astype(np.float32) for index in (first, second))
    found, _ = cv2.phaseCorrelate(one, other, cv2.createHanningWindow((scene.width, 90), cv2.CV_32F))
    assert found == pytest.approx(tuple(moved), abs=0.25)
    for actor, track in _standing(scene, first, second):
        boxes = [_box_of(scene.truth(i), track) for i in (first, second)]
        assert boxes[1] - boxes[0] == pytest.approx(np.tile(moved, 2), abs=1e-3), actor


def test_mot_text_counts_from_one(tmp_path: Path) -> None:
    scene = Scene(seed=6, frames=3)
    write_mot(tmp_path / "gt.txt", scene)
    rows = np.loadtxt(tmp_path / "gt.txt", delimiter=",")
    assert rows.shape[1] == 9
    assert set(rows[:, 0]) == {1, 2, 3}
    for index in range(3):
        truth, mine = scene.truth(index), rows[rows[:, 0] == index + 1]
        assert mine[:, 1].tolist() == truth.track_ids.tolist()
        corners = np.concatenate([mine[:, 2:4], mine[:, 2:4] + mine[:, 4:6]], axis=1)
        assert corners == pytest.approx(truth.xyxy, abs=0.02)
        assert mine[:, 6].tolist() == (truth.visibility >= MIN_CONSIDERED).astype(int).tolist()
        assert mine[:, 7].tolist() == (truth.class_ids + 1).tolist()
        assert mine[:, 8] == pytest.approx(truth.visibility, abs=1e-4)


def _equal(a: GroundTruth, b: GroundTruth) -> bool:
    names = ("track_ids", "xyxy", "class_ids", "visibility")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def _own_pixels(thing: Figure | Occluder, size: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(size, np.uint8)
    if isinstance(thing, Occluder):
        rows, columns = thing.hides.shape
        mask[thing.top : thing.top + rows, thing.left : thing.left + columns] = thing.hides
    else:
        for polygon in thing.polygons:
            if polygon.solid:
                cv2.fillConvexPoly(mask, polygon.corners, (1,), cv2.LINE_8, 4)
    return mask > 0


def _positions(actor: Actor, start: float, end: float) -> NDArray[np.float64]:
    return np.stack([actor.place(t) for t in np.linspace(start, end, 40)])


def _two_shaken(scene: Scene) -> tuple[int, int]:
    """Two frames close in time that the shake sets well apart; the traffic waits at a red light by then."""
    pairs = [(i, i + d) for i in range(200, len(scene) - 20) for d in range(1, 20)]
    offsets = np.stack([scene.offset(i) for i in range(len(scene))])
    return max(pairs, key=lambda pair: float(np.abs(offsets[pair[1]] - offsets[pair[0]]).min()))


def _standing(scene: Scene, first: int, second: int) -> list[tuple[Actor, int]]:
    """Actors who do not move between two frames and are wholly inside the picture."""
    times = first / float(scene.fps), second / float(scene.fps)
    found = []
    for track, actor in enumerate(scene._world.cast, start=1):
        if all(map(actor.present, times)) and actor.distance(times[0]) == actor.distance(times[1]):
            box = _box_of(scene.truth(first), track)
            if len(box) and min(box[:2]) > 5 and box[2] < scene.width - 5 and box[3] < scene.height - 5:
                found.append((actor, track))
    assert found
    return found


def _box_of(truth: GroundTruth, track: int) -> NDArray[np.float32]:
    return np.asarray(truth.xyxy[truth.track_ids == track].reshape(-1), np.float32)
