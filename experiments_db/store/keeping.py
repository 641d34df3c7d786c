"""How a finished run's result is kept, whatever stands in the way: store, file, patience, in turn.

Others may hold the store's file, the disk may be full, a long import may keep the lock. What a run
reached is stored at once or, if that fails for any reason, written beside the store at once
(`spill`); only then does the process try again. Where even that cannot be written, it goes on
trying for as long as it lives, and says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import spill, writes
from .driver import Kept
from .records import Outcome, utc_now

WAITS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each new attempt to bring a spilled result into the store."""

LONGEST = 30.0
"""Seconds between two attempts at most, and those left to a result once its process closes."""


def keep(
    store: Kept,
    run_id: str,
    outcome: Outcome,
    closing: threading.Event,
    say: Callable[[str], None],
) -> str | None:
    """Ends a run; returns None once that is stored, or else in words where its result lies.

    Args:
        store: where it belongs.
        run_id: the run.
        outcome: how it ended.
        closing: set when the process is about to end: no more patience than necessary.
        say: told what is in the way, while nothing is kept yet.

    Raises:
        StoreError: the outcome is none (a status that is no ending, a curve that is no curve), or
            the store is read-only.
    """
    store.allow_writing()
    row, curves = writes.result_rows(run_id, outcome)
    rows = {**row, "finished_at": utc_now()}, curves
    refusal = _refusal(store, rows)
    if refusal is None:
        return None
    store.log.warning("the result of run %s was not stored: %s", run_id, refusal)
    place = None
    for wait in _growing(closing):
        try:
            place = spill.spill(store.path, *rows)
            break
        except Exception as error:  # the edge of a result: it is kept, whatever the error
            say(f"The result is only in memory, and tried again: {refusal} {error}")
        time.sleep(wait)
        refusal = _refusal(store, rows)
        if refusal is None:
            return None
    if place is None:
        return f"The result of run {run_id} could not be kept: {refusal}"
    store.log.warning("the result of run %s is kept in %s", run_id, place)
    for wait in WAITS:
        if closing.wait(wait) or _taken_in(store, place):
            break
    return _where(place, refusal)


def _refusal(store: Kept, rows: spill.Rows) -> str | None:
    """Tries once to store a result; returns why not, or None."""
    try:
        store.write(lambda connection: writes.insert_result(connection, *rows))
    except Exception as error:  # the edge of a result: it is kept, whatever the error
        return str(error) or type(error).__name__
    return None


def _taken_in(store: Kept, place: Path) -> bool:
    """Opens the store, which takes in what waits; returns whether it has."""
    try:
        with store.open(write=True):
            pass
    except Exception as error:  # the edge of a result: it lies safe on the disk
        store.log.info("%s goes on waiting: %s", place, error)
    return not place.exists()


def _where(place: Path, refusal: str) -> str | None:
    if place.exists():
        return (
            f"The result could not be stored when the run ended: {refusal} It was kept in {place}, "
            "and the next opening of the store that succeeds takes it in."
        )
    aside = Path(f"{place}{spill.REFUSED}")
    if aside.exists():
        return f"The store does not take the result: {refusal} It is kept in {aside}."
    return None


def _growing(closing: threading.Event) -> Iterator[float]:
    """Yields waits that grow, until the process has been closing for a while."""
    wait, deadline = WAITS[0], None
    while deadline is None or time.monotonic() < deadline:
        yield 1.0 if closing.is_set() else wait
        wait = min(2 * wait, LONGEST)
        if closing.is_set() and deadline is None:
            deadline = time.monotonic() + LONGEST
