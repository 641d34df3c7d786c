"""Runs as the command line lists them: filtered by SQL, found by id, and the store's health."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import queries
from .errors import StoreError
from .export import WRITERS
from .migrations import version
from .sandbox import QueryError, where
from .store import Store, open_store

RUN_COLUMNS = (
    "run_id", "status", "layer", "spec", "frame", "task", "seed", "accuracy", "error", "loss",
    "steps", "seconds", "started_at", "tags", "note",
)  # fmt: skip
GROUP_COLUMNS = (
    "layer", "spec", "frame", "task", "n", "accuracy_mean", "accuracy_std", "accuracy_min",
    "accuracy_max", "error_mean", "error_std", "loss_mean", "loss_std",
)  # fmt: skip
ALL = 1_000_000


def runs(store: Store, condition: str | None = None, archived: bool = False) -> pd.DataFrame:
    """Returns runs, newest first.

    Args:
        store: where they are.
        condition: an SQL condition over their columns and settings, run in a sandbox.
        archived: whether to include archived runs.

    Raises:
        QueryError: the condition is refused, wrong or too slow.
    """
    if condition is None:
        return queries.runs(store, archived=archived, limit=ALL)
    flat = queries.runs(store, archived=archived, flat=True, limit=ALL)
    try:
        kept = set(where(_plain(flat), condition, "run_id"))
    except QueryError as error:
        raise QueryError(f"--where {condition!r} cannot be used. {error}") from None
    columns = [name for name in flat.columns if "." not in name]
    return flat.loc[flat["run_id"].isin(kept), columns].reset_index(drop=True)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the frame with one type per column; what is mixed (a rate, or auto) becomes text."""
    plain = frame.copy()
    for name in [name for name in plain if pd.api.types.is_object_dtype(plain[name])]:
        present = plain[name].dropna()
        kinds = {type(value) for value in present}
        if kinds <= {int, float}:
            plain[name] = pd.to_numeric(plain[name])
        elif len(kinds) > 1:
            plain[name] = present.map(str)
    return plain


def output_path(path: Path) -> Path:
    """Returns where a table may be written.

    Raises:
        QueryError: the suffix names no format.
    """
    if path.suffix.lower() not in WRITERS:
        raise QueryError(f"--output {path} names no format: use {', '.join(WRITERS)}.")
    return path


def existing(store: Store, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the runs with these ids.

    Raises:
        QueryError: one of them does not exist; its text names the nearest.
    """
    found = [(run_id, queries.run(store, run_id)) for run_id in dict.fromkeys(ids)]
    missing = [run_id for run_id, row in found if row is None]
    if missing:
        raise QueryError(_missing(store, missing))
    return [row for _, row in found if row is not None]


def _missing(store: Store, missing: Sequence[str]) -> str:
    known = list(queries.runs(store, archived=True, limit=ALL)["run_id"])
    lines = []
    for run_id in missing:
        near = difflib.get_close_matches(run_id, known)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        lines.append(f"No run has the id {run_id!r}.{hint}")
    return "\n".join([*lines, "`python batch.py runs` lists them."])


def health(db: Path | None = None) -> dict[str, Any]:
    """Returns where the store is and how it does; ``problem`` says what is wrong, or None."""
    report: dict[str, Any] = {"path": None, "problem": None}
    try:
        store = open_store(db)
        report |= {"path": str(store.path), "exists": store.path.exists()}
        report |= {"readonly": store.readonly, "lock": store.lock.holder() or "free"}
        with store.open() as connection:
            report["schema"] = version(connection, store.path)
        counts = queries.counts(store)
        report["runs"] = dict(zip(counts["status"], map(int, counts["runs"]), strict=True))
    except StoreError as error:
        report["problem"] = str(error)
    return report
