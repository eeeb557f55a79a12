"""`yolotrack run`: everything in one process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options
from yolotrack.cli.report import ProgressReporter, print_summaries
from yolotrack.cli.signals import draining, leaving
from yolotrack.draft import refuse_inputs
from yolotrack.errors import OutputError, UsageError
from yolotrack.model import STREAM_PATTERN

if TYPE_CHECKING:
    from yolotrack.config import Settings
    from yolotrack.model import Run
    from yolotrack.pipeline import Job, RunSummary, Show
    from yolotrack.roles.publish import EstimateMotion
    from yolotrack.video.base import Sink, Source


def run(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Files, folders or globs of images, URLs, webcam numbers.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Annotated video; for several sources a folder."),
    ] = None,
    overwrite: options.Overwrite = False,
    show: Annotated[bool, typer.Option("--show", help="Open a window.")] = False,
    stream: Annotated[
        str | None,
        typer.Option("--stream", help="Name of the stream; default: the file's stem."),
    ] = None,
    model: options.Model = None,
    conf: options.Conf = None,
    iou: options.Iou = None,
    imgsz: options.Imgsz = None,
    max_det: options.MaxDet = None,
    classes: options.Classes = None,
    device: options.Device = None,
    half: options.Half = None,
    batch: options.Batch = None,
    cpu_isa: options.CpuIsa = None,
    tracker: options.Tracker = None,
    stride: options.Stride = None,
    start: options.StartTime = None,
    end: options.EndTime = None,
    max_frames: options.MaxFrames = None,
    codec: options.Codec = None,
    crf: options.Crf = None,
    labels: options.Labels = None,
    traces: options.Traces = None,
    trace_length: options.TraceLength = None,
    thickness: options.Thickness = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
    as_json: common.JsonOption = False,
    quiet: common.QuietOption = False,
) -> None:
    """Track the objects of one or more videos: annotated video and database, one process, no server."""
    settings = common.settings_from(
        config,
        db,
        log_level,
        model=options.model_section(model, conf, iou, imgsz, max_det, classes, device, half, batch, cpu_isa),
        tracker=options.given(name=tracker),
        source=options.given(stride=stride, start=start, end=end, max_frames=max_frames),
        output=options.output_section(codec, crf, labels, traces, trace_length, thickness),
    )
    stop = Event()
    with leaving(), ExitStack() as stack:
        from yolotrack.video.source import open_source

        opened = [stack.enter_context(closing(open_source(name, settings.source))) for name in sources]
        wanted = Wanted(output, overwrite=overwrite, show=show, stream=stream, quiet=quiet)
        summaries = track_sources(settings, opened, wanted, stop)
        print_summaries(summaries, common.masked_database(settings), as_json=as_json)
        if stop.is_set():
            raise typer.Exit(common.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user wants of a run besides rows in the database."""

    output: Path | None
    overwrite: bool = False
    show: bool = False
    stream: str | None = None
    quiet: bool = False


def track_sources(settings: Settings, sources: Sequence[Source], wanted: Wanted, stop: Event) -> list[RunSummary]:
    """Open everything else, cheapest refusal first, and run the pipeline to its end."""
    streams = stream_names(sources, wanted.stream)
    outputs = output_files(wanted, streams)
    refuse_inputs(filter(None, outputs), (source.info.name for source in sources))

    from yolotrack.pipeline import new_run, run_pipeline
    from yolotrack.vision.detector import check_detector, open_detector

    runs = [new_run(source, name) for source, name in zip(sources, streams, strict=True)]
    with ExitStack() as stack:
        show = _window(stack, stop) if wanted.show else None
        sinks = [
            None if path is None else open_output(stack, settings, source, run_, path, overwrite=wanted.overwrite)
            for source, run_, path in zip(sources, runs, outputs, strict=True)
        ]
        check_detector(settings.model)

        from yolotrack.store.sql import open_store
        from yolotrack.vision.tracker import open_tracker  # takes a second, so after what is refused without it

        for run_ in runs:
            open_tracker(settings.tracker, run_.rate)  # refused now rather than at the first frame
        jobs = [
            new_job(settings, source, run_, sink, path, shown=wanted.show)
            for source, run_, sink, path in zip(sources, runs, sinks, outputs, strict=True)
        ]
        detector = stack.enter_context(closing(open_detector(settings.model)))
        store = stack.enter_context(closing(open_store(settings.database)))
        reporter = stack.enter_context(ProgressReporter(quiet=wanted.quiet))
        stack.enter_context(draining(stop, reporter.announce_stop))
        return run_pipeline(
            jobs,
            detector,
            settings.model.weights,
            store,
            lambda run_: open_tracker(settings.tracker, run_.rate),
            settings.pipeline,
            stop=stop,
            on_progress=reporter,
            show=show,
            keep_detections=settings.database.detections,
        )


def stream_names(sources: Sequence[Source], name: str | None) -> list[str]:
    """A stream for every source, all different: the second `a.mp4` becomes `a-2`."""
    if name is not None:
        if len(sources) > 1:
            raise UsageError("--stream names one stream, but there are several sources")
        if not STREAM_PATTERN.match(name):
            raise UsageError(
                f"--stream {name!r}: letters, digits, '.', '_' and '-', at most 64, beginning with no sign"
            )
        return [name]
    names: list[str] = []
    for source in sources:
        base = source.info.stream
        candidates = (base if n == 1 else f"{base[:60]}-{n}" for n in count(1))
        names.append(next(name for name in candidates if name not in names))
    return names


def output_files(wanted: Wanted, streams: Sequence[str]) -> list[Path | None]:
    """Where each stream's video goes: the file named, or `<folder>/<stream>.mp4` for several."""
    if wanted.output is None:
        return [None] * len(streams)
    folder = _is_folder(wanted.output)
    if len(streams) == 1 and not folder:
        return [wanted.output]
    if not folder:
        raise OutputError(f"{wanted.output}: several videos go into a folder, and this is none; make it first")
    return [wanted.output / f"{stream}.mp4" for stream in streams]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long: whoever writes there tells it better
        return False


def _window(stack: ExitStack, stop: Event) -> Show:
    from yolotrack.video.window import Window

    return stack.enter_context(closing(Window(stop))).show


def open_output(
    stack: ExitStack, settings: Settings, source: Source, run_: Run, path: Path, *, overwrite: bool = False
) -> Sink:
    """The video of a run at `path`, with the sound of its source; `stack` gives it up where it was not finished."""
    from yolotrack.video.sink import open_sink

    sink = open_sink(
        path,
        width=run_.width,
        height=run_.height,
        rate=run_.rate,
        settings=settings.output,
        overwrite=overwrite,
        audio_from=source.info.name if Path(source.info.name).is_file() else None,
    )
    stack.callback(sink.abort)
    return sink


def new_job(
    settings: Settings, source: Source, run_: Run, sink: Sink | None, path: Path | None, *, shown: bool = False
) -> Job:
    """Source and run with what they need to be drawn, written to the sink at `path`, and shown."""
    from yolotrack.pipeline import Job

    draw = None
    if sink is not None or shown:
        from yolotrack.video.draw import open_annotator

        draw = open_annotator(run_.width, run_.height, settings.output)
    return Job(source, run_, sink, draw, path, motion_estimator(settings))


def motion_estimator(settings: Settings) -> EstimateMotion | None:
    """Of camera motion, where the settings want one."""
    if not settings.tracker.camera_motion:
        return None
    from yolotrack.vision.motion import CameraMotion

    return CameraMotion().estimate
