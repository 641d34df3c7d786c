"""Searches as the store knows them: how far the runs of a tag have come, and what they reached.

What a plan still asks for stands in the plan. What was done follows from runs alone: those with
the fewest steps are the first rung, in the frame that is searched in; the seeds on which a cell is
tried at several rates there are the search's. More steps on them are the next rungs, other keys on
them bring published cells to the state of a new one, other options are sampled, other frames tune
rates, and other seeds are fresh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

import ttr_core as ttr
from ttr_core.lab import PACKED, VALIDATION, Metric

from ..store import Store
from ..store.driver import folder_of, held_in
from ..store.records import COMPLETE
from . import measures
from .analyzing import front
from .filters import Conditions
from .relation import put_to

PROTOCOL = "search"

RUNG, REFIT = "rung", "published cells at the states of the finalists"
SAMPLED, TUNING, FINAL = "continuous settings of the finals", "tuning in all frames", "finals"
STEPS, RATE, KEYS = "train.steps", "train.lr", "model.key_dim"
SETTINGS = {STEPS: "BIGINT", RATE: "DOUBLE", KEYS: "BIGINT"}
CPU = "cpu_seconds"
NEWEST = "ORDER BY started_at DESC, run_id DESC"
COLUMNS = (
    "run_id", "status", "spec", "frame", "task", "seed", "driver", "config_hash", "config_group",
    "started_at", "state_size", "steps",
)  # fmt: skip


@dataclass(frozen=True)
class Searched:
    """How far a search has come.

    Args:
        stage: what its latest runs are for.
        task: name of the task.
        frame: the one that is searched in.
        counts: runs by effective status; one that was interrupted and ran anew counts once.
        rungs: a row for each rung: steps, cells, rates (of each cell), seeds, runs (that ended),
            running, failed, best (cell), mean (its score).
        cells: a row for each cell of the last rung, or that came to rest before, the best first,
            at its best rate, by the validation set; ``front`` where no smaller state reaches as
            much.
        finals: a row for each frame, cell and ``key_dim`` (0 for the model's) on fresh seeds, by
            the test set; ``gain`` of what is new over the best published one there at no larger
            state, by either count.
        cpu_seconds: of the processor, of all runs that ended.
        driver: the command that made the newest runs, where it is still there, on this host.
    """

    stage: str
    task: str
    frame: str
    counts: dict[str, int]
    rungs: pd.DataFrame
    cells: pd.DataFrame
    finals: pd.DataFrame
    cpu_seconds: float
    driver: str

    @property
    def running(self) -> bool:
        """Whether it is under way: a run of it, or what stands between two of its runs."""
        return bool(self.driver) or self.counts.get("running", 0) > 0


def searches(store: Store) -> list[str]:
    """Returns the tags of searches, the newest first.

    Raises:
        StoreError: the store cannot be read.
    """
    sql = """
        SELECT tag FROM (
            SELECT unnest(tags) AS tag, started_at FROM run_rows
            WHERE protocol = $protocol AND NOT archived
        ) GROUP BY tag ORDER BY max(started_at) DESC, tag
    """
    with store.open() as connection:
        return [tag for (tag,) in connection.execute(sql, {"protocol": PROTOCOL}).fetchall()]


def searched(store: Store, tag: str) -> Searched | None:
    """Returns how far the search with a tag has come, or None where it has no run.

    Where several searches share a tag, that on the task of the newest run is the one.

    Args:
        store: where its runs are.
        tag: one of its tags.

    Raises:
        StoreError: the store cannot be read, or the task is unknown to this program.
    """
    table = _read(store, tag)
    if table.empty:
        return None
    task = table["task"].iloc[0]
    metric = measures.main_of(task)
    rows = _placed(_scored(table, metric))
    climbed = rows[rows["part"] == RUNG]
    rungs = _rungs(climbed)
    counts = rows["status"].value_counts()
    newest = str(table["driver"].iloc[0])
    return Searched(
        _stage(rows, rungs),
        task,
        climbed["frame"].iloc[0],
        {str(name): int(n) for name, n in counts.items()},
        rungs,
        _on_front(_best_of_cells(_last_told(climbed))),
        _finals(rows[rows["part"] == FINAL]),
        float(rows["cpu_seconds"].sum()),
        newest if newest in held_in(folder_of(store.path)) else "",
    )


def _read(store: Store, tag: str) -> pd.DataFrame:
    """Returns all runs with a tag on the task of the newest, the newest first.

    Of each the columns, settings and metrics that are asked for here: all that there is of a run
    is a hundred times longer, and a search may have ten thousands of them. Archived ones are among
    them, since the search counts them.
    """
    where = Conditions(protocol=PROTOCOL, archived=True).where()
    where.add("run_id IN (SELECT run_id FROM tags WHERE tag = {})", tag)
    newest = f"SELECT task, config_group FROM shown {where} {NEWEST} LIMIT 1"
    with store.open() as connection:
        found = put_to(connection, store, newest, where.values).fetchone()
        if found is None:
            return pd.DataFrame()
        name = measures.main_of(found[0]).name
        told = {"validation": VALIDATION + name, "test": name, "packed": PACKED, CPU: CPU}
        measured = dict.fromkeys(told, "DOUBLE")
        sql = f"""
            SELECT found.* EXCLUDE (told), {_numbers("told", measured)},
                {_numbers("asked", SETTINGS)}
            FROM (
                SELECT {", ".join(COLUMNS)}, metrics ->> $told::VARCHAR[] AS told FROM shown {where}
            ) AS found
            JOIN (
                SELECT config_group, config ->> $asked::VARCHAR[] AS asked FROM configs
                WHERE (config ->> '$.task') = (
                    SELECT config ->> '$.task' FROM configs WHERE config_group = $newest
                )
            ) AS configs USING (config_group)
            {NEWEST}
        """
        given = {"told": [f"$.{x}" for x in told.values()], "asked": [f"$.{x}" for x in SETTINGS]}
        values = {**where.values, **given, "newest": found[1]}
        return put_to(connection, store, sql, values).df()


def _numbers(texts: str, kinds: Mapping[str, str]) -> str:
    """Returns the SQL of numbers that stand as texts in a list: name -> kind, in order."""
    return ", ".join(
        f'TRY_CAST({texts}[{place}] AS {kind}) AS "{name}"'
        for place, (name, kind) in enumerate(kinds.items(), 1)
    )


def _scored(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Returns a row for each configuration, with its scores; what diverged or failed has 0."""
    well = table["status"] == "finished"

    def scores(name: str) -> pd.Series:
        return table[name].where(well).map(metric.score).fillna(0.0)

    rows = table.assign(
        validation=scores("validation"),
        test=scores("test"),
        cpu_seconds=table["cpu_seconds"].fillna(0.0),
        state=table["state_size"].astype(float),
        ended=table["status"].isin([*COMPLETE, "failed"]),
        order=table["status"].map({"interrupted": 2, "running": 1}).fillna(0),
    )
    return rows.sort_values(["order", "started_at"]).drop_duplicates("config_hash")


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds the part of the search that each run belongs to."""
    first = rows[rows[STEPS] == rows[STEPS].min()]
    frame = first.sort_values(["started_at", "run_id"])["frame"].iloc[0]
    first = first[first["frame"] == frame]
    rates = first.groupby(["seed", "spec"])[RATE].nunique()
    seeds = set(rates[rates > 1].reset_index()["seed"]) or set(first["seed"])
    known = rows["seed"].isin(seeds)
    own = first.sort_values(["started_at", "run_id"]).drop_duplicates("spec")  # others came later
    keys = set(zip(own["spec"], own[KEYS], strict=True))
    usual = [key in keys for key in zip(rows["spec"], rows[KEYS], strict=True)]
    part = pd.Series(RUNG, index=rows.index).where(usual, REFIT)
    part = part.where(rows["spec"].isin(first["spec"]), SAMPLED)
    part = part.where(rows["frame"] == frame, TUNING)
    return rows.assign(part=part.where(known, FINAL))


def _stage(rows: pd.DataFrame, rungs: pd.DataFrame) -> str:
    parts = set(rows["part"])
    if later := [part for part in (FINAL, TUNING, SAMPLED, REFIT) if part in parts]:
        return later[0]
    return f"rung {len(rungs)}, {rungs['steps'].iloc[-1]:,} steps"


def _rungs(rows: pd.DataFrame) -> pd.DataFrame:
    found = []
    for steps, runs in rows.groupby(STEPS):
        best = _best_of_cells(runs)
        found.append(
            {
                "steps": int(steps),
                "cells": runs["spec"].nunique(),
                "rates": int(runs.groupby("spec")[RATE].nunique().max()),
                "seeds": runs["seed"].nunique(),
                "runs": int(runs["ended"].sum()),
                "running": int((runs["status"] == "running").sum()),
                "failed": int((runs["status"] == "failed").sum()),
                "best": best["spec"].iloc[0] if len(best) else "",
                "mean": best["mean"].iloc[0] if len(best) else float("nan"),
            }
        )
    return pd.DataFrame(found)


def _last_told(rungs: pd.DataFrame) -> pd.DataFrame:
    """Returns the runs of the last rung, and those of earlier ones that stand for such.

    What came to rest before its steps were used up is not trained again.
    """
    last = rungs[STEPS] == rungs[STEPS].max()
    at_rest = (rungs["status"] == "finished") & (rungs["steps"] < rungs[STEPS])
    told = rungs[last | at_rest].sort_values(STEPS, ascending=False, kind="stable")
    return told.drop_duplicates(["spec", RATE, "seed"])


def _best_of_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns a row for each cell at its best rate, the best first."""
    ended = runs[runs["ended"]]
    by = ended.groupby(["spec", RATE])
    means = by.agg(
        mean=("validation", "mean"), n=("seed", "nunique"), state=("state", "max"),
        packed=("packed", "max"),
    ).reset_index()  # fmt: skip
    means = means.sort_values("mean", ascending=False, kind="stable").drop_duplicates("spec")
    return _known(means.rename(columns={RATE: "rate"})).reset_index(drop=True)


def _on_front(cells: pd.DataFrame) -> pd.DataFrame:
    best = front(cells[cells["state"].notna()], "state", Metric("score"))
    return cells.assign(front=cells["spec"].isin(best["spec"]))


def _finals(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns a row for each frame and cell on fresh seeds, the best of a frame first."""
    ended = runs[runs["ended"]]
    found = ended.groupby(["frame", "spec", KEYS, RATE]).agg(
        n=("seed", "nunique"), mean=("test", "mean"), std=("test", "std"),
        state=("state", "max"), packed=("packed", "max"),
    ).reset_index()  # fmt: skip
    found = found.sort_values(["frame", "mean"], ascending=[True, False], kind="stable")
    found = _known(found.rename(columns={RATE: "rate", KEYS: "key_dim"})).reset_index(drop=True)
    return found.assign(gain=[_gain(found, one) for _, one in found.iterrows()])


def _gain(finals: pd.DataFrame, one: pd.Series) -> float:
    if one["name"]:
        return math.nan
    rivals = finals[(finals["frame"] == one["frame"]) & (finals["name"] != "")]
    small = (rivals["state"] <= one["state"]) | (rivals["packed"] <= one["packed"])
    return float(one["mean"] - rivals[small]["mean"].max())


def _known(table: pd.DataFrame) -> pd.DataFrame:
    """Adds what each cell is called in the literature; nothing where it is new."""
    return table.assign(name=[_name(text) for text in table["spec"]])


@lru_cache(maxsize=10_000)
def _name(text: str) -> str:
    """Returns what the cell of a spec is called in the literature."""
    return ", ".join(ttr.cell(text).known_as)
