"""Foreign errors in one line."""

from __future__ import annotations

import re


def reason(error: BaseException) -> str:
    """The first sentence of what a library's error says, without its decoration; its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception from src/")] or lines  # OpenVINO's own places
    if not lines:
        return type(error).__name__
    return re.sub(r"^(ERROR)?[^\w/.'\"]*", "", lines[0]).split(". ")[0].rstrip(".")
