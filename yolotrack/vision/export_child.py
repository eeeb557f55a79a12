"""The child process that turns weights into an OpenVINO model: `python -m yolotrack.vision.export_child`.

A process of its own, because torch and the converter cost seconds and half a gigabyte that detection never needs.
It works in its current folder, where the parent put `weights.pt`, and leaves `result.json` and the model there.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from yolotrack.vision.offline import stay_offline
from yolotrack.vision.text import reason

WEIGHTS = "weights.pt"
MODEL = "weights_openvino_model"
RESULT = "result.json"
TRACE_SIZE = (256, 320)
"""Height, width of the picture that export traces with; not square, so that no side is taken for the other."""


def main() -> None:
    """Export, and say in `result.json` how it went: `names` and `stride`, or `error`, or `unsuited`."""
    stay_offline()
    warnings.simplefilter("ignore")
    Path(RESULT).write_text(json.dumps(_export()), encoding="utf-8")


def _export() -> dict[str, object]:
    from ultralytics import YOLO

    try:
        model = YOLO(WEIGHTS)
    except Exception as error:  # whatever a damaged or hostile file makes of the loader
        return {"error": reason(error)}
    if model.task != "detect":
        return {"unsuited": f"it is a {model.task} model"}
    try:
        model.export(format="openvino", dynamic=True, imgsz=TRACE_SIZE, device="cpu")
    except Exception as error:
        return {"unsuited": reason(error)}
    return _described(Path(MODEL))


def _described(folder: Path) -> dict[str, object]:
    from ultralytics.utils import YAML

    metadata = YAML.load(folder / "metadata.yaml")
    if metadata.get("end2end") or metadata.get("head") == "RTDETRDecoder":
        return {"unsuited": f"its head {metadata.get('head')} has an output of its own"}
    return {"names": metadata["names"], "stride": max(int(metadata["stride"]), 32)}


if __name__ == "__main__":
    main()
