"""Runs or configurations side by side: means over seeds with their errors, and what differs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ttr_core.lab import TASKS, Metric

from ..store import Store
from ..store.records import COMPLETE
from . import pooling, queries
from .filters import Conditions, Where

MOST = 8
SAME = ("task", "protocol", "frame", "device", "superseded", "cut_short")
"""What has to be the same in all that is compared, or is said beside it."""
OWN_COLUMNS = ("model.frame", "model.layers", "train.protocol")  # stand in `SAME` already


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Args:
        asked: the run by which it was asked for.
        label: its name, of no other side.
        runs: its runs, a row each, with their settings.
    """

    asked: str
    label: str
    runs: pd.DataFrame


def sides(
    store: Store, asked: Sequence[str], over_seeds: bool = True
) -> tuple[list[Side], list[str]]:
    """Returns the sides of a comparison, and the ids of which the store has no run.

    Args:
        store: where the runs are.
        asked: ids of runs; the first `MOST` of them count.
        over_seeds: each stands for the complete runs of its configuration, archived ones left out,
            of those that repeat one another the newest, one that its time cut short for such alone;
            else for itself.

    Raises:
        StoreError: the store cannot be read.
    """
    wanted = list(dict.fromkeys(asked))[:MOST]
    found = queries.runs(store, Conditions(ids=wanted, archived=True), flat=True, limit=MOST)
    rows = found.set_index("run_id", drop=False)
    missing = [one for one in wanted if one not in rows.index]
    named = [one for one in wanted if one in rows.index]
    first = rows.loc[named]
    counted = first["series"]
    if over_seeds and named:
        pools = pooling.pools(store)
        counted = first["series"].replace(pools)
        first = first[~pd.DataFrame({"of": counted, "cut": first["cut_short"]}).duplicated()]
        pooled = _complete(store, set(counted), pools)
    made = []
    for run_id, series in counted[first.index].items():
        alone = rows.loc[[run_id]]
        mine = alone
        if over_seeds:
            alike = pooled["cut_short"] == bool(alone["cut_short"].iloc[0])
            mine = pooled[(pooled["counted"] == series) & alike]
        made.append((str(run_id), mine if len(mine) else alone))
    names = [str(runs["layer"].fillna(runs["spec"]).iloc[0]) for _, runs in made]
    return [
        Side(run_id, name if names.count(name) == 1 else f"{name} · {run_id[-4:]}", runs)
        for name, (run_id, runs) in zip(names, made, strict=True)
    ], missing


def _complete(store: Store, counted: set[str], pools: Mapping[str, str]) -> pd.DataFrame:
    """Returns the complete runs of some configurations, of repeated ones the newest.

    The first of each are those whose settings say the rate; ``counted`` is the series in which a
    run counts.
    """
    where = Where()
    where.one_of("series", [*counted, *(one for one, of in pools.items() if of in counted)])
    where.among("status", COMPLETE)
    where.add("NOT archived")
    table = queries.flattened(queries.selected(store, where))
    table = table.assign(counted=table["series"].replace(dict(pools)))
    repeated = table["config_hash"].where(
        ~table["series"].isin(pools), table["counted"] + " " + table["seed"].astype(str)
    )
    kept = table.assign(chose=table["series"] != table["counted"], repeated=repeated)
    kept = kept.sort_values("run_id").drop_duplicates(["repeated", "cut_short"], keep="last")
    return kept.sort_values(["chose", "run_id"]).drop(columns=["chose", "repeated"])


def differing(compared: Sequence[Side]) -> pd.DataFrame:
    """Returns only what differs: a row per setting, a column per side."""
    firsts = pd.DataFrame([side.runs.iloc[0] for side in compared])
    settings = [str(n) for n in firsts if str(n).partition(".")[0] in queries.SETTINGS]
    own = [n for n in settings if "." in n and n not in OWN_COLUMNS]
    names = ["layer", "spec", *SAME, *own]
    written = {
        str(n): ["–" if pd.isna(x) else _told(x) for x in firsts[n]] for n in names if n in firsts
    }
    kept = {name: texts for name, texts in written.items() if len(set(texts)) > 1}
    labels = [side.label for side in compared]
    return pd.DataFrame(list(kept.values()), index=list(kept), columns=labels)


def _told(value: object) -> str:
    """Returns a setting in words, a number without what adding has left behind."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def unlike(compared: Sequence[Side]) -> list[str]:
    """Returns a sentence for each thing that makes a comparison unequal."""
    said = []
    for name in SAME:
        values = {str(side.runs[name].iloc[0]) for side in compared}
        if len(values) > 1 and name == "superseded":
            said.append("Some are superseded: something in them computes otherwise today.")
        elif len(values) > 1 and name == "cut_short":
            said.append("Some were ended as their time was used up, others not.")
        elif len(values) > 1:
            said.append(f"Not the same {name}: {', '.join(sorted(values))}.")
    return said


def judging_metric(compared: Sequence[Side]) -> Metric | None:
    """Returns the metric by which the sides are judged, where it is one and the same."""
    tasks = {str(task) for side in compared for task in side.runs["task"]}
    return TASKS[tasks.pop()].main() if len(tasks) == 1 and tasks <= {*TASKS} else None


def summary(compared: Sequence[Side], metric: Metric, baseline: str) -> pd.DataFrame:
    """Returns a row per side: n, mean, standard error, and the difference to the baseline.

    The error of a mean is that of the sample over the root of n; of a difference, the root of the
    sum of both squares. A single run has none. What is not finite is left out, so that ``n`` may be
    less than the runs of a side, which ``runs`` counts.

    Args:
        compared: the sides.
        metric: what is compared.
        baseline: the label of the side to which the others are compared.
    """
    rows = {}
    for side in compared:
        values = side.runs[metric.name].dropna().astype(float)
        rows[side.label] = (len(side.runs), len(values), values.mean(), _error(values))
    names = ["runs", "n", "mean", "se"]
    table = pd.DataFrame(list(rows.values()), index=list(rows), columns=names)
    base = table.loc[baseline]
    table["difference"] = table["mean"] - base["mean"]
    table["difference_se"] = (table["se"] ** 2 + base["se"] ** 2) ** 0.5
    table.loc[baseline, ["difference", "difference_se"]] = math.nan
    return table


def _error(values: pd.Series) -> float:
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


def mean_curves(store: Store, compared: Sequence[Side], smoothing: float = 0.0) -> pd.DataFrame:
    """Returns curves of the sides: the mean over their runs, where all of these have a point.

    Where a run ended before the others, a mean over the rest would jump and mean something else.

    Args:
        store: where the curves are.
        compared: the sides.
        smoothing: how much of the mean so far stays at each point, from 0 (nothing) to below 1.

    Returns:
        Columns side, name, step, n, value, low and high (one standard error), smooth.
    """
    label = {run_id: side.label for side in compared for run_id in side.runs["run_id"]}
    data = queries.curves(store, list(label))
    data["side"] = data["run_id"].map(label)
    count = data.groupby(["side", "name"])["run_id"].nunique().rename("of")
    keys = ["side", "name", "step"]
    table = data.groupby(keys, as_index=False)["value"].agg(["mean", "std", "count"])
    table = table.join(count, on=["side", "name"])
    table = table[table["count"] == table["of"]].rename(columns={"mean": "value", "count": "n"})
    error = (table["std"] / table["n"] ** 0.5).fillna(0.0)
    table = table.assign(low=table["value"] - error, high=table["value"] + error)
    smooth = [one.ewm(alpha=1 - smoothing).mean() for _, one in table.groupby(keys[:2])["value"]]
    table["smooth"] = pd.concat(smooth) if smooth else table["value"]
    return table[["side", "name", "step", "n", "value", "low", "high", "smooth"]]
