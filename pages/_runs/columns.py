"""The columns of the tables of Runs: which ones say something, and how they are read."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from experiments_db.read.queries import SETTINGS

RUN_COLUMNS = (
    "starred", "status", "layer", "spec", "task", "accuracy", "error", "*", "loss", "steps",
    "seconds", "seconds_to_target", "seed", "tags", "note", "started_at", "run_id",
)  # fmt: skip
GROUP_COLUMNS = (
    "layer", "spec", "task", "n", "accuracy_mean", "accuracy_std", "error_mean", "error_std", "*",
    "accuracy_min", "accuracy_max", "loss_mean", "seconds_mean", "diverged", "started_at",
)  # fmt: skip
"""Columns in order; the star stands for what differs: settings, frame, protocol, device."""

SPREAD = ("accuracy_std", "accuracy_min", "accuracy_max", "error_std")
ALWAYS = ("status", "accuracy", "loss", "accuracy_mean")  # shown even when nothing is in them yet
ALSO = ("frame", "protocol", "device")
MOST_SETTINGS = 8
ELSEWHERE = ("model.layers", "model.frame", "train.protocol")  # settings with columns of their own


def chosen(table: pd.DataFrame) -> list[str]:
    """Returns the columns of a table of runs or of groups that say something, in order."""
    asked: tuple[str, ...] = RUN_COLUMNS if "run_id" in table else GROUP_COLUMNS
    if "n" in table and (table["n"] == 1).all():  # a single run is its own mean, least and most
        asked = tuple(name for name in asked if name not in SPREAD)
    found = []
    for name in asked:
        if name == "*":
            found += differing(table)
        elif name in table and (name in ALWAYS or _holds_something(table[name])):
            found.append(name)
    return found


def differing(table: pd.DataFrame) -> list[str]:
    """Returns the settings that are not the same in all rows."""
    settings = [name for name in table if str(name).partition(".")[0] in SETTINGS and "." in name]
    names = [name for name in settings if name not in ELSEWHERE]
    varied = [name for name in names if table[name].astype(str).nunique() > 1]
    return varied[:MOST_SETTINGS] + [name for name in ALSO if table[name].nunique() > 1]


def _holds_something(column: pd.Series) -> bool:
    if column.name == "diverged":
        return bool(column.any())
    if column.name == "tags":
        return bool(column.map(len).any())
    if column.name in ("starred", "note"):
        return bool(column.fillna("").astype(bool).any())
    return bool(column.notna().any())


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table as it is shown: a star for starred, a dash for no published name."""
    readable = table.assign(layer=table["layer"].fillna("–"))
    if "starred" in table:
        readable["starred"] = table["starred"].map({True: "★", False: ""})
    for name in differing(table):  # a rate, or auto: one type for a column
        if readable[name].map(type).nunique() > 1:
            readable[name] = readable[name].map(lambda value: "" if value is None else str(value))
    return readable


def config(table: pd.DataFrame) -> dict[str, Any]:
    """Returns how each column is shown."""
    column = st.column_config
    found: dict[str, Any] = {**_identity(), **_measures(), **_of_groups()}
    for name in differing(table):
        found.setdefault(name, column.Column(_short(name, table), width=80, help=f"Setting {name}"))
    return found


def _short(name: str, table: pd.DataFrame) -> str:
    """The name of a setting without its group, where no other setting has the same."""
    last = name.rpartition(".")[2]
    return last if sum(str(n).rpartition(".")[2] == last for n in table) == 1 else name


def _identity() -> dict[str, Any]:
    column = st.column_config
    return {
        "starred": column.TextColumn("★", width=30, help="Starred"),
        "status": column.TextColumn("Status", width=85),
        "layer": column.TextColumn("Layer", width=150),
        "spec": column.TextColumn("Spec", width="medium"),
        "task": column.TextColumn("Task", width=80),
        "frame": column.TextColumn("Frame", width=85),
        "protocol": column.TextColumn("Protocol", width=80),
        "device": column.TextColumn("Device", width=60),
        "seed": column.NumberColumn("Seed", width=50),
        "tags": column.ListColumn("Tags", width="small"),
        "note": column.TextColumn("Note", width="small"),
        "started_at": column.DatetimeColumn("Started (UTC)", format="YYYY-MM-DD HH:mm", width=130),
        "run_id": column.TextColumn("Run", width="small"),
    }


def _measures() -> dict[str, Any]:
    column = st.column_config
    return {
        "accuracy": _share("Accuracy", "On the test set, at the queries."),
        "error": column.NumberColumn(
            "Error", format="%.4g", width=75, help="Mean squared error, where the task has one."
        ),
        "loss": column.NumberColumn("Loss", format="%.3f", width=65),
        "steps": column.NumberColumn("Steps", width=65),
        "seconds": column.NumberColumn("Time (s)", format="%.1f", width=75),
        "seconds_to_target": column.NumberColumn(
            "To target (s)", format="%.1f", width=90, help="Time to the target accuracy."
        ),
    }


def _of_groups() -> dict[str, Any]:
    column = st.column_config
    return {
        "n": column.NumberColumn("Runs", width=55, help="Complete runs of this configuration."),
        "accuracy_mean": _share("Accuracy", "Mean over the runs, on the test set."),
        "accuracy_std": column.NumberColumn("±", format="%.4f", width=70, help="Deviation."),
        "accuracy_min": column.NumberColumn("Least", format="%.4f", width=75),
        "accuracy_max": column.NumberColumn("Most", format="%.4f", width=75),
        "error_mean": column.NumberColumn("Error", format="%.4g", width=80, help="Mean."),
        "error_std": column.NumberColumn("± error", format="%.2g", width=75, help="Deviation."),
        "loss_mean": column.NumberColumn("Loss", format="%.3f", width=65, help="Mean."),
        "seconds_mean": column.NumberColumn("Time (s)", format="%.1f", width=75, help="Mean."),
        "diverged": column.NumberColumn("Diverged", width=75, help="Runs that diverged."),
    }


def _share(label: str, help: str) -> Any:
    return st.column_config.ProgressColumn(
        label, format="percent", min_value=0.0, max_value=1.0, width=110, help=help
    )
