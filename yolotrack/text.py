"""What somebody may have meant who wrote a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LIKENESS = 0.6
"""From here on, as difflib measures it, one word is taken for a slip of the other: "cra" for "car", yet not "person"
for "spoon"."""


def nearest(text: str, known: Iterable[str], most: int = 3, likeness: float = LIKENESS) -> list[str]:
    """Those that `text` may have been meant to be, the likeliest first; upper and lower case are the same."""
    by_fold = {name.casefold(): name for name in known}
    return [by_fold[name] for name in difflib.get_close_matches(text.casefold(), by_fold, n=most, cutoff=likeness)]


def meant(text: str, known: Iterable[str], otherwise: str, most: int = 3) -> str:
    """`did you mean this or that?`; `otherwise` where nothing is near."""
    near = nearest(text, known, most)
    return f"did you mean {' or '.join(near)}?" if near else otherwise
