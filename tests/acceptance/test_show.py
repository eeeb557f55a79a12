"""`--show` on a screen that nobody sees: a window opens, shows tracks, and q ends the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.commands import Running, names_in, runs_in
from tests.support.screen import Screen
from tests.support.scripted_model import PACE

SLOW = "tests.support.scripted_model:slow"
"""So that the window is there long enough to be found."""


def test_a_window_shows_tracks_until_q(screen: Screen, tmp_path: Path) -> None:
    command = ["demo", "--frames", "2000", "--seed", "7", "--show"]
    with Running(*command, folder=tmp_path, env={"DISPLAY": screen.display}) as running:
        running.wait_for_frames(30)
        running.wait(lambda: screen.windows("yolotrack - demo-7"), "a window")
        assert len(screen.windows("yolotrack")) == 1
        first = screen.picture()
        running.wait(lambda: _moved(first, screen.picture()), "another picture")
        shown = screen.picture()
        screen.press("q")
        done = running.end()

    assert done.code == 130
    assert "Traceback" not in done.err and "QFont" not in done.err
    assert _boxes(shown) > 200, "boxes and labels are drawn"
    (run,) = runs_in(tmp_path, "sqlite:///yolotrack-demo/tracks.db")
    assert run["status"] == "interrupted"
    assert 30 <= int(run["tracked"]) < 2000
    assert "demo.mp4" in names_in(tmp_path / "yolotrack-demo")


def test_without_output_a_window_still_shows(screen: Screen, scene_video: Path, tmp_path: Path) -> None:
    command = ["run", scene_video, "--model", SLOW, "--show", "--db", "sqlite:///t.db"]
    with Running(*command, folder=tmp_path, env={"DISPLAY": screen.display, PACE: "0.2"}) as running:
        running.wait(lambda: screen.windows("yolotrack - scene"), "a window")
        done = running.end()

    assert done.code == 0
    assert runs_in(tmp_path)[0]["tracked"] == "60"
    assert names_in(tmp_path) == {"t.db", "screen"}


def _moved(before: np.ndarray, after: np.ndarray) -> bool:
    return bool((before != after).any(axis=2).mean() > 0.01)


def _boxes(picture: np.ndarray) -> int:
    """Pixels in the strong colours that only annotations have: the street is pale."""
    values = picture.astype(int)
    return int(((values.max(axis=2) - values.min(axis=2)) > 200).sum())
