"""`--web` with and without its value."""

from __future__ import annotations

import pytest

from yolotrack.cli.webopt import completed


@pytest.mark.parametrize(
    "address", ["8000", "0", "127.0.0.1:0", "127.0.0.1", "[::1]:80", "[::1]", "cam.local:80", "localhost"]
)
def test_an_address_after_it_is_its_value(address: str) -> None:
    arguments = ["cam", "--web", address, "--once"]

    assert completed(arguments) == arguments


@pytest.mark.parametrize("rest", [[], ["--once"], ["camera-1"], ["cam.2", "--once"], ["-q"]])
def test_anything_else_is_not(rest: list[str]) -> None:
    assert completed(["--json", "--web", *rest]) == ["--json", "--web", "", *rest]


def test_without_it_nothing_changes() -> None:
    assert completed(["cam", "--web=127.0.0.1:9"]) == ["cam", "--web=127.0.0.1:9"]
