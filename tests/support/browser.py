"""A real browser without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A started one. Without it tests are skipped, and fail under `CI=true`."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no chromium here; scripts/install_test_servers.sh installs it")
        pytest.skip("there is no chromium here; scripts/install_test_servers.sh installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # root, as in containers, needs the flag; nothing but our own pages is opened
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
