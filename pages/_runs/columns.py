"""The columns of the tables of Runs: which ones say something, and how they are read."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from experiments_db.read import measures
from experiments_db.read.queries import SETTINGS
from pages._shared import units
from ttr_core.lab import TASKS, metrics

RUN_COLUMNS = (
    "starred", "status", "superseded", "cut_short", "layer", "frame", "tags", "main", "task", "*",
    "still_rising", "spec", "other", "steps", "steps_to_90", "seconds", "seconds_to_target",
    "seed", "note", "started_at", "run_id",
)  # fmt: skip
GROUP_COLUMNS = (
    "superseded", "cut_short", "layer", "frame", "n", "main", "task", "*", "still_rising", "spec",
    "other", "steps_to_90_mean", "steps_to_90_std", "seconds_mean", "diverged",
    "started_at",
)  # fmt: skip
"""Columns in order; the star stands for what differs: settings, protocol, device; ``main``
for the metrics that tasks are judged by, ``other`` for what else they and their seeds have."""


def names_to_read() -> tuple[str, ...]:
    """Returns what of a run the table, and what it is ordered by, can show."""
    own = [name for name in RUN_COLUMNS if name not in ("*", "main", "other")]
    return (*own, *ALSO, *metrics())


SPREAD = ("std", "median", "min", "max")
ALSO = ("protocol", "device")
MOST_SETTINGS = 8
ELSEWHERE = ("model.layers", "model.frame", "train.protocol")  # settings with columns of their own


def chosen(table: pd.DataFrame) -> list[str]:
    """Returns the columns of a table of runs or of groups that say something, in order."""
    asked = RUN_COLUMNS if "run_id" in table else GROUP_COLUMNS
    always = {"status", *_always(table)}  # shown even when nothing is in them yet
    measured = _measured(table)
    found = []
    for name in asked:
        if name == "*":
            found += differing(table)
            continue
        names = measured.get(name, [name])
        found += [n for n in names if n in table and (n in always or _holds_something(table[n]))]
    return found


def _always(table: pd.DataFrame) -> list[str]:
    """Returns the columns of what the tasks of a table are judged by."""
    end = "" if "run_id" in table else "_mean"
    return [TASKS[task].main().name + end for task in table["task"].unique() if task in TASKS]


def _measured(table: pd.DataFrame) -> dict[str, list[str]]:
    """Returns the columns of metrics: the main ones with their deviations, and the others."""
    mains = measures.mains()
    others = [name for name in metrics() if name not in mains]
    if "run_id" in table:
        return {"main": [*mains], "other": others}
    single = (table["n"] == 1).all()  # a single run is its own mean, least and most
    first = [f"{name}_{what}" for name in mains for what in ("mean", "std")]
    further = [f"{name}_{what}" for name in mains for what in ("min", "max")]
    further += [f"{name}_mean" for name in others]
    kept = [n for n in (*first, *further) if not (single and n.rpartition("_")[2] in SPREAD)]
    return {"main": [n for n in kept if n in first], "other": [n for n in kept if n in further]}


def differing(table: pd.DataFrame) -> list[str]:
    """Returns the settings that are not the same in all rows."""
    settings = [name for name in table if str(name).partition(".")[0] in SETTINGS and "." in name]
    names = [name for name in settings if name not in ELSEWHERE]
    varied = [name for name in names if table[name].nunique(dropna=False) > 1]
    return varied[:MOST_SETTINGS] + [name for name in ALSO if table[name].nunique() > 1]


def _holds_something(column: pd.Series) -> bool:
    if column.name in ("diverged", "superseded", "cut_short", "still_rising"):
        return bool(column.fillna(False).any())
    if column.name == "tags":
        return bool(column.map(len).any())
    if column.name in ("starred", "note"):
        return bool(column.fillna("").astype(bool).any())
    return bool(column.notna().any())


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table as it is shown: a star for starred, the spec where it has no other name."""
    readable = table.assign(layer=table["layer"].fillna(table["spec"]))
    if "starred" in table:
        readable["starred"] = table["starred"].map({True: "★", False: ""})
    if "run_id" in table:
        readable["still_rising"] = table["still_rising"].map({True: "rising"}).fillna("")
    readable["superseded"] = table["superseded"].map({True: "superseded", False: ""})
    readable["cut_short"] = table["cut_short"].map({True: "cut short", False: ""})
    for name in differing(table):  # a rate, or auto: one type for a column
        if readable[name].map(type).nunique() > 1:
            known = readable[name].notna()
            readable[name] = readable[name].map(str).where(known, "")
    return readable


def config(table: pd.DataFrame) -> dict[str, Any]:
    """Returns how each column is shown."""
    column = st.column_config
    found: dict[str, Any] = {**_identity(), **_costs(), **_metrics()}
    for name in differing(table):
        found.setdefault(name, column.Column(_short(name, table), width=80, help=f"Setting {name}"))
    return found


PLANNED = {"train.steps": "steps at most", "train.seconds": "seconds at most"}
"""Settings that a result has under the same name, of what was done."""


def _short(name: str, table: pd.DataFrame) -> str:
    """The name of a setting without its group, where no other setting has the same."""
    if name in PLANNED:
        return PLANNED[name]
    last = name.rpartition(".")[2]
    return last if sum(str(n).rpartition(".")[2] == last for n in table) == 1 else name


def _identity() -> dict[str, Any]:
    column = st.column_config
    return {
        "starred": column.TextColumn("★", width=30, help="Starred"),
        "status": column.TextColumn("Status", width=85),
        "superseded": column.TextColumn(
            "Then",
            width=95,
            help="Something in it computes otherwise today: no newer run is pooled with it.",
        ),
        "cut_short": column.TextColumn(
            "Time",
            width=80,
            help="It ended as its time was used up: no other is pooled with it.",
        ),
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


def _costs() -> dict[str, Any]:
    column = st.column_config
    return {
        "steps": column.NumberColumn("Steps", width=65),
        "seconds": column.NumberColumn("Time (s)", format="%.1f", width=75),
        "seconds_to_target": column.NumberColumn(
            "To target (s)", format="%.1f", width=90, help="Time until the target was reached."
        ),
        "still_rising": column.Column(
            "Rising",
            width=65,
            help="The validation curve still rose when the training was ended: with more steps the "
            "number would be another.",
        ),
        "steps_to_90": column.NumberColumn(
            "To 90 %", width=75, help="Steps until 90 % of the way to the best value."
        ),
        "steps_to_90_mean": column.NumberColumn(
            "To 90 %", format="%.0f", width=75, help="Steps until 90 % of the way: mean."
        ),
        "steps_to_90_std": column.NumberColumn(
            "± steps", format="%.0f", width=75, help="Standard deviation over the runs."
        ),
        "n": column.NumberColumn("Runs", width=55, help="Complete runs of this configuration."),
        "seconds_mean": column.NumberColumn("Time (s)", format="%.1f", width=75, help="Mean."),
        "diverged": column.NumberColumn("Diverged", width=75, help="Runs that diverged."),
    }


def _metrics() -> dict[str, Any]:
    """Returns how metrics and their statistics are shown: each in the unit of its metric."""
    found = {name: units.column(metric) for name, metric in metrics().items()}
    for name, metric in metrics().items():
        found |= {f"{name}_{what}": units.column(metric, what) for what in ("mean", *SPREAD)}
    return found
