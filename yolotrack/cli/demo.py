"""`yolotrack demo`: the whole thing on a synthetic street, offline, with the truth known; or as a page for visitors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options, webopt
from yolotrack.errors import OutputError, UsageError

if TYPE_CHECKING:
    from yolotrack.config import Settings
    from yolotrack.demo.scene import Scene
    from yolotrack.evaluate import Scores
    from yolotrack.model import TrackSummary
    from yolotrack.pipeline import RunSummary


ROUND_ONLY = ("folder", "seed", "frames", "show", "as_json", "quiet")
PAGE_ONLY = ("token", "max_mb", "max_seconds", "model")


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for what the demo writes.")] = Path(
        "yolotrack-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which street; 0-99 were never trained on.")] = 5,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames, 25 a second.")] = 300,
    show: Annotated[bool, typer.Option("--show", help="Open a window.")] = False,
    tracker: options.Tracker = None,
    web: webopt.Web = None,
    model: options.Model = None,
    token: webopt.Token = None,
    max_mb: Annotated[int, typer.Option("--max-mb", min=1, help="With --web: largest upload, megabytes.")] = 200,
    max_seconds: Annotated[int, typer.Option("--max-seconds", min=1, help="With --web: longer videos are cut.")] = 120,
    config: common.ConfigOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Render a synthetic street, track it with the bundled model, and score the tracks against the truth.

    Needs no network and no video. The bundled model knows this scene and nothing else. With --web a page: visitors
    pick a street or upload a video, which the model of the settings finds objects in, and watch it being tracked.
    """
    from yolotrack.cli.signals import leaving
    from yolotrack.demo.scene import Scene

    _refuse_given(context, PAGE_ONLY if web is None else ROUND_ONLY)
    if web is not None:
        from yolotrack.cli.demo_web import serve_demo

        wanted = options.given(weights=model)
        settings = common.settings_from(config, None, log_level, model=wanted, tracker=options.given(name=tracker))
        return serve_demo(settings, web, token, max_mb, max_seconds)
    settings = _settings(config, log_level, folder, options.given(name=tracker))
    _make(folder)
    scene = Scene(seed=seed, frames=frames)
    stop = Event()
    with leaving():
        summary = _track(settings, scene, folder, show, quiet, stop)
        scores = None if stop.is_set() else _score(settings, scene, summary, folder)
        _print(settings, summary, scores, as_json=as_json)
        if stop.is_set():
            raise typer.Exit(common.INTERRUPTED)


def _refuse_given(context: typer.Context, names: Sequence[str]) -> None:
    """`UsageError` for an option that the user gave and that would do nothing."""
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{parameter.opts[0]} goes {'with' if parameter.name in PAGE_ONLY else 'without'} --web")


def _settings(config: Path | None, log_level: str | None, folder: Path, tracker: dict[str, str]) -> Settings:
    from yolotrack.demo.source import IMGSZ, WEIGHTS

    return common.settings_from(
        config,
        f"sqlite:///{folder / 'tracks.db'}",
        log_level,
        model={"weights": str(WEIGHTS), "imgsz": IMGSZ, "classes": ()},
        tracker=tracker,
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot make this folder ({error.strerror}); name another with --output"
        ) from error


def _track(settings: Settings, scene: Scene, folder: Path, show: bool, quiet: bool, stop: Event) -> RunSummary:
    from yolotrack.cli.run import Wanted, track_sources
    from yolotrack.demo.source import SceneSource

    wanted = Wanted(folder / "demo.mp4", overwrite=True, show=show, quiet=quiet)
    return track_sources(settings, [SceneSource(scene)], wanted, stop)[0]


def _score(settings: Settings, scene: Scene, summary: RunSummary, folder: Path) -> Scores:
    """Both sides as MOTChallenge text, which other tools read too, and what they come to."""
    from yolotrack.demo.scene import write_mot as write_truth
    from yolotrack.draft import writing_file
    from yolotrack.evaluate import evaluate
    from yolotrack.formats.writers import write_rows
    from yolotrack.store.base import Selection
    from yolotrack.store.sql import open_store

    truth, tracks = folder / "truth.txt", folder / "tracks.txt"
    write_truth(truth, scene)
    with closing(open_store(settings.database, read_only=True)) as store, writing_file(tracks, overwrite=True) as file:
        write_rows("mot", file, store.select(Selection((summary.run.run_id,))))
    return evaluate(truth, tracks)


def _print(settings: Settings, summary: RunSummary, scores: Scores | None, *, as_json: bool) -> None:
    from yolotrack.cli.report import as_dict, print_summaries

    database = common.masked_database(settings)
    tracks = _tracks(settings, summary)
    if as_json:
        measured = {name: round(value, 4) for name, value in asdict(scores).items()} if scores else None
        document = as_dict(summary, database) | {"track_table": [asdict(t) for t in tracks], "scores": measured}
        print(json.dumps(document, indent=2))
        return
    _print_tracks(tracks)
    print_summaries([summary], database, as_json=False)
    if scores is not None:
        print(f"against the truth: HOTA {scores.hota:.3f}  MOTA {scores.mota:.3f}  IDF1 {scores.idf1:.3f}")


def _tracks(settings: Settings, summary: RunSummary) -> list[TrackSummary]:
    from yolotrack.store.sql import open_store

    with closing(open_store(settings.database, read_only=True)) as store:
        return list(store.tracks(summary.run.run_id))


def _print_tracks(tracks: list[TrackSummary]) -> None:
    from yolotrack.cli.listing import Column, print_table

    columns = [
        Column("track", right=True),
        Column("class"),
        *(Column(n, right=True) for n in ("from", "to", "frames", "conf")),
    ]
    rows = [
        (
            f"#{track.track_id}",
            track.class_name,
            f"{track.first_time:.2f} s",
            f"{track.last_time:.2f} s",
            str(track.observations),
            f"{track.mean_confidence:.2f}",
        )
        for track in tracks
    ]
    print_table(columns, rows)
