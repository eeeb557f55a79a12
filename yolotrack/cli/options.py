"""Options that several commands share, each written once; the names are those that users of ultralytics know."""

from __future__ import annotations

from typing import Annotated, Any

import typer

MODEL = "Model"
TRACKER = "Tracker"
INPUT = "Source"
OUTPUT = "Output"

Model = Annotated[
    str | None, typer.Option("--model", help="Weights file, or module:factory of your own detector.", rich_help_panel=MODEL)
]
Conf = Annotated[float | None, typer.Option("--conf", help="Floor of confidence, 0-1.", rich_help_panel=MODEL)]
Iou = Annotated[
    float | None, typer.Option("--iou", help="Overlap above which the weaker of two boxes goes.", rich_help_panel=MODEL)
]
Imgsz = Annotated[
    int | None, typer.Option("--imgsz", help="Longer side of the model's input, pixels.", rich_help_panel=MODEL)
]
MaxDet = Annotated[int | None, typer.Option("--max-det", help="Most boxes per picture.", rich_help_panel=MODEL)]
Classes = Annotated[
    str | None,
    typer.Option("--classes", help="Names or numbers to keep, as in person,car or 0,2.", rich_help_panel=MODEL),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:0 or mps.", rich_help_panel=MODEL)
]
Half = Annotated[bool | None, typer.Option("--half", help="Half precision on CUDA.", rich_help_panel=MODEL)]
Tracker = Annotated[
    str | None,
    typer.Option("--tracker", help="sort, bytetrack, ocsort, botsort or cbiou.", rich_help_panel=TRACKER),
]
Stride = Annotated[int | None, typer.Option("--stride", help="Take every n-th picture.", rich_help_panel=INPUT)]
StartTime = Annotated[
    float | None, typer.Option("--start", help="Begin at this media time, seconds.", rich_help_panel=INPUT)
]
EndTime = Annotated[
    float | None, typer.Option("--end", help="Stop before this media time, seconds.", rich_help_panel=INPUT)
]
MaxFrames = Annotated[
    int | None, typer.Option("--max-frames", help="Stop after this many pictures.", rich_help_panel=INPUT)
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=OUTPUT)]


def given(**values: Any) -> dict[str, Any]:
    """The options that the user gave, without those left out."""
    return {name: value for name, value in values.items() if value is not None}


def class_list(classes: str | None) -> tuple[str, ...] | None:
    """`person,car` or `0,2` as the settings want it."""
    if classes is None:
        return None
    return tuple(part.strip() for part in classes.split(",") if part.strip())
