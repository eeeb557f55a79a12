"""Train the demo model: a narrow YOLOv8 from scratch on pictures of the synthetic street, on a CPU, offline.

    python scripts/train_demo_model.py --hours 1                 # writes yolotrack/demo/demo.pt
    python scripts/train_demo_model.py --evaluate                # mAP of that file on the held-out seeds

The seeds 0-99 are held out for demonstrations, tests and this evaluation: no picture of theirs is trained on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from yolotrack.demo.scene import CLASSES, GroundTruth, Scene  # noqa: E402

HELD_OUT = range(100)
TRAIN_FIRST, VAL_FIRST = 1000, 5000
PICTURES_A_SEED = 5
FRAMES = 600
EVALUATED = 40
MIN_VISIBILITY = 0.3
_RECIPE: dict[str, Any] = dict(
    pretrained=False, amp=False, cache="ram", rect=True, patience=0,
    optimizer="AdamW", lr0=0.003, lrf=0.01, cos_lr=True, warmup_epochs=1.0,
    mosaic=0.0, auto_augment=None, erasing=0.0, scale=0.1, translate=0.03, fliplr=0.5,
    hsv_h=0.02, hsv_s=0.3, hsv_v=0.2,
)  # fmt: skip
"""Whole pictures at the shape of inference, a step a batch, little augmentation: the scenes vary enough."""
DESCRIPTION = "yolotrack demo model: knows the synthetic scene only"


def main() -> None:
    """Train and evaluate, or only evaluate."""
    options = _options()
    options.workdir.mkdir(parents=True, exist_ok=True)
    _stay_offline(options.workdir)
    if not options.evaluate:
        _train(options)
    _evaluate(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the pictures; --hours overrules it")
    parser.add_argument("--hours", type=float, help="train for this long and fit the schedule to it")
    parser.add_argument("--pictures", type=int, default=1600, help="training pictures (validation: a tenth)")
    parser.add_argument("--imgsz", type=int, default=448, help="longer side the model sees")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=float, default=0.125, help="width multiple of YOLOv8 (n has 0.25)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order, not of scenes")
    parser.add_argument("--out", type=Path, default=ROOT / "yolotrack" / "demo" / "demo.pt")
    parser.add_argument("--workdir", type=Path, default=Path("demo-training"), help="pictures and checkpoints")
    parser.add_argument("--evaluate", action="store_true", help="only evaluate --out on the held-out seeds")
    return parser.parse_args()


def _stay_offline(workdir: Path) -> None:
    """Keep ultralytics from looking for updates, from sending events and from settings outside `workdir`."""
    os.environ.update(YOLO_OFFLINE="true", YOLO_CONFIG_DIR=str(workdir.resolve()), WANDB_MODE="disabled")
    from ultralytics.utils import SETTINGS

    reporters = ("sync", "wandb", "comet", "mlflow", "tensorboard", "neptune", "clearml", "dvc", "raytune")
    SETTINGS.update({key: False for key in reporters if key in SETTINGS})


def _train(options: argparse.Namespace) -> None:
    from ultralytics import YOLO

    pictures = options.workdir / "pictures"
    seeds = -(-options.pictures // PICTURES_A_SEED)
    _draw(pictures / "train", range(TRAIN_FIRST, TRAIN_FIRST + seeds))
    _draw(pictures / "val", range(VAL_FIRST, VAL_FIRST + max(1, seeds // 10)))
    model = YOLO(_architecture(options.workdir, options.width), task="detect")
    model.add_callback("on_model_save", partial(_export, out=options.out, imgsz=options.imgsz))
    model.train(
        **_common(options, "run", _dataset(pictures, "train", "val")),
        **_RECIPE,
        batch=options.batch,
        nbs=options.batch,
        epochs=options.epochs,
        time=options.hours,
        seed=options.seed,
    )


def _evaluate(options: argparse.Namespace) -> None:
    from ultralytics import YOLO

    pictures = options.workdir / "pictures"
    _draw(pictures / "held-out", HELD_OUT[:EVALUATED])
    data = _dataset(pictures, "held-out", "held-out")
    found = YOLO(options.out).val(**_common(options, "evaluation", data), batch=8).box
    seeds = f"held-out seeds 0-{EVALUATED - 1}"
    print(f"{seeds} at {options.imgsz} px: mAP50 {found.map50:.3f}, mAP50-95 {found.map:.3f}")
    for i, kind in enumerate(found.ap_class_index):
        print(f"  {CLASSES[kind]}: mAP50 {found.ap50[i]:.3f}, mAP50-95 {found.ap[i]:.3f}")


def _common(options: argparse.Namespace, name: str, data: str) -> dict[str, Any]:
    """What training and evaluation share: the processor, no plots (they need a font), where results go."""
    place = {"project": str(options.workdir.resolve()), "name": name, "exist_ok": True}
    return {"data": data, "imgsz": options.imgsz, "device": "cpu", "workers": 0, "plots": False, **place}


def _export(trainer: Any, out: Path, imgsz: int) -> None:
    """Put the best checkpoint so far at `out`: half precision, no optimizer, no paths of this machine."""
    import torch

    if not trainer.best.exists():
        return
    saved = torch.load(trainer.best, map_location="cpu", weights_only=False)
    model = (saved["ema"] or saved["model"]).half()
    model.args = {"imgsz": imgsz, "task": "detect", "model": "yolov8"}
    model.yaml["yaml_file"] = "yolov8-street.yaml"
    model.criterion = None
    model.requires_grad_(False)
    kept = {key: saved[key] for key in ("date", "version", "license", "docs") if key in saved}
    draft = out.with_suffix(".part")
    torch.save({**kept, "description": DESCRIPTION, "epoch": -1, "model": model, "train_args": model.args}, draft)
    draft.replace(out)


def _architecture(workdir: Path, width: float) -> str:
    """YOLOv8's own plan with the demo's classes and a narrower n scale."""
    from ultralytics.utils import ROOT as ULTRALYTICS

    plan = yaml.safe_load((ULTRALYTICS / "cfg" / "models" / "v8" / "yolov8.yaml").read_text("utf-8"))
    plan.update(nc=len(CLASSES), scale="n", scales={"n": [0.33, width, 1024]})
    path = workdir / "yolov8-street.yaml"
    path.write_text(yaml.safe_dump(plan, sort_keys=False), "utf-8")
    return str(path)


def _dataset(pictures: Path, train: str, val: str) -> str:
    names = dict(enumerate(CLASSES))
    path = pictures / f"{val}.yaml"
    plan = {"path": str(pictures.resolve()), "train": train, "val": val, "names": names}
    path.write_text(yaml.safe_dump(plan), "utf-8")
    return str(path)


def _draw(folder: Path, seeds: range) -> None:
    """Write the pictures and labels of the seeds, unless they are there."""
    held_out = set(seeds) & set(HELD_OUT)
    assert not held_out or folder.name == "held-out", f"seeds {held_out} are not for training"
    folder.mkdir(parents=True, exist_ok=True)
    todo = [seed for seed in seeds if not (folder / f"{seed}-{PICTURES_A_SEED - 1}.txt").exists()]
    with ProcessPoolExecutor(max_workers=2) as pool:
        for done, _ in enumerate(pool.map(partial(_draw_seed, folder), todo), start=1):
            print(f"\rdrawing {folder.name}: {done}/{len(todo)} scenes", end="", flush=True)
    print()


def _draw_seed(folder: Path, seed: int) -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    scene = Scene(seed, frames=FRAMES)
    for number, index in enumerate(rng.choice(FRAMES, PICTURES_A_SEED, replace=False)):
        quality = int(rng.integers(70, 97))
        picture = str(folder / f"{seed}-{number}.jpg")
        cv2.imwrite(picture, scene.render(int(index)), [cv2.IMWRITE_JPEG_QUALITY, quality])
        lines = _labels(scene.truth(int(index)), scene.width, scene.height)
        (folder / f"{seed}-{number}.txt").write_text("".join(lines), encoding="ascii")


def _labels(truth: GroundTruth, width: int, height: int) -> Iterator[str]:
    """YOLO text: class, centre and size as shares of the picture, of what is visible enough."""
    size = np.array([width, height])
    rows: Iterable[tuple[int, np.ndarray[Any, Any], float]] = zip(
        truth.class_ids, truth.xyxy, truth.visibility, strict=True
    )
    for kind, box, visibility in rows:
        if visibility >= MIN_VISIBILITY:
            numbers = np.concatenate([(box[:2] + box[2:]) / 2 / size, (box[2:] - box[:2]) / size])
            yield f"{kind} {' '.join(f'{n:.6f}' for n in numbers)}\n"


if __name__ == "__main__":
    main()
