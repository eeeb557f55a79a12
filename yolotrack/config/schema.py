"""What settings there are: every key with its type, range, default and description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from yolotrack.secrets import MASK, mask_url

ENV_PREFIX = "YOLOTRACK_"


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number")
    return value


def _names(value: object) -> object:
    """`person,car`, `[person, 2]` and `2` as texts."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, list):
        return [str(item) if type(item) is int else item for item in value]
    return value


def _parameters(value: object) -> object:
    """Values that the environment brought as text are read as YAML would."""
    if not isinstance(value, Mapping):
        return value
    parsed = {k: _scalar(v) if isinstance(v, str) else v for k, v in value.items()}
    for name, item in parsed.items():
        if not isinstance(item, (bool, int, float, str)):
            raise ValueError(f"{name} should be a number, a text, true or false")
    return parsed


def _scalar(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _listed(value: object) -> object:
    """A list of URLs as one text with commas between."""
    if not isinstance(value, list | tuple):
        return value
    if not value or not all(isinstance(item, str) and re.match("amqps?://", item) for item in value):
        raise ValueError("should be URLs, each amqp:// or amqps://")
    return ",".join(value)


Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, BeforeValidator(_number)]
Unit = Annotated[Number, Field(ge=0.0, le=1.0)]
Integer = Annotated[int, BeforeValidator(_number)]
Positive = Annotated[Integer, Field(ge=1)]
Names = Annotated[tuple[Text, ...], BeforeValidator(_names)]
Parameters = Annotated[dict[str, Any], BeforeValidator(_parameters)]


class Section(BaseModel):
    """A part of the settings: frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Credentials(Section):
    """Of a server, apart from its URL, where every character stands for itself."""

    url: str
    user: Text | None = Field(None, description="who logs in, instead of the user in the URL")
    password: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        None, description="any text, instead of the password in the URL; safest in the environment"
    )
    password_file: Path | None = Field(None, description="a file whose first line is the password, as of a secret")

    @field_validator("password_file")
    @classmethod
    def _instead(cls, file: Path | None, others: ValidationInfo) -> Path | None:
        if file is not None and others.data.get("password") is not None:
            raise ValueError("should not be set beside a password")
        return file


class DatabaseSettings(Credentials):
    """Where tracks are kept."""

    url: str = Field(
        "sqlite:///yolotrack.db",
        pattern=r"^[A-Za-z][A-Za-z0-9_+]*://",
        description="an SQLAlchemy URL; may hold a password",
        repr=False,
    )
    detections: bool = Field(False, description="keep what the detector found, to track it again")


class BrokerSettings(Credentials):
    """What carries frames between processes. Publishers and workers of one pipeline need the same values."""

    url: Annotated[str, BeforeValidator(_listed)] = Field(
        "amqp://guest:guest@127.0.0.1:5672/",
        pattern=r"^amqps?://",
        description="a RabbitMQ, amqp:// or amqps://; may hold a password;"
        " amqp://user:password@a,b,c/ or a list is a cluster",
        repr=False,
    )
    namespace: str = Field(
        "yolotrack", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="prefix of every queue"
    )
    shards: Positive = Field(
        1, description="parts that the streams are split into, each tracked by one worker at a time"
    )
    max_frames: Positive = Field(64, description="frames waiting for a detector before an archive's publisher waits")
    live_frames: Positive = Field(2, description="frames waiting for a detector before a live publisher skips it")
    video_log_mb: Positive = Field(2000, description="megabytes of pictures kept per stream, the newest")
    tracks_log_mb: Positive = Field(200, description="megabytes of tracks kept per stream, the newest")
    patience_seconds: Number = Field(120.0, gt=0.0, description="longest time without a connection before giving up")
    orphan_seconds: Number = Field(
        30.0, gt=0.0, description="time without its publisher after which a run is interrupted"
    )


class PublishSettings(Section):
    """How pictures travel."""

    mode: Literal["auto", "archive", "live"] = Field(
        "auto", description="archive waits for workers, live skips detection; auto is live for cameras"
    )
    quality: Integer = Field(90, ge=1, le=100, description="JPEG quality")


class ModelSettings(Section):
    """What finds the objects."""

    weights: Text = Field("yolov8n.pt", description="weights file, or module:factory of your own detector")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        description="auto, cpu, cuda, cuda:0 or mps; auto is CUDA where there is one",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto is the fastest the device computes in")
    cpu_isa: Literal[
        "auto", "avx", "avx2", "avx512_core", "avx512_core_vnni", "avx512_core_bf16", "avx512_core_amx"
    ] = Field("auto", description="best instruction set to use, the same for workers on different processors")
    half: bool = Field(False, description="half precision on CUDA")
    imgsz: Positive = Field(640, description="longer side of the model's input in pixels, rounded up to its stride")
    conf: Unit = Field(0.1, description="floor of confidence; what starts a track is the tracker's own threshold")
    iou: Unit = Field(0.7, description="overlap above which the weaker of two boxes goes")
    max_det: Positive = Field(300, description="most boxes per picture")
    classes: Names = Field((), description="names or numbers to keep; empty keeps all")
    batch: Positive = Field(8, description="pictures per batch on CUDA")


class TrackerSettings(Section):
    """What gives them their identity."""

    name: Literal["sort", "bytetrack", "ocsort", "botsort", "cbiou"] = Field("botsort", description="the tracker")
    camera_motion: bool = Field(False, description="estimate camera motion for trackers that use it (botsort)")
    sort: Parameters = Field({}, description="parameters of sort, by their names in the trackers package")
    bytetrack: Parameters = Field({}, description="parameters of bytetrack")
    ocsort: Parameters = Field({}, description="parameters of ocsort")
    botsort: Parameters = Field({}, description="parameters of botsort")
    cbiou: Parameters = Field({}, description="parameters of cbiou")


class SourceSettings(Section):
    """Which pictures of a source are taken."""

    stride: Positive = Field(1, description="take every n-th picture")
    start: Number = Field(0.0, ge=0.0, description="begin at this media time, seconds")
    end: Number | None = Field(None, gt=0.0, description="stop before this media time, seconds")
    max_frames: Positive | None = Field(None, description="stop after this many pictures")

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: float | None, others: ValidationInfo) -> float | None:
        if end is not None and end <= others.data.get("start", 0.0):
            raise ValueError("should be later than source.start")
        return end


class OutputSettings(Section):
    """How a video is drawn and written."""

    codec: Literal["h264", "hevc", "av1"] = Field("h264", description="h264 plays everywhere; the others are smaller")
    crf: Integer | None = Field(
        None, ge=0, le=63, description="quality: lower is better and larger; null is 23 for h264, 26 hevc, 38 av1"
    )
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = Field(
        "veryfast", description="the encoder's speed: slower is smaller"
    )
    labels: bool = Field(True, description="draw `#id class conf` on every box")
    traces: bool = Field(True, description="draw where a track came from")
    trace_length: Positive = Field(50, description="frames a trace is long")
    thickness: Positive | None = Field(None, description="of lines, pixels; null grows with the picture")

    @field_validator("crf")
    @classmethod
    def _within_scale(cls, crf: int | None, others: ValidationInfo) -> int | None:
        codec = others.data.get("codec", "h264")
        if crf is not None and crf > 51 and codec != "av1":
            raise ValueError(f"should be at most 51 for {codec}")
        return crf


class PipelineSettings(Section):
    """How roles work together."""

    queue_frames: Positive = Field(32, description="most pictures waiting between two roles of one process")
    commit_frames: Positive = Field(8, description="frames per transaction, at most")
    commit_seconds: Number = Field(0.2, gt=0.0, description="longest time a tracked frame waits for its transaction")


class LogSettings(Section):
    """What is said on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("warning", description="least severity shown")


class Settings(BaseSettings):
    """All settings of yolotrack, frozen: exactly the values handed over, and defaults for the rest."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_parse_none_str="null",
        enable_decoding=False,
        extra="forbid",
        frozen=True,
    )

    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    publish: PublishSettings = PublishSettings()
    model: ModelSettings = ModelSettings()
    tracker: TrackerSettings = TrackerSettings()
    source: SourceSettings = SourceSettings()
    output: OutputSettings = OutputSettings()
    pipeline: PipelineSettings = PipelineSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed over: `load_settings` asks the sources itself, to name them in errors."""
        return (init_settings,)


def setting_fields() -> dict[str, FieldInfo]:
    """Every key as `section.key`, in order, with its default and description."""
    return {
        f"{section}.{key}": field
        for section, part in Settings.model_fields.items()
        for key, field in cast("type[Section]", part.annotation).model_fields.items()
    }


def masked(settings: Settings) -> dict[str, dict[str, Any]]:
    """Plain values of every setting by section and key, with passwords and the secrets of URLs masked."""
    dump = settings.model_dump(mode="json")
    return {section: {key: _masked(key, value) for key, value in part.items()} for section, part in dump.items()}


def _masked(key: str, value: Any) -> Any:
    if key == "password" and value is not None:
        return MASK
    return mask_url(value) if isinstance(value, str) else value
