"""`yolotrack db`: questions to the database of tracks, and what is forgotten of it."""

from __future__ import annotations

import typer

from yolotrack.cli.db.end import end
from yolotrack.cli.db.export import export
from yolotrack.cli.db.query import query
from yolotrack.cli.db.retention import prune, vacuum
from yolotrack.cli.db.runs import runs
from yolotrack.cli.db.tracks import tracks

app = typer.Typer(help="Ask the database of tracks.", no_args_is_help=True, rich_markup_mode=None)

app.command("query", short_help="Print observations: one track in one frame a row.")(query)
app.command("tracks", short_help="Print one row a track.")(tracks)
app.command("runs", short_help="List runs with what became of their frames.")(runs)
app.command("export", short_help="Write observations as MOT, COCO, Parquet, CSV or JSON lines.")(export)
app.command("end", short_help="End a run that nobody finishes.")(end)
app.command("prune", short_help="Forget old runs.")(prune)
app.command("vacuum", short_help="Give room back to the disk.")(vacuum)
