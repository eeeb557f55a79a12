"""One typed model of every setting: command line > environment > config.yaml > defaults.

    yolotrack run --conf 0.3         the command line, handed over as `overrides`
    YOLOTRACK_MODEL__CONF=0.3        the environment: YOLOTRACK_<SECTION>__<KEY>
    model: {conf: 0.3}               config.yaml in the working directory, or the file named by --config

`Settings(...)` itself reads nothing; `load_settings` and `load_file` do.
"""

from yolotrack.config.load import CONFIG_FILE, NOT_SETTINGS, load_file, load_settings
from yolotrack.config.schema import (
    BrokerSettings,
    DatabaseSettings,
    LogSettings,
    ModelSettings,
    OutputSettings,
    PipelineSettings,
    PublishSettings,
    Section,
    Settings,
    SourceSettings,
    TrackerSettings,
    masked,
    setting_fields,
)

__all__ = [
    "CONFIG_FILE",
    "NOT_SETTINGS",
    "BrokerSettings",
    "DatabaseSettings",
    "LogSettings",
    "ModelSettings",
    "OutputSettings",
    "PipelineSettings",
    "PublishSettings",
    "Section",
    "Settings",
    "SourceSettings",
    "TrackerSettings",
    "load_file",
    "load_settings",
    "masked",
    "setting_fields",
]
