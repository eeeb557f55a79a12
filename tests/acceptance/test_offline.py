"""Nothing phones home: what every Python process of a run asks the network for, and what it starts."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import SCRIPTED, yolotrack, yolotrack_traced
from tests.support.serving import serving
from yolotrack.demo.source import IMGSZ, WEIGHTS

LISTENING = """
import json, os, sys
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"}
def listen(event, arguments):
    if event in NETWORK:
        heard = str(arguments[1] if event.startswith(("socket.connect", "socket.send")) else arguments[0])
    elif event == "subprocess.Popen":
        heard = [str(part) for part in arguments[1]] if not isinstance(arguments[1], str) else [arguments[1]]
    else:
        return
    with open(os.environ["HEARD"], "a") as file:
        file.write(json.dumps([event, heard]) + "\\n")
sys.addaudithook(listen)
"""


@pytest.fixture
def ears(tmp_path: Path) -> dict[str, str]:
    """The environment in which every Python process writes down what it asks for; a cache of its own."""
    (tmp_path / "ears").mkdir()
    (tmp_path / "ears/sitecustomize.py").write_text(LISTENING)
    (tmp_path / "heard").touch()
    return {
        "PYTHONPATH": str(tmp_path / "ears"),
        "HEARD": str(tmp_path / "heard"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "YOLO_CONFIG_DIR": "",
    }


def heard(tmp_path: Path, kind: str) -> list[Any]:
    lines = map(json.loads, (tmp_path / "heard").read_text().splitlines())
    return [what for event, what in lines if event.startswith(kind)]


def test_a_run_that_exports_opens_no_connection(scene_video: Path, tmp_path: Path, ears: dict[str, str]) -> None:
    command = ["run", scene_video, "--model", WEIGHTS, "--imgsz", IMGSZ, "-o", "out.mp4", "--max-frames", "10"]
    yolotrack(*command, "--db", "sqlite:///t.db", folder=tmp_path, env=ears)

    assert heard(tmp_path, "socket") == []
    started = heard(tmp_path, "subprocess")
    assert [command for command in started if command[1:] == ["-m", "yolotrack.vision.export_child"]]
    assert not [word for command in started for word in command if word in ("pip", "uv", "git", "curl", "ping")]
    assert (tmp_path / "cache/yolotrack/openvino").is_dir()


def test_weights_are_asked_for_at_one_address_only(disc_video: Path, tmp_path: Path, ears: dict[str, str]) -> None:
    """Official weights may be downloaded, and it shows that the ears hear."""
    nowhere = {"https_proxy": "http://127.0.0.1:9"}
    yolotrack("run", disc_video, "--db", "sqlite:///t.db", folder=tmp_path, code=1, env=ears | nowhere)

    assert set(heard(tmp_path, "socket.getaddrinfo")) == {"127.0.0.1"}
    assert set(heard(tmp_path, "socket.connect")) == {"('127.0.0.1', 9)"}


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="FFmpeg is no Python: what it connects to takes strace to see"
)
def test_a_source_on_the_network_is_the_only_address(disc_video: Path, tmp_path: Path, ears: dict[str, str]) -> None:
    with serving(disc_video.parent) as host:
        command = ["run", f"http://{host}/discs.mp4", "--model", SCRIPTED, "--db", "sqlite:///t.db"]
        trace = yolotrack_traced(*command, folder=tmp_path, env=ears)

    assert heard(tmp_path, "socket") == []
    ports = set(re.findall(r"connect\(.*sin6?_port=htons\((\d+)\)", trace))
    assert ports == {host.rpartition(":")[2]}
    assert "sendto" not in re.sub(r"sendto\(\d+, \"GET ", "", trace)
