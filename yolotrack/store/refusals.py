"""Tables of what databases refuse with: the error of ours that each becomes, and what the user can do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from yolotrack.errors import StoreError


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of such a table."""

    kind: type[StoreError]
    """`StoreAway` where the same may work when it is tried again in a while, in a new transaction."""
    remedy: str
    """What to do about it; empty where the database's own words are all there is to say."""
    words: str = ""
    """A regular expression, in lower case: some of what the database says."""
    states: tuple[str, ...] = ()
    """Beginnings of SQLSTATEs."""

    def fits(self, text: str, state: str | None) -> bool:
        """Whether the database meant this. `state` is None where it gave none, or one that says nothing.

        A row with states and words needs both, but words alone where there is no state.
        """
        if state is None:
            return bool(self.words) and self._says(text)
        return state.startswith(self.states or ("-",)) and self._says(text)

    def _says(self, text: str) -> bool:
        return re.search(self.words, text.lower()) is not None


def find(table: Iterable[Refusal], text: str, state: str | None = None) -> Refusal | None:
    """The first row that fits."""
    return next((row for row in table if row.fits(text, state)), None)
