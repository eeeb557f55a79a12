"""`yolotrack compile`: one annotated video of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrack.cli import common, options
from yolotrack.errors import OutputError, UsageError

if TYPE_CHECKING:
    from threading import Event

    from yolotrack.cli.report import ProgressReporter
    from yolotrack.config import Settings
    from yolotrack.model import FrameTracks, Run
    from yolotrack.roles.compile import Pair
    from yolotrack.roles.cut import Cut, Life
    from yolotrack.video.base import Draw, Sink
    from yolotrack.video.draw import Style
    from yolotrack.video.framing import Scale

MARGIN_SECONDS = 1.0
LARGEST_SIDE = 16384


def compile_(
    output: Annotated[Path, typer.Option("--output", "-o", help="The annotated video; a name.gif makes a GIF.")],
    stream: Annotated[
        str | None, typer.Option("--stream", help="Its newest run; without it, the newest run of all.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Id of the run, or how it begins.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Draw on this file, from the database; no broker needed.")
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Begin at this media time: 70.5 or 0:01:10.5.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End before this media time.")] = None,
    track: Annotated[
        int | None, typer.Option("--track", help="One track's life: begins and ends with it, and follows it.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", min=0, help=f"Seconds before and after it; default: {MARGIN_SECONDS:g}.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Draw these alone: names or numbers, as in person,car.")
    ] = None,
    tracks: Annotated[str | None, typer.Option("--tracks", help="Draw these alone, as in 3,5:9.")] = None,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="The original to the left.")] = False,
    scale: Annotated[
        str | None, typer.Option("--scale", help="0.5 of every side, or the whole video at 1280x720.")
    ] = None,
    gif: Annotated[bool, typer.Option("--gif", help="A GIF, 30 s at most; 480 pixels wide without --scale.")] = False,
    codec: options.Codec = None,
    crf: options.Crf = None,
    labels: options.Labels = None,
    traces: options.Traces = None,
    trace_length: options.TraceLength = None,
    thickness: options.Thickness = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, help="Longest time, seconds, that nothing new may come.")
    ] = 60.0,
    overwrite: options.Overwrite = False,
    broker: options.Broker = None,
    namespace: options.Namespace = None,
    config: common.ConfigOption = None,
    db: common.DbOption = None,
    log_level: common.LogLevelOption = None,
    quiet: common.QuietOption = False,
) -> None:
    """Make an annotated video: from the broker's logs, of a running run too, or from file and database."""
    from threading import Event

    from yolotrack.cli.report import ProgressReporter
    from yolotrack.cli.signals import leaving
    from yolotrack.draft import refuse_inputs

    if track is not None and (begin or end):
        raise UsageError("--track begins and ends with the track: leave out --from and --to, or use --tracks")
    if track is None and margin is not None:
        raise UsageError("--margin goes with --track")
    settings = common.settings_from(
        config,
        db,
        log_level,
        broker=options.given(url=broker, namespace=namespace),
        output=options.output_section(codec, crf, labels, traces, trace_length, thickness),
    )
    wanted = _Wanted(
        output,
        overwrite,
        is_gif(output, gif, codec, crf),
        cut_of(begin, end),
        track,
        MARGIN_SECONDS if margin is None else margin,
        _style(settings, classes, tracks, track),
        side_by_side,
        scale_of(scale),
    )
    _refuse_early(wanted, settings.output.codec)
    stop = Event()
    with leaving(), ProgressReporter(quiet=quiet) as reporter, ExitStack() as stack:
        job = _Compile(settings, wanted, reporter, stop)
        if source is not None:
            refuse_inputs([output], [source])
            job.from_file(stack, source, stream, run)
        else:
            job.from_logs(stack, stream, run, timeout)
        if stop.is_set():
            raise typer.Exit(common.INTERRUPTED)
    print(output)


def _refuse_early(wanted: _Wanted, codec: str) -> None:
    """What cannot be written is told before a run is looked for, which may take as long as one lasts."""
    from yolotrack.draft import Draft
    from yolotrack.video.codecs import check_codec
    from yolotrack.video.gif import SUFFIX
    from yolotrack.video.sink import FORMATS

    Draft(wanted.output, overwrite=wanted.overwrite, suffixes=[*FORMATS, SUFFIX])
    if not wanted.gif:
        size = wanted.scale if isinstance(wanted.scale, tuple) else (LARGEST_SIDE, LARGEST_SIDE)  # not known yet
        check_codec(codec, wanted.output.suffix.lower(), *size)


def is_gif(output: Path, gif: bool, codec: str | None, crf: int | None) -> bool:
    """Whether the output is one; `UsageError` where the options say this and that."""
    named = output.suffix.lower() == ".gif"
    if gif and not named:
        raise UsageError(f"--gif makes a GIF, but {output} would be none: end its name in .gif")
    if named and (codec or crf is not None):
        raise UsageError("a GIF has neither --codec nor --crf: leave them out, or name an .mp4")
    return named


def cut_of(begin: str | None, end: str | None) -> Cut:
    """The part that --from and --to name."""
    from yolotrack.roles.cut import Cut

    cut = Cut(
        0.0 if begin is None else options.media_time("--from", begin),
        inf if end is None else options.media_time("--to", end),
    )
    if cut.end <= cut.start:
        raise UsageError(f"--to {end} is not after --from {begin or 0}: there is nothing between")
    return cut


def scale_of(text: str | None) -> Scale:
    """A factor, or width and height in pixels; None where every picture keeps its size."""
    if text is None:
        return None
    size = re.fullmatch(r"(\d+)x(\d+)", text)
    if size and all(2 <= int(side) <= LARGEST_SIDE for side in size.groups()):
        return int(size[1]), int(size[2])
    if re.fullmatch(r"\d*\.?\d+", text) and 0 < float(text) <= 8:
        return float(text)
    raise UsageError(f"--scale {text!r}: give a factor up to 8, as in 0.5, or a size in pixels, as in 1280x720")


def _style(settings: Settings, classes: str | None, tracks: str | None, track: int | None) -> Style:
    """As the settings have it; a track that is followed is drawn alone unless --tracks says otherwise."""
    from yolotrack.video.draw import style_of

    ids = options.id_ranges("--tracks", tracks) if tracks is not None else ()
    if track is not None and not ids:
        ids = (range(track, track + 1),)
    return replace(style_of(settings.output), classes=options.class_list(classes) or (), tracks=ids)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the user wants to see."""

    output: Path
    overwrite: bool
    gif: bool
    cut: Cut
    track: int | None
    margin: float
    style: Style
    side_by_side: bool
    scale: Scale


class _Compile:
    """One video on its way."""

    def __init__(self, settings: Settings, wanted: _Wanted, reporter: ProgressReporter, stop: Event) -> None:
        self._settings = settings
        self._wanted = wanted
        self._cut = wanted.cut
        self._life: Life | None = None
        self._reporter = reporter
        self._stop = stop

    def from_file(self, stack: ExitStack, name: str, stream: str | None, run: str | None) -> None:
        """From the original file and the database: every frame of the run, however old it is."""
        from yolotrack.config import SourceSettings
        from yolotrack.roles.compile import pairs_of_file
        from yolotrack.roles.cut import frames_within, life_in_store
        from yolotrack.store.sql import open_store
        from yolotrack.video.source import open_source

        store = stack.enter_context(closing(open_store(self._settings.database, read_only=True)))
        record = store.find_run(run or "latest", stream=stream)
        run_id = record.run.run_id
        if self._wanted.track is not None:
            self._follow(life_in_store(store, run_id, self._wanted.track))
        first, end = frames_within(store, record, self._cut)
        # Times of pictures may differ by a little; what comes too early finds no frame.
        opened = open_source(name, SourceSettings(start=max(0.0, self._cut.start - 1.0)))
        source = stack.enter_context(closing(opened))
        pairs = pairs_of_file(source, store.outcomes(run_id, (first, end)), stop=self._stop)
        self._write(record.run, pairs, end - first, sound=name)

    def from_logs(self, stack: ExitStack, stream: str | None, run: str | None, timeout: float) -> None:
        """From the broker's two logs of a stream, up to the end of the run."""
        from yolotrack.broker.base import tracks_log, video_log
        from yolotrack.broker.rabbitmq import open_broker
        from yolotrack.roles.compile import merge, outcomes
        from yolotrack.roles.cut import life_in_log
        from yolotrack.roles.runs import find_run

        broker = stack.enter_context(closing(open_broker(self._settings.broker, watched=True)))
        found = find_run(broker, stream, run, seconds=timeout, stop=self._stop)
        video, tracks = video_log(found.stream), tracks_log(found.stream)
        since = found.started_at
        if self._wanted.track is not None:
            ended = outcomes(broker.read(tracks, since), found.run_id, stop=self._stop, patience=timeout)
            self._follow(life_in_log(ended, found.run_id, self._wanted.track))
        pairs = merge(
            broker.read(video, since), broker.read(tracks, since), found.run_id, stop=self._stop, patience=timeout
        )
        self._write(found, pairs, None)

    def _follow(self, life: Life) -> None:
        self._life = life
        self._cut = life.cut(self._wanted.margin)

    def _write(self, run: Run, pairs: Iterator[Pair], expected: int | None, sound: str | None = None) -> None:
        import numpy as np

        from yolotrack.cli.signals import draining
        from yolotrack.pipeline import Progress
        from yolotrack.roles.compile import compile_video
        from yolotrack.video.jpeg import decode

        sink, draw = self._drawing(run, sound)
        seen = _Seen(self._wanted.style)
        count = 0

        def counted() -> Iterator[Pair]:
            nonlocal count
            for count, pair in enumerate(self._cut.of(pairs, self._stop), start=1):
                seen.add(pair[1])
                self._reporter(Progress(run, expected, count, 0, len(pair[1].tracks)))
                yield pair

        blank = np.zeros((run.height, run.width, 3), np.uint8)
        with draining(self._stop, self._reporter.announce_stop):
            try:
                compile_video(counted(), draw, sink, decode=decode, blank=blank)
            except OutputError:
                if self._stop.is_set() and not count:  # stopped before there was anything to write
                    raise typer.Exit(common.INTERRUPTED) from None
                raise
        seen.complain()

    def _drawing(self, run: Run, sound: str | None) -> tuple[Sink, Draw]:
        """What the video is written with, and what draws its pictures."""
        from yolotrack.video.draw import Annotator
        from yolotrack.video.framing import Framing, beside, follow, sizes, whole
        from yolotrack.video.gif import WIDTH, open_gif
        from yolotrack.video.sink import open_sink

        wanted, size = self._wanted, (run.width, run.height)
        panels = 2 if wanted.side_by_side else 1
        scale = wanted.scale
        if wanted.gif and scale is None:
            scale = min(1.0, WIDTH / (panels * run.width))
        shown, (width, height) = sizes(size, panels, scale)
        annotator = Annotator(*shown, wanted.style)
        window = whole(*size) if self._life is None else follow(*size, self._life.times, self._life.boxes)
        draw = Framing(size, shown, window, beside(annotator) if wanted.side_by_side else annotator, annotator.pan)
        if wanted.gif:
            return open_gif(wanted.output, width=width, height=height, overwrite=wanted.overwrite), draw
        sink = open_sink(
            wanted.output,
            width=width,
            height=height,
            rate=run.rate,
            settings=self._settings.output,
            overwrite=wanted.overwrite,
            audio_from=sound,
        )
        return sink, draw


class _Seen:
    """What of a style's classes and tracks came by, so that a slip of the pen is told."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._classes: dict[int, str] = {}
        self._tracks: set[int] = set()

    def add(self, outcome: FrameTracks) -> None:
        """One frame."""
        found = outcome.tracks
        if not len(found) or found.class_id is None or found.tracker_id is None:
            return
        self._classes.update(zip(found.class_id.tolist(), map(str, found.data["class_name"]), strict=True))
        self._tracks.update(found.tracker_id.tolist())

    def complain(self) -> None:
        """Say on standard error what was asked for and never came."""
        import sys

        known = {*self._classes.values(), *map(str, self._classes)}
        classes = [name for name in self._style.classes if name not in known]
        if classes:
            there = ", ".join(sorted(set(self._classes.values()))) or "nothing"
            print(f"warning: no {', '.join(classes)} in this video; there is {there}", file=sys.stderr)
        if self._style.tracks and not any(number in ids for ids in self._style.tracks for number in self._tracks):
            there = f"{min(self._tracks)} to {max(self._tracks)}" if self._tracks else "none"
            print(f"warning: none of these tracks is in this video; there are {there}", file=sys.stderr)
