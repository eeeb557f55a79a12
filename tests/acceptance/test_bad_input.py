"""What bad input gets: one line that names the thing and what to do, the right exit code, and nothing half-written."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import (
    SCRIPTED,
    names_in,
    observations_in,
    runs_in,
    yolotrack,
)
from tests.support.players import pictures_of
from tests.support.videos import number_of, write_sound, write_video
from yolotrack.demo.source import WEIGHTS

DB = ["--db", "sqlite:///t.db"]
QUICK = ["--model", SCRIPTED, *DB]
WAYS_ON = "name a weights file with --model, or try `yolotrack demo`, which brings its own"

OWN_DETECTORS = """
from concurrent.futures import Future

def raises():
    raise RuntimeError("no camera\\nsecond line")

def nothing():
    return None

class Half:
    names, digest, capacity = {0: "a"}, "d", 1
    def prepare(self, width, height): pass
    def submit(self, image): raise ValueError("bang")
    def close(self): pass

class Odd(Half):
    def submit(self, image):
        future = Future()
        future.set_result([1, 2])
        return future

class Unready(Half):
    def prepare(self, width, height): raise RuntimeError("too small")

five = 5
"""

CONFIGS = {
    "range.yaml": "model: {conf: 7}",
    "list.yaml": "- model",
    "broken.yaml": "model: [conf",
    "key.yaml": "model: {wieghts: a.pt}\nfoo: 1",
    "type.yaml": "source: {stride: often}",
    "parameter.yaml": "tracker: {botsort: {nope: 3}}",
    "value.yaml": "tracker: {botsort: {lost_track_buffer: many}}",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good video, and one of everything that is not."""
    folder = tmp_path_factory.mktemp("inputs")
    write_video(folder / "clip.mp4", 20)
    write_sound(folder / "song.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a film\n" * 100)
    (folder / "notes.txt").write_text("hello")
    (folder / "folder").mkdir()
    (folder / "taken.mp4").write_text("mine")
    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("no weights")
    (folder / "cut.pt").write_bytes(WEIGHTS.read_bytes()[:100_000])
    with zipfile.ZipFile(folder / "other.pt", "w") as archive:
        archive.writestr("readme", "hello")
    (folder / "other.db").write_text("no database " * 1000)
    (folder / "own.py").write_text(OWN_DETECTORS)
    (folder / "unparsable.py").write_text("def make(:\n")
    for name, text in CONFIGS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path) -> Iterator[Path]:
    """A working folder with all of them, which nothing may be left in."""
    folder = tmp_path / "here"
    shutil.copytree(inputs, folder)
    yield folder
    assert names_in(folder) - {"__pycache__"} == names_in(inputs), "something was left"
    assert (folder / "taken.mp4").read_text() == "mine"
    assert not list((folder / "folder").iterdir())


def refused(here: Path, *arguments: object, code: int = 1, env: dict[str, str] | None = None) -> str:
    return yolotrack(*arguments, folder=here, code=code, env=env).only_line


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("none.mp4", "cannot read none.mp4: there is no such file or folder; check the path"),
        ("empty.mp4", "cannot read empty.mp4: the file is empty; give a video that plays"),
        ("text.mp4", "cannot read text.mp4: it is no video, or damaged from its start; give a video that plays"),
        ("notes.txt", "cannot read notes.txt: it is no video, or damaged from its start; give a video that plays"),
        ("song.mp4", "cannot read song.mp4: it holds only sound; give a video"),
        ("folder", "no pictures in folder; give a folder or glob of images (bmp, jpeg,"),
        ("folder/*.jpg", "no pictures in folder/*.jpg; give a folder or glob of images (bmp, jpeg,"),
        ("97", "there is no camera 97; check its number, its plug, and your rights to it"),
        ("ftps://nobody/clip", "cannot read ftps://nobody/***: unknown kind of URL; use http, https or rtsp"),
        (
            "http://me:hunter2@127.0.0.1:9/a.mp4",
            "cannot read http://***@127.0.0.1:9/a.mp4: nothing listens there; check host and port",
        ),
    ],
)
def test_sources(here: Path, source: str, line: str) -> None:
    assert refused(here, "run", source, *QUICK, "-o", "out.mp4").startswith(line)


def test_one_bad_source_among_good_ones_stops_all(here: Path) -> None:
    assert refused(here, "run", "clip.mp4", "none.mp4", *QUICK, "-o", "folder").startswith("cannot read none.mp4")


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("taken.mp4", "cannot write taken.mp4: it exists; choose another name, or set --overwrite"),
        ("none/out.mp4", "cannot write none/out.mp4: there is no folder none; create it first"),
        ("out.avi", "cannot write out.avi: unknown kind of video; end its name in one of .mp4, .mov, .mkv"),
        ("out", "cannot write out: unknown kind of video; end its name in one of .mp4, .mov, .mkv"),
        (f"{'n' * 255}.mp4", f"cannot write {'n' * 255}.mp4: the name is too long; choose a shorter one"),
    ],
)
def test_outputs(here: Path, output: str, line: str) -> None:
    assert refused(here, "run", "clip.mp4", *QUICK, "-o", output) == line


def test_a_folder_that_nobody_may_write_to(here: Path) -> None:
    unwritable = "/proc/self" if Path("/proc/self").is_dir() else "/"  # root may write everywhere else
    line = refused(here, "run", "clip.mp4", *QUICK, "-o", f"{unwritable}/out.mp4")
    assert line.startswith(f"cannot write {unwritable}/out.mp4: ") and "; " in line


def test_several_videos_need_a_folder(here: Path) -> None:
    line = refused(here, "run", "clip.mp4", "clip.mp4", *QUICK, "-o", "out.mp4")
    assert line == "out.mp4: several videos go into a folder, and this is none; make it first"


@pytest.mark.parametrize(
    ("weights", "line"),
    [
        ("none.pt", f"no weights at none.pt: {WAYS_ON}"),
        ("empty.pt", "the weights file empty.pt is empty: copy or download it again"),
        ("text.pt", "text.pt is no PyTorch checkpoint, or is cut off: copy or download it again"),
        ("cut.pt", "cut.pt is no PyTorch checkpoint, or is cut off: copy or download it again"),
        ("own:none", "cannot open the detector own:none: AttributeError: module 'own' has no attribute 'none'"),
        ("own:five", "cannot open the detector own:five: TypeError: "),
        ("own:raises", "cannot open the detector own:raises: RuntimeError: no camera"),
        ("own:nothing", "what own:nothing returns is no detector: it has no method prepare"),
        ("nowhere:make", "cannot open the detector nowhere:make: ModuleNotFoundError: No module named 'nowhere'"),
        ("unparsable:make", "cannot open the detector unparsable:make: SyntaxError: "),
    ],
)
def test_weights(here: Path, weights: str, line: str) -> None:
    assert refused(here, "run", "clip.mp4", "--model", weights, *DB, "-o", "out.mp4").startswith(line)


@pytest.mark.parametrize("weights", ["other.pt", "clip.mp4"])
def test_weights_that_only_the_loader_sees_through(here: Path, weights: str) -> None:
    line = refused(here, "run", "clip.mp4", "--model", weights, *DB, "-o", "out.mp4")
    assert line.startswith(f"{here / weights} cannot be ")
    assert line.endswith("; name weights of a YOLO model with --model")


def test_weights_that_cannot_be_downloaded(here: Path) -> None:
    """No network, so that it holds on machines that have one: proxies are asked first, and there is none there."""
    nowhere = {"https_proxy": "http://127.0.0.1:9", "XDG_CACHE_HOME": str(here.parent / "cache")}
    line = refused(here, "run", "clip.mp4", *DB, "-o", "out.mp4", env=nowhere)
    assert line.startswith("cannot download yolov8n.pt (") and line.endswith(f"): {WAYS_ON}")


@pytest.mark.parametrize(
    ("factory", "line"),
    [("Half", "ValueError: bang"), ("Odd", "AttributeError: "), ("Unready", "RuntimeError: too small")],
)
def test_a_detector_of_the_users_own_that_breaks_later(inputs: Path, tmp_path: Path, factory: str, line: str) -> None:
    shutil.copy(inputs / "own.py", tmp_path)
    done = yolotrack(
        "run", inputs / "clip.mp4", "--model", f"own:{factory}", *DB, "-o", "o.mp4", folder=tmp_path, code=1
    )
    assert done.only_line.startswith(line)
    assert done.only_line.endswith("; run again with --log-level debug to see where")
    assert "o.mp4" not in names_in(tmp_path) and not any("part" in name for name in names_in(tmp_path))
    assert all(run["status"] == "interrupted" and run["in_flight"] == "0" for run in runs_in(tmp_path))


def test_classes_that_the_model_does_not_know(here: Path) -> None:
    known = ["run", "clip.mp4", "--model", WEIGHTS, "--imgsz", "64", *DB]
    assert refused(here, *known, "--classes", "car,persn") == ("the model knows no class 'persn'; did you mean person?")
    assert refused(here, *known, "--classes", "9") == "the model knows no class '9'; it knows person, car, truck"


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        ("none.yaml", ["none.yaml: No such file or directory"]),
        ("folder", ["folder: Is a directory"]),
        ("range.yaml", ["range.yaml: model.conf: should be less than or equal to 1, not 7"]),
        ("list.yaml", ["list.yaml: should hold sections such as `model:`, not a list"]),
        ("broken.yaml", ["broken.yaml: not valid YAML: line 1: expected ',' or ']', but got '<stream end>'"]),
        (
            "key.yaml",
            [
                "key.yaml: model.wieghts: unknown key; did you mean model.weights?",
                "key.yaml: foo: unknown key; `yolotrack config show` lists the known ones",
            ],
        ),
        ("type.yaml", ["type.yaml: source.stride: should be a valid integer"]),
        ("clip.mp4", ["clip.mp4: not valid YAML: "]),
        ("parameter.yaml", ["tracker.botsort.nope does not exist; there are "]),
        ("value.yaml", ["tracker.botsort.lost_track_buffer must be int, not 'many'"]),
    ],
)
def test_settings_files(here: Path, config: str, lines: list[str]) -> None:
    done = yolotrack("run", "clip.mp4", *QUICK, "-o", "out.mp4", "--config", config, folder=here, code=1)
    assert done.out == ""
    told = done.err.splitlines()
    assert len(told) == len(lines)
    assert all(line.startswith(f"error: {start}") for line, start in zip(told, lines, strict=True)), told


def test_settings_in_the_environment(here: Path) -> None:
    wrong = {"YOLOTRACK_MODEL__CONF": "often"}
    line = refused(here, "run", "clip.mp4", *QUICK, env=wrong)
    assert line.startswith("YOLOTRACK_MODEL__CONF: model.conf: should be a valid number")
    unknown = {"YOLOTRACK_MODEL__CNF": "0.2"}
    line = refused(here, "run", "clip.mp4", *QUICK, env=unknown)
    assert line == "YOLOTRACK_MODEL__CNF: unknown setting; did you mean YOLOTRACK_MODEL__CONF?"


@pytest.mark.parametrize(
    ("url", "code", "line"),
    [
        ("folder", 2, "--db: database.url: should be an SQLAlchemy URL, not 'folder'"),
        ("sqlite:///folder", 1, "cannot use folder: it is a folder: name a file with --db"),
        ("sqlite:///other.db", 1, "cannot use other.db: it is not a SQLite database: name another file with --db"),
        ("sqlite:///none/t.db", 1, "the folder none does not exist: create it, or name another with --db"),
        ("sqlite://", 1, "a database in memory would be gone at the end: write sqlite:///FILE"),
    ],
)
def test_databases(here: Path, url: str, code: int, line: str) -> None:
    command = ["run", "clip.mp4", "--model", SCRIPTED, "-o", "out.mp4", "--db", url]
    assert refused(here, *command, code=code) == line


def test_a_database_where_nobody_may_write(here: Path) -> None:
    unwritable = "/proc/self" if Path("/proc/self").is_dir() else ""
    line = refused(here, "run", "clip.mp4", "--model", SCRIPTED, "--db", f"sqlite:///{unwritable}/t.db")
    assert line.startswith(f"cannot use {unwritable}/t.db: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run"], "Missing argument 'SOURCE...'; see `yolotrack run --help`"),
        (["run", "clip.mp4", "--nope"], "No such option: --nope"),
        (["run", "clip.mp4", *QUICK, "--tracker", "deepsort"], "--tracker: tracker.name: should be 'sort', 'byte"),
        (["run", "clip.mp4", *QUICK, "--stream", "a b"], "--stream 'a b': letters, digits, "),
        (["run", "clip.mp4", "clip.mp4", *QUICK, "--stream", "a"], "--stream names one stream, but there are several"),
        (["run", "clip.mp4", *QUICK, "--stride", "0"], "--stride: source.stride: should be greater than or equal to"),
        (["run", "clip.mp4", *QUICK, "--stride", "x"], "Invalid value for '--stride': "),
        (["run", "clip.mp4", *QUICK, "--start", "2", "--end", "1"], "--end: source.end: should be later than"),
        (["run", "clip.mp4", *QUICK, "--device", "tpu"], "--device: model.device: should be auto, cpu, cuda, "),
        (["run", "clip.mp4", *QUICK, "--log-level", "loud"], "--log-level: log.level: should be 'debug', "),
        (["run", "clip.mp4", "--model", "", *DB], "--model: model.weights: should have at least 1 character"),
        (["demo", "--frames", "0"], "Invalid value for '--frames': "),
        (["rum"], "No such command 'rum'"),
    ],
)
def test_command_lines(here: Path, arguments: list[str], line: str) -> None:
    assert refused(here, *arguments, code=2).startswith(line)


def test_times_without_pictures(here: Path) -> None:
    line = refused(here, "run", "clip.mp4", *QUICK, "-o", "out.mp4", "--start", "9")
    assert line.startswith("cannot read clip.mp4: no picture from 9 s on can be decoded; ")


@pytest.mark.parametrize("display", [None, ":7777"])
def test_a_window_without_a_display(here: Path, display: str | None) -> None:
    command = ["run", "clip.mp4", *QUICK, "-o", "out.mp4", "--show"]
    line = refused(here, *command, env={"DISPLAY": display} if display else None)
    assert line == "no window can be opened: there is no display to reach; leave out --show, or give it a display" or (
        line == "no window can be opened: this OpenCV has no windows; leave out --show, or give it a display"
    )


def test_a_demo_that_cannot_make_its_folder(here: Path) -> None:
    line = refused(here, "demo", "--output", "notes.txt")
    assert line == "notes.txt: cannot make this folder (File exists); name another with --output"


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_every_frame_before_a_cut_is_kept(tmp_path: Path, name: str) -> None:
    whole = write_video(tmp_path / f"whole{Path(name).suffix}", 100)
    (tmp_path / name).write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])

    yolotrack("run", name, *QUICK, "-o", "out.mp4", folder=tmp_path)

    (run,) = runs_in(tmp_path)
    kept = int(run["tracked"])
    assert 40 < kept < 80
    assert (run["status"], run["published"]) == ("complete", str(kept))
    assert {int(row["frame"]) for row in observations_in(tmp_path)} <= set(range(kept))
    assert [number_of(shown) for shown in pictures_of(tmp_path / "out.mp4")] == list(range(kept))
