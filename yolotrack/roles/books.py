"""Runs that nobody will finish, and what is written into the books about them."""

from __future__ import annotations

from contextlib import suppress

from yolotrack.errors import StoreError
from yolotrack.model import RunStatus
from yolotrack.store.base import Store


def interrupt(store: Store, run_id: str) -> int:
    """End a run as `interrupted` with the frames that have their outcome, and return how many those are.

    Whoever writes the run is fenced from now on. `StoreError` as the store raises it.
    """
    claim = store.claim(run_id)
    settled = claim.checkpoint.next_index
    store.end_run(claim, RunStatus.INTERRUPTED, settled)
    return settled


def close_books(store: Store, run_id: str) -> None:
    """A run that is still `running` is `interrupted` from now on, with the frames that were committed.

    What a broken store refuses stays as it is: whoever calls this has an error to tell already.
    """
    with suppress(StoreError):
        if store.find_run(run_id).status is RunStatus.RUNNING:
            interrupt(store, run_id)
