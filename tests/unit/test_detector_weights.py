"""Finding weights, and the one line for everything that is none."""

from __future__ import annotations

import socket
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from yolotrack.errors import ModelError
from yolotrack.vision import weights
from yolotrack.vision.cache import cache_folder
from yolotrack.vision.weights import digest_of, find_weights


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and an empty current folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "cache/yolotrack"


def checkpoint(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 4000)
    return path


def test_a_path_is_found_from_where_it_was_named(tmp_path: Path) -> None:
    checkpoint(tmp_path / "here/mine.pt")
    assert find_weights("mine.pt") == tmp_path / "here/mine.pt"


@pytest.mark.parametrize("name", ["gone.pt", "folder/gone.onnx"])
def test_a_missing_file_names_the_ways_on(name: str) -> None:
    with pytest.raises(ModelError, match=f"no weights at {name}: .*--model.*yolotrack demo"):
        find_weights(name)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.pt", b"", "empty"),
        ("text.pt", b"not a model\n", "no PyTorch checkpoint"),
        ("half.pt", None, "no PyTorch checkpoint"),
        ("model.yaml", b"nc: 80\n", "holds no weights"),
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    whole = checkpoint(tmp_path / "whole.pt").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ModelError, match=said) as error:
        find_weights(str(tmp_path / name))
    assert "\n" not in str(error.value) and name in str(error.value)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    one.write_bytes(b"a")
    two.write_bytes(b"a")
    assert digest_of(one) == digest_of(two)
    two.write_bytes(b"b")
    assert digest_of(one) != digest_of(two)


def test_the_digest_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.xml").write_bytes(b"1")
    before = digest_of(folder)
    (folder / "a.xml").rename(folder / "b.xml")
    assert digest_of(folder) != before


class Server(BaseHTTPRequestHandler):
    """Has yolov8n.pt, breaks off halfway through yolov8s.pt, and has nothing else."""

    def do_GET(self) -> None:
        if self.path not in {"/yolov8n.pt", "/yolov8s.pt"}:
            return self.send_error(404)
        body = checkpoint(Path("served.zip")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.path == "/yolov8n.pt" else body[: len(body) // 2])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base's
        """Keep quiet."""


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(weights, "RELEASE", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("release")
def test_official_weights_are_downloaded_into_the_cache_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_weights("yolov8n.pt")
    assert found == own_cache / "weights/yolov8n.pt"
    monkeypatch.setattr(weights, "RELEASE", "http://127.0.0.1:1")
    assert find_weights("yolov8n.pt") == found
    assert not Path("yolov8n.pt").exists()


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize(("name", "said"), [("yolov8s.pt", "bytes came"), ("yolov8m.pt", "Not Found")])
def test_a_download_that_fails_leaves_nothing(own_cache: Path, name: str, said: str) -> None:
    with pytest.raises(ModelError, match=rf"cannot download {name} \(.*{said}.*\): .*--model.*yolotrack demo"):
        find_weights(name)
    assert list((own_cache / "weights").iterdir()) == []


def test_no_network_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(weights, "RELEASE", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ModelError, match=r"cannot download yolov8n.pt \(.*refused\)"):
            find_weights("yolov8n.pt")


def test_only_official_names_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_download", lambda *_: pytest.fail("a download"))
    for name in ("mine.pt", "./yolov8n.pt", "yolov8n-seg.pt", "yolov8n.pt.exe"):
        with pytest.raises(ModelError, match="no weights at"):
            find_weights(name)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot use the cache folder .*XDG_CACHE_HOME"):
        find_weights("yolov8n.pt")


def test_a_relative_cache_folder_is_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder().is_absolute()
