"""Keeps ultralytics and OpenVINO to themselves: no telemetry, no update checks, no packages that install themselves.

The one connection that yolotrack opens for a model is the download of official weights, in `weights`.
"""

from __future__ import annotations

import os
import sys

from yolotrack.vision.cache import cache_folder


def stay_offline() -> None:
    """Call before importing either library; holds for this process and those it starts.

    ultralytics reads these variables once, when it is imported: analytics, online checks and auto-install go, weights
    are loaded by allow-list (a `.pt` is a pickle, which could run code), and its settings file stays in our cache.
    OpenVINO's model converter falls back to its stub when the package `openvino_telemetry` cannot be imported.
    """
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false", ULTRALYTICS_SAFE_LOAD="true")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(cache_folder()))
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def insist_on_ultralytics() -> None:
    """The same for a process that imported ultralytics before `stay_offline` was called. Imports ultralytics."""
    from ultralytics.nn import tasks
    from ultralytics.utils import checks
    from ultralytics.utils.events import events

    tasks.SAFE_LOAD = True
    checks.AUTOINSTALL = False
    events.enabled = False
