"""Runs as the command line lists them: filtered by SQL, found by id, and the store's health."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ttr_core import catalog, nearest
from ttr_core.lab import metrics

from ..errors import StoreError
from ..installation import command
from ..store import Store, open_store, spill
from ..store.files import absolute, no_place, temporary
from ..store.migrations import version
from ..store.records import RELEASED, storable
from ..store.swap import note_of
from . import measures, queries
from .export import WRITERS
from .filters import Conditions
from .grouping import grouped
from .kinds import WORD
from .narrow import SETTING, known, mentioned, question
from .sandbox import QueryError, where

RUN_COLUMNS = (
    "run_id", "status", "layer", "spec", "frame", "task", "seed", "*", "still_rising", "steps",
    "steps_to_90", "seconds", "started_at", "tags", "note", "cut_short", "superseded",
)  # fmt: skip
GROUP_COLUMNS = (
    "layer", "spec", "frame", "task", "n", "*", "still_rising", "steps_to_90_mean",
    "steps_to_90_std", "cut_short", "superseded",
)  # fmt: skip
"""Columns of a terminal; the star stands for the metrics that the runs have."""

WHERE_TOLD = (
    "cut_short", "superseded", "still_rising", "steps_to_90", "steps_to_90_mean", "steps_to_90_std",
)  # fmt: skip
"""Columns that are shown where they say something."""

ALL = 1_000_000
EVERY_COLUMN = re.compile(r"\b(columns|from)\b", re.IGNORECASE)
"""Words by which a condition may use columns that it does not name."""


def runs(
    store: Store, condition: str | None = None, archived: bool = False, flat: bool = False
) -> pd.DataFrame:
    """Returns runs, newest first.

    Args:
        store: where they are.
        condition: an SQL condition over their columns and settings, run in a sandbox.
        archived: whether to include archived runs.
        flat: add one column per setting.

    Raises:
        QueryError: the condition is refused, wrong or too slow.
    """
    if condition is None:
        return queries.runs(store, Conditions(archived=archived), flat=flat, limit=ALL)
    kept = chosen(store, condition, archived)
    return queries.runs(store, Conditions(ids=kept, archived=True), flat=flat, limit=len(kept))


def groups(
    store: Store, condition: str | None = None, archived: bool = False, flat: bool = False
) -> pd.DataFrame:
    """Returns one row per configuration of complete runs; the arguments are those of `runs`.

    Raises:
        QueryError: the condition is refused, wrong or too slow.
    """
    conditions = Conditions(archived=archived)
    if condition is not None:
        conditions = Conditions(ids=chosen(store, condition, archived), archived=True)
    table = grouped(store, conditions)
    return queries.flattened(table) if flat else table


def in_terminal(table: pd.DataFrame) -> list[str]:
    """Returns the columns of a table of runs or of groups that a terminal shows, in order."""
    asked = GROUP_COLUMNS if "run_ids" in table else RUN_COLUMNS
    several = [f"{name}_{what}" for name in metrics() for what in _told(name)]
    compared = [name for name in metrics() if name in (*measures.mains(), *RELEASED)]
    named = several if "run_ids" in table else compared  # the others are in --json and --output
    known = [name for name in named if name in table and table[name].notna().any()]
    told = [one for one in asked if one not in WHERE_TOLD or table[one].any()]
    return [name for one in told for name in (known if one == "*" else [one]) if name in table]


def _told(name: str) -> tuple[str, ...]:
    """Returns the statistics of a metric that a terminal has room for."""
    return ("mean", "std", "min", "max") if name in measures.mains() else ("mean", "std")


def chosen(store: Store, condition: str, archived: bool = False) -> list[str]:
    """Returns the ids of the runs that meet an SQL condition, newest first.

    Raises:
        QueryError: the condition is refused, wrong or too slow.
    """
    if not condition.strip():
        raise QueryError('--where is empty: give a condition, such as "accuracy > 0.9".')
    try:
        storable(condition, "The condition")
    except StoreError as error:
        raise QueryError(str(error)) from None
    text = None if EVERY_COLUMN.search(condition) else condition
    rows = mentioned(store, text, archived)
    try:
        return where(rows, question(condition).condition, "run_id")
    except QueryError as error:
        said = _in_words(str(error), store)
        hint = _hint(condition)
        raise QueryError(f"--where {condition[:200]!a} cannot be used. {said}{hint}") from None


UNBOUND = re.compile(r'Referenced column "([^"]+)"')
NOT_A_NUMBER = re.compile(r"Could not convert string '([^']*)' to (?:DOUBLE|INT64)")


def _in_words(error: str, store: Store) -> str:
    """Returns an error of the database in the words of those who ask."""
    if (found := UNBOUND.search(error)) is not None:
        names = known(store)
        near = nearest(found[1], names)
        close = " or ".join(f'"{name}"' for name in near)
        hint = f" Did you mean {close}?" if close else f" Columns: {', '.join(names)}."
        return f"No run has a column {found[1]!a}.{hint}"
    if (found := NOT_A_NUMBER.search(error)) is not None:
        return (
            f"{found[1]!a} is compared with a column of numbers; the words of a setting stand "
            f"beside it, as in \"train.lr{WORD}\" = 'auto'."
        )
    return error.partition("\n\nLINE ")[0].replace("\n)", "")  # its lines are of our SELECT


def _hint(condition: str) -> str:
    bare = SETTING.search(re.sub(r'"[^"]*"', "", condition))
    return f'\nA setting is written in double quotes: "{bare[0]}".' if bare else ""


def output_path(path: Path, suffixes: Sequence[str] = tuple(WRITERS)) -> Path:
    """Returns where a file, by default a table, may be written; the file itself is left alone.

    Raises:
        QueryError: the suffix is none of these, or nothing can be written there.
    """
    if path.suffix.lower() not in suffixes:
        raise QueryError(f"--output {path} names no format: use {', '.join(suffixes)}.")
    try:
        place = absolute(path)
    except StoreError as error:
        raise QueryError(f"--output: {error}") from None
    try:
        if place.is_dir():
            raise QueryError(f"--output {path} is a folder; name a file.")
        if not place.parent.is_dir():
            raise QueryError(f"--output {path} lies in no folder: create {place.parent} first.")
        probe = temporary(place)
        probe.touch()  # permissions alone do not tell whether a file can be made there
        probe.unlink()
    except OSError as error:
        raise QueryError(f"--output {path} cannot be written: {error.strerror}.") from None
    return path


def existing(store: Store, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the runs with these ids.

    Raises:
        QueryError: one of them does not exist; its text names the nearest.
    """
    found = [(run_id, _run(store, run_id)) for run_id in dict.fromkeys(ids)]
    missing = [run_id for run_id, row in found if row is None]
    if missing:
        raise QueryError(_missing(store, missing))
    return [row for _, row in found if row is not None]


def _run(store: Store, run_id: str) -> dict[str, Any] | None:
    try:
        storable(run_id, "An id")
    except StoreError:  # half of a character: no run has it in its id
        return None
    return queries.run(store, run_id)


def _missing(store: Store, missing: Sequence[str]) -> str:
    known = queries.ids(store, Conditions(archived=True))
    lines = []
    for run_id in missing:
        near = difflib.get_close_matches(run_id, known)
        hint = f" Did you mean {' or '.join(near)}?" if near else _of_layer(run_id)
        lines.append(f"No run has the id {run_id!r}.{hint}")
    return "\n".join([*lines, f"`{command('runs')}` lists them."])


def _of_layer(asked: str) -> str:
    """Says how the runs of a layer are found, where its name stands for an id."""
    layers = () if "'" in asked else nearest(asked, catalog, n=1)
    if not layers:
        return ""
    listed = command("runs", "--where", f"layer = '{layers[0]}'")
    return f" It looks like the layer {layers[0]}, whose runs `{listed}` lists."


def health(db: Path | None = None) -> dict[str, Any]:
    """Returns where the store is and how it does; ``problem`` says what is wrong, or None."""
    report: dict[str, Any] = {"path": None, "problem": None}
    try:
        store = open_store(db)
        report |= {"path": str(store.path), "exists": store.path.exists()}
        report |= {"readonly": store.readonly, "lock": store.lock.holder() or "free"}
        if note_of(store.path).exists():
            report["notice"] = "A restore that was interrupted has been finished."
        elif said := _set_aside(store):
            raise StoreError(said)
        with store.open() as connection:
            report["schema"] = version(connection, store.path)
        counts = queries.counts(store)
        report["runs"] = dict(zip(counts["status"], map(int, counts["runs"]), strict=True))
        missing = not (store.path.exists() or store.readonly)
        report["problem"] = no_place(store.path) if missing else spill.in_the_way(store.path)
    except StoreError as error:
        report["problem"] = str(error)
    return report


def _set_aside(store: Store) -> str | None:
    """Returns what is to be said where there is no store, but one that a restore replaced."""
    aside = sorted(store.path.parent.glob(f"{store.path.stem}.replaced-*{store.path.suffix}"))
    if store.path.exists() or not aside:
        return None
    return (
        f"There is no store at {store.path}, but {aside[-1].name} beside it, which a restore put "
        "aside: restore that or a backup."
    )
