"""Settings: where they come from, which wins, and what is said about wrong ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from yolotrack.config import Settings, load_file, load_settings, masked, setting_fields
from yolotrack.errors import ConfigError, UsageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(**arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(**arguments)
    return str(caught.value)


def file_complaint(text: str) -> str:
    Path("config.yaml").write_text(text)
    return complaint()


def test_without_anything_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_the_file_in_the_working_directory_is_read() -> None:
    Path("config.yaml").write_text("model: {conf: 0.3}")

    assert load_settings().model.conf == 0.3


def test_a_named_file_is_read_instead() -> None:
    Path("config.yaml").write_text("model: {conf: 0.3}")
    Path("other.yaml").write_text("model: {iou: 0.5}")

    settings = load_settings(Path("other.yaml"))

    assert (settings.model.conf, settings.model.iou) == (0.1, 0.5)


def test_each_place_gives_way_to_the_one_above(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.yaml").write_text("model: {conf: 0.2, iou: 0.2, imgsz: 320}")
    monkeypatch.setenv("YOLOTRACK_MODEL__CONF", "0.3")
    monkeypatch.setenv("YOLOTRACK_MODEL__IOU", "0.3")

    model = load_settings(overrides={"model": {"conf": 0.4}}).model

    assert (model.conf, model.iou, model.imgsz, model.max_det) == (0.4, 0.3, 320, 300)


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("YOLOTRACK_DATABASE__URL", "sqlite:///t.db", "database.url", "sqlite:///t.db"),
        ("YOLOTRACK_MODEL__HALF", "true", "model.half", True),
        ("YOLOTRACK_MODEL__IMGSZ", "320", "model.imgsz", 320),
        ("YOLOTRACK_MODEL__CLASSES", "person,car", "model.classes", ("person", "car")),
        ("YOLOTRACK_SOURCE__END", "12.5", "source.end", 12.5),
        ("YOLOTRACK_SOURCE__END", "null", "source.end", None),
        ("YOLOTRACK_SOURCE__END", "", "source.end", None),
        ("YOLOTRACK_TRACKER__BYTETRACK__LOST_TRACK_BUFFER", "60", "tracker.bytetrack", {"lost_track_buffer": 60}),
    ],
)
def test_the_environment_is_read_by_type(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    section, name = key.split(".")

    assert getattr(getattr(load_settings(), section), name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("person", ("person",)),
        ("2", ("2",)),
        ("[person, 2]", ("person", "2")),
        ("[]", ()),
        ("person, car", ("person", "car")),
    ],
)
def test_classes_are_names_or_numbers(text: str, expected: tuple[str, ...]) -> None:
    Path("config.yaml").write_text(f"model:\n  classes: {text}")

    assert load_settings().model.classes == expected


def test_an_empty_file_and_an_empty_section_set_nothing() -> None:
    Path("config.yaml").write_text("")
    assert load_settings() == Settings()
    Path("config.yaml").write_text("# nothing\nmodel:\n  #conf: 0.3\n")
    assert load_settings() == Settings()


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().model.conf = 0.5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().model = Settings().model  # type: ignore[misc]


def test_settings_by_themselves_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOTRACK_MODEL__CONF", "0.3")
    Path("config.yaml").write_text("model: {iou: 0.3}")

    assert Settings().model == load_file(Path(os.devnull)).model
    assert (Settings().model.conf, Settings().model.iou) == (0.1, 0.7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: {weigths: a.pt}", "model.weigths: unknown key; did you mean model.weights?"),
        ("modle: {weights: a.pt}", "modle: unknown key; did you mean model?"),
        ("model: {conf: 7}", "model.conf: should be less than or equal to 1, not 7"),
        ("model: {conf: yes}", "model.conf: should be a number, not True"),
        ("model: {conf: .nan}", "model.conf: should be a finite number, not nan"),
        (
            "model: {imgsz: big}",
            "model.imgsz: should be a valid integer, unable to parse string as an integer, not 'big'",
        ),
        ("model: {imgsz: yes}", "model.imgsz: should be a number, not True"),
        ("model: {weights: 8}", "model.weights: should be a valid string, not 8"),
        ("model: {device: gpu}", "model.device: should be auto, cpu, cuda, cuda:0 or mps, not 'gpu'"),
        (
            "tracker: {name: deepsort}",
            "tracker.name: should be 'sort', 'bytetrack', 'ocsort', 'botsort' or 'cbiou', not 'deepsort'",
        ),
        ("tracker: {sort: {x: [1]}}", "tracker.sort: x should be a number, a text, true or false, not {'x': [1]}"),
        ("source: {start: 5, end: 3}", "source.end: should be later than source.start, not 3"),
        ("output: {crf: 99}", "output.crf: should be less than or equal to 63, not 99"),
        ("model: 5", "model: should be a section with keys below it, not 5"),
        ("database: {url: tracks.db}", "database.url: should be an SQLAlchemy URL, not 'tracks.db'"),
        ("1: {}", "1: unknown key; `yolotrack config show` lists the known ones"),
        ("model: {1: 2}", "model.1: unknown key; `yolotrack config show` lists the known ones"),
        ("[model]", "should hold sections such as `model:`, not a list"),
        ("model: {conf: 0.1", "not valid YAML: line 1: expected ',' or '}', but got '<stream end>'"),
        ("model:\n\tconf: 1", "not valid YAML: line 2: found character '\\t' that cannot start any token"),
        ("a: &a [*a]", "a: unknown key; `yolotrack config show` lists the known ones"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, expected: str) -> None:
    assert file_complaint(text) == f"config.yaml: {expected}"


def test_every_wrong_key_has_its_line() -> None:
    text = file_complaint("model: {conf: 7, weigths: a}\noutput: {crf: -1}")

    assert [line.split(": ")[1] for line in text.splitlines()] == ["model.conf", "model.weigths", "output.crf"]


def test_a_file_that_cannot_be_read_is_refused() -> None:
    assert complaint(file=Path("none.yaml")) == "none.yaml: No such file or directory"
    assert complaint(file=Path()) == ".: Is a directory"
    Path("latin.yaml").write_bytes(b"model: {weights: \xff}")
    assert complaint(file=Path("latin.yaml")).startswith("latin.yaml: not valid YAML: 'utf-8' codec can't decode")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("YOLOTRACK_MODEL__WEIGTHS", "a.pt", "unknown setting; did you mean YOLOTRACK_MODEL__WEIGHTS?"),
        ("YOLOTRACK_MODEL_CONF", "1", "unknown setting; did you mean YOLOTRACK_MODEL__CONF?"),
        ("YOLOTRACK_FOO__BAR", "1", "unknown setting; `yolotrack config show` lists the known ones"),
        ("YOLOTRACK_MODEL", "{}", "unknown setting; `yolotrack config show` lists the known ones"),
        ("YOLOTRACK_MODEL__CONF__MORE", "1", "unknown setting; did you mean YOLOTRACK_MODEL__CONF?"),
        ("YOLOTRACK_MODEL__HALF", "2", "model.half: should be a valid boolean, unable to interpret input, not '2'"),
        ("YOLOTRACK_MODEL__IMGSZ", "0", "model.imgsz: should be greater than or equal to 1, not '0'"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)

    assert complaint() == f"{variable}: {expected}"


def test_a_variable_of_the_tests_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOTRACK_REAL_DATA", "somewhere")

    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"model": {"conf": 7.0}}, "--conf: model.conf: should be less than or equal to 1, not 7.0"),
        ({"model": {"max_det": 0}}, "--max-det: model.max_det: should be greater than or equal to 1, not 0"),
        ({"model": {"weights": ""}}, "--model: model.weights: should have at least 1 character, not ''"),
        ({"database": {"url": "t.db"}}, "--db: database.url: should be an SQLAlchemy URL, not 't.db'"),
        ({"log": {"level": ""}}, "--log-level: log.level: should be 'debug', 'info', 'warning' or 'error', not ''"),
    ],
)
def test_a_wrong_option_is_a_wrong_usage(overrides: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(overrides=overrides)

    assert str(caught.value) == expected


def test_an_option_hides_a_wrong_value_below_it() -> None:
    Path("config.yaml").write_text("model: {conf: 7}")

    assert load_settings(overrides={"model": {"conf": 0.5}}).model.conf == 0.5


def test_a_password_is_in_no_complaint_and_no_dump() -> None:
    text = file_complaint("database: {url: [postgresql://me:hunter2@db/t]}")
    assert "hunter2" not in text
    Path("config.yaml").write_text("database: {url: postgresql://me:hunter2@db/t}")

    assert masked(load_settings())["database"]["url"] == "postgresql://me:***@db/t"


def test_the_shipped_file_shows_every_key_with_its_default() -> None:
    text = (ROOT / "config.yaml").read_text()
    uncommented = yaml.safe_load(re.sub(r"(?m)^  #(?=\w)", "  ", text))

    assert uncommented == Settings().model_dump(mode="json")
    assert load_file(ROOT / "config.yaml") == Settings()


def test_the_shipped_file_says_what_each_key_means() -> None:
    text = (ROOT / "config.yaml").read_text()

    for key, field in setting_fields().items():
        assert f"  # {field.description}" in text, key
