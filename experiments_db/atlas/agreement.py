"""Whether a probe says what a training finds: rank correlations over layers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ttr_core.lab import PACE, PROBES, TASKS, Metric

from ..errors import WrongFile
from ..store.files import absolute
from ..store.records import COMPLETE, USED_UP
from .functions import first_of_each
from .known import Atlas

NEEDED = ("spec", "frame", "task", "status", "metrics", "config")
"""Columns that a file of runs has."""

LAST = [metric for metric in PACE if metric.name.startswith("steps")][-1]
"""Steps until a training is as good as done."""

RESAMPLES = 2000
OUTER = 0.025
"""The share of resamples that is left out on each side: what stays is a 95 % interval."""

LEAST = 5
"""Layers below which nothing is said."""


@dataclass(frozen=True)
class Agreement:
    """A rank correlation over layers, with its interval by the bootstrap over them.

    Args:
        runs: what was trained: task, settings that are not the task's own, frame.
        probe: the metric of a probe.
        training: what a training ended with.
        rho: Spearman's coefficient; positive where what is better in one is better in the other.
        low: lower end of the 95 % interval.
        high: upper end.
        n: layers.
    """

    runs: str
    probe: str
    training: str
    rho: float
    low: float
    high: float
    n: int


def agreement(
    pairs: pd.DataFrame, probe: str, training: str, sign: int = 1, runs: str = ""
) -> Agreement | None:
    """Returns how a column of a table agrees with another in the order of its rows.

    Args:
        pairs: a row per layer.
        probe: a column.
        training: another.
        sign: -1 where less of exactly one of them is better.
        runs: what was trained.

    Returns:
        None where fewer than `LEAST` rows have both.

    Example:
        >>> table = pd.DataFrame({"held": [1, 2, 3, 4, 5, 6], "steps": [60, 50, 40, 30, 20, 10]})
        >>> agreement(table, "held", "steps", sign=-1).rho
        1.0
    """
    both = pairs[[probe, training]].astype(float).dropna()
    if len(both) < LEAST or both.nunique().min() < 2:
        return None
    x, y = both[probe].to_numpy(), sign * both[training].to_numpy()
    source = np.random.default_rng(0)
    drawn = source.integers(len(both), size=(RESAMPLES, len(both)))
    with np.errstate(invalid="ignore"):  # a resample may be all alike: its correlation is NaN
        low, high = np.nanquantile(_spearman(x[drawn], y[drawn]), (OUTER, 1 - OUTER))
    rho = float(_spearman(x[None], y[None])[0])
    return Agreement(runs, probe, training, rho, float(low), float(high), len(both))


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the correlation of ranks in each row; NaN where one side is all alike."""
    ranks = [pd.DataFrame(side).rank(axis=1).to_numpy() for side in (x, y)]
    first, second = (side - side.mean(axis=1, keepdims=True) for side in ranks)
    norms = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    found: np.ndarray = (first * second).sum(axis=1) / norms
    return found


def agreements(file: Path, atlas: Atlas) -> list[Agreement]:
    """Returns how every number of the probes agrees with trainings, the strongest first.

    A function is one point: the mean over its runs. A share of the way that a training never got
    to counts as more steps than any other took.

    Args:
        file: runs as ``runs --output FILE.parquet`` writes them.
        atlas: the numbers of the probes.

    Raises:
        StoreError: the file holds no such runs.
    """
    numbers = [metric for probe in PROBES.values() for metric in probe.metrics]
    found = [
        one
        for runs, table, trained in _trainings(_runs(file))
        for training in trained
        for number in numbers
        if number.name in atlas.table
        if (one := _agreement(runs, table, atlas, number, training)) is not None
    ]
    return sorted(found, key=lambda one: (one.runs, one.training, -abs(one.rho)))


def _agreement(
    runs: str, table: pd.DataFrame, atlas: Atlas, number: Metric, training: Metric
) -> Agreement | None:
    both = table.join(atlas.table[[number.name]], how="inner")
    sign = 1 if number.rises == training.rises else -1
    return agreement(both, number.name, training.name, sign, runs)


def _runs(file: Path) -> pd.DataFrame:
    """Returns the complete runs of trainings in a file, with what they were and ended with."""
    needs = "it needs runs as `runs --output FILE.parquet` writes them"
    try:
        table = pd.read_parquet(absolute(file))
    except FileNotFoundError:
        raise WrongFile(f"There is no file {file} to read trainings from: {needs}.") from None
    except (OSError, ValueError) as error:
        raise WrongFile(f"{file} is no Parquet file: {needs}.") from error
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise WrongFile(f"{file} has no column {', '.join(missing)}: {needs}.")
    trained = [name for name, task in TASKS.items() if task.trained]
    kept = table[table["task"].isin(trained) & table["status"].isin(COMPLETE)]
    if "message" in kept:  # what its time cut short has not learned what it would have
        kept = kept[~kept["message"].fillna("").str.match(USED_UP)]
    if kept.empty:
        raise WrongFile(f"{file} holds no training that ended.")
    try:
        said = [_said(row) for row in kept[["task", "frame", "config"]].itertuples(index=False)]
        ended = [dict(json.loads(text)) for text in kept["metrics"]]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise WrongFile(f"{file} has a config or metrics that are none: {needs}.") from error
    return kept.assign(setting=said, ended=ended)


def _trainings(runs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, list[Metric]]]:
    """Yields what was trained, the mean of each function, and the metrics of it."""
    firsts = first_of_each()
    runs = runs.assign(function=[firsts.get(spec) for spec in runs["spec"]])
    for setting, some in runs.dropna(subset=["function"]).groupby("setting"):
        task = TASKS[some["task"].iloc[0]]
        trained = [task.main(), LAST]
        values = pd.DataFrame(
            [{m.name: ended.get(m.name) for m in trained} for ended in some["ended"]],
            dtype=float,
        )
        values[LAST.name] = values[LAST.name].fillna(math.inf)
        yield str(setting), values.groupby(some["function"].to_numpy()).mean(), trained


def _said(row: Any) -> str:
    """Returns what was trained in words."""
    given, defaults = json.loads(row.config)["task"], TASKS[row.task]().settings()
    changed = [f"{k}={v}" for k, v in given.items() if k != "name" and v != defaults.get(k)]
    return " ".join((row.task, *changed, f"({row.frame} frame)"))
