"""Options that several commands share, each written once; the names are those that users of ultralytics know."""

from __future__ import annotations

from typing import Annotated, Any

import typer

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
Half = Annotated[bool | None, typer.Option("--half", help="Half precision on CUDA.")]
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
    )


def class_list(classes: str | None) -> tuple[str, ...] | None:
    """`person,car` or `0,2` as the settings want it."""
    if classes is None:
        return None
    return tuple(part.strip() for part in classes.split(",") if part.strip())
