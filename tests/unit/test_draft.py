"""Files and folders that appear when they are finished, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from yolotrack.draft import refuse_inputs, writing_file, writing_folder
from yolotrack.errors import OutputError

Writing: TypeAlias = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where it is to be."""
    return tmp_path / "run"


def fill(writing: Writing, path: Path, text: str, **options: bool) -> None:
    """Write a file of this text, or a folder with one in it."""
    with writing(path, overwrite=options.get("overwrite", False)) as draft:
        if isinstance(draft, Path):
            (draft / "gt").mkdir()
            (draft / "gt" / "gt.txt").write_text(text)
        else:
            draft.write(text.encode())


def text_of(path: Path) -> str:
    """What `fill` wrote."""
    return (path / "gt" / "gt.txt" if path.is_dir() else path).read_text()


def names_beside(path: Path) -> list[str]:
    return sorted(other.name for other in path.parent.iterdir())


both = pytest.mark.parametrize("writing", [writing_file, writing_folder])


@both
def test_it_is_there_when_it_is_finished(writing: Writing, path: Path) -> None:
    fill(writing, path, "one")
    assert (text_of(path), names_beside(path)) == ("one", ["run"])
    with pytest.raises(OutputError, match=r"run: it exists; choose another name, or set --overwrite"):
        fill(writing, path, "two")
    assert text_of(path) == "one"
    fill(writing, path, "three", overwrite=True)
    assert (text_of(path), names_beside(path)) == ("three", ["run"])


@both
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_left_of_what_was_given_up(writing: Writing, path: Path, overwrite: bool) -> None:
    with pytest.raises(KeyboardInterrupt), writing(path, overwrite=overwrite):
        raise KeyboardInterrupt
    assert names_beside(path) == []


@both
def test_what_came_meanwhile_is_not_replaced_unasked(writing: Writing, path: Path) -> None:
    there = path.with_name("theirs")
    fill(writing, there, "theirs")
    refused = pytest.raises(OutputError, match=r"run appeared while it was written; the finished (file|folder) is")
    with refused as told, writing(path, overwrite=False):
        there.rename(path)  # which somebody else finished
    assert text_of(path) == "theirs"
    ours = Path(str(told.value).rpartition(" is ")[2])
    assert ours.is_dir() == path.is_dir()
    assert ours.exists(), "the other is there too"


def test_what_a_killed_process_of_the_same_number_left_is_in_nobodys_way(path: Path) -> None:
    stale = path.with_name(f".run.part-{os.getpid()}")
    stale.mkdir()
    (stale / "old.txt").touch()
    fill(writing_folder, path, "one")
    assert [file.name for file in path.rglob("*.txt")] == ["gt.txt"]
    assert names_beside(path) == ["run"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"file: it is a file; name a folder"):
        fill(writing_folder, tmp_path / "file", "one", overwrite=overwrite)
    with pytest.raises(OutputError, match=r"folder: it is a folder; name a file"):
        fill(writing_file, tmp_path / "folder", "one", overwrite=overwrite)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(OutputError, match=r"cannot write \.: it is a folder; name a file"):
        fill(writing_file, Path(), "one", overwrite=overwrite)


def test_a_folder_that_cannot_take_the_place_of_the_old_one_leaves_it(path: Path) -> None:
    fill(writing_folder, path, "one")
    with pytest.raises(OutputError, match="cannot write"), writing_folder(path, overwrite=True) as draft:
        draft.rmdir()
    assert (text_of(path), names_beside(path)) == ("one", ["run"])


def test_a_link_to_a_folder_is_replaced_and_not_what_it_names(path: Path) -> None:
    other = path.with_name("other")
    fill(writing_folder, other, "one")
    path.symlink_to(other)
    fill(writing_folder, path, "two", overwrite=True)
    assert (text_of(path), text_of(other), names_beside(path)) == ("two", "one", ["other", "run"])


@both
def test_the_disk_says_that_it_holds_everything(writing: Writing, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(number: int) -> None:
        synced.append(Path(f"/proc/self/fd/{number}").readlink().name)
        assert not path.exists(), "before it has its name"
        fsync(number)

    monkeypatch.setattr(os, "fsync", noted)
    fill(writing, path, "one")
    assert synced == ["gt.txt" if path.is_dir() else f".run.part-{os.getpid()}"]


@pytest.mark.parametrize("how", ["same", "link", "symlink", "folder", "pattern"])
def test_an_output_that_is_a_source_is_refused(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = folder / "a.png"
    source.write_bytes(b"picture")
    output = source if how == "same" else tmp_path / "out.png"
    if how != "same":
        output.symlink_to(source) if how == "symlink" else output.hardlink_to(source)
    named = {"folder": str(folder), "pattern": str(folder / "*.png")}.get(how, str(source))
    with pytest.raises(OutputError, match="it is a source"):
        refuse_inputs([output], [named])


def test_an_output_that_is_no_source_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"same")
    (tmp_path / "b.mp4").write_bytes(b"same")
    others = [str(tmp_path / "a.mp4"), "rtsp://cam/1", "0", "x\0y", "n" * 300]
    refuse_inputs([tmp_path / "b.mp4", tmp_path / "new.mp4"], others)
    refuse_inputs([tmp_path / ("n" * 300), tmp_path / "gone" / "b.mp4"], [str(tmp_path / "a.mp4")])
