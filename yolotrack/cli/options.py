"""Options that several commands share, each written once; the names are those that users of ultralytics know."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from yolotrack.errors import UsageError

Model = Annotated[
    str | None,
    typer.Option("--model", help="Weights file, or module:factory of your own detector."),
]
Conf = Annotated[float | None, typer.Option("--conf", help="Floor of confidence, 0-1.")]
Iou = Annotated[float | None, typer.Option("--iou", help="Overlap above which the weaker of two boxes goes.")]
Imgsz = Annotated[int | None, typer.Option("--imgsz", help="Longer side of the model's input, pixels.")]
MaxDet = Annotated[int | None, typer.Option("--max-det", help="Most boxes per picture.")]
Classes = Annotated[
    str | None,
    typer.Option("--classes", help="Names or numbers to keep, as in person,car or 0,2."),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:0 or mps.")]
Batch = Annotated[int | None, typer.Option("--batch", help="Pictures per batch on CUDA.")]
Half = Annotated[bool | None, typer.Option("--half", help="Half precision on CUDA.")]
CpuIsa = Annotated[
    str | None,
    typer.Option("--cpu-isa", help="Best instruction set to use, as in avx2: the same for workers of one run."),
]
Tracker = Annotated[
    str | None,
    typer.Option("--tracker", help="sort, bytetrack, ocsort, botsort or cbiou."),
]
Stride = Annotated[int | None, typer.Option("--stride", help="Take every n-th picture.")]
StartTime = Annotated[float | None, typer.Option("--start", help="Begin at this media time, seconds.")]
EndTime = Annotated[float | None, typer.Option("--end", help="Stop before this media time, seconds.")]
MaxFrames = Annotated[int | None, typer.Option("--max-frames", help="Stop after this many pictures.")]
Stream = Annotated[str | None, typer.Option("--stream", help="Name of the stream; default: the file's stem.")]
Broker = Annotated[str | None, typer.Option("--broker", metavar="URL", help="RabbitMQ, as in amqp://host:5672/.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="Prefix of every queue.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Codec = Annotated[str | None, typer.Option("--codec", help="h264, hevc or av1.")]
Crf = Annotated[int | None, typer.Option("--crf", help="Quality: lower is better and larger.")]
Labels = Annotated[bool | None, typer.Option("--labels/--no-labels", help="Number, class and confidence on every box.")]
Traces = Annotated[bool | None, typer.Option("--traces/--no-traces", help="Where a track came from.")]
TraceLength = Annotated[int | None, typer.Option("--trace-length", help="Frames that a trace is long.")]
Thickness = Annotated[int | None, typer.Option("--thickness", help="Of lines, pixels.")]

LAST_ID = 2**31 - 1
"""What the databases' integers hold."""

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")


def given(**values: Any) -> dict[str, Any]:
    """The options that the user gave, without those left out."""
    return {name: value for name, value in values.items() if value is not None}


def model_section(
    weights: str | None,
    conf: float | None,
    iou: float | None,
    imgsz: int | None,
    max_det: int | None,
    classes: str | None,
    device: str | None,
    half: bool | None,
    batch: int | None,
    cpu_isa: str | None = None,
) -> dict[str, Any]:
    """What the model's options say."""
    return given(
        weights=weights,
        conf=conf,
        iou=iou,
        imgsz=imgsz,
        max_det=max_det,
        classes=class_list(classes),
        device=device,
        half=half,
        batch=batch,
        cpu_isa=cpu_isa,
    )


def output_section(
    codec: str | None,
    crf: int | None,
    labels: bool | None,
    traces: bool | None,
    trace_length: int | None,
    thickness: int | None,
) -> dict[str, Any]:
    """What the options of drawing and writing say."""
    return given(codec=codec, crf=crf, labels=labels, traces=traces, trace_length=trace_length, thickness=thickness)


def class_list(classes: str | None) -> tuple[str, ...] | None:
    """`person,car` or `0,2` as the settings want it."""
    if classes is None:
        return None
    return tuple(part.strip() for part in classes.split(",") if part.strip())


def media_time(option: str, text: str) -> float:
    """Seconds that `70`, `70.5`, `1:10` or `00:01:10.5` mean."""
    found = _TIME.fullmatch(text.strip())
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    if not found or (found[2] and seconds >= 60) or (found[1] and minutes >= 60):
        raise UsageError(f"{option} {text!r} is no time: give seconds, as in 70.5, or hours too, as in 0:01:10.5")
    return 3600 * hours + 60 * minutes + seconds


def id_ranges(option: str, text: str) -> tuple[range, ...]:
    """The ids that `3,5:9` means; both ends of a range are in it, and `5:` and `:9` are open."""
    return tuple(_id_range(option, part.strip()) for part in text.split(","))


def _id_range(option: str, text: str) -> range:
    found = re.fullmatch(r"(?=.*\d)(\d*)(:?)(\d*)", text)
    first = found and number(found[1] or "0")
    last = found and number(found[3] or (str(LAST_ID) if found[2] else found[1]))
    if first is None or last is None or last < first:
        raise UsageError(f"{option} {text!r}: name tracks by their numbers, as in 3,5:9")
    return range(first, last + 1)


def number(digits: str) -> int:
    """The number, or where no database holds it, the largest that they do hold."""
    return min(int(digits), LAST_ID)
