"""What a sweep found: one row per layer and setting, over seeds, with its learning-rate window.

The rate is chosen by the task's main metric on the validation set; what is reported is measured on
the test set. Rates are compared only where each had the same training.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ttr_core.lab import PACKED, TASKS, VALIDATION

from ..read import measures
from ..read.queries import flattened
from ..store import Store
from . import questions
from .expansion import Planned

WORKS = 0.95
"""A learning rate works if its mean validation score is this share of the best rate's.

A score is a share of the way from the worst to the best value of the task's main metric; that of an
accuracy is the accuracy.
"""

LEARNS = 0.1
"""No rate works where even the best stays below this: the best of failures tells nothing."""

COLUMNS = ("layer", "task", "setting", "seeds", "diverged", "lr", "window", "validation", "*")
"""What a terminal shows; the star stands for the main metrics and their deviations."""

FILE_COLUMNS = (
    "layer", "task", "setting", "runs", "seeds", "diverged", "lr", "lr_low", "lr_high",
    "rates_good", "rates_tried", "lrs_tried", "validation", "*", "state_size", "packed_state_size",
    "parameters", "steps", "seconds", "cpu_seconds",
)  # fmt: skip
"""What a file holds, before one column per setting; the star stands for every metric of its tasks
and their deviations."""

WHOLE_NUMBERS = (
    "runs", "seeds", "diverged", "rates_good", "rates_tried", "state_size",
    "packed_state_size", "parameters", "steps",
)  # fmt: skip
READ_BY_PEOPLE = (".md", ".tex")
"""Formats without the settings: those that vary stand in ``task`` and ``setting``."""

Rates = dict[float, list[float]]
Member = tuple[Planned, dict[str, Any]]


def rows(store: Store, runs: Iterable[Planned]) -> list[dict[str, Any]]:
    """Returns one row per configuration of a plan that has results, in the plan's order.

    Runs that differ in the seed, or in a fixed learning rate, share a row; of these rates the row
    tells the best one. What chose its own rate has a row of its own.
    """
    planned = list(runs)
    found = questions.results(store, [run.config_hash for run in planned])
    groups: dict[str, list[Member]] = {}
    for run in planned:
        if run.config_hash in found:
            groups.setdefault(_alike(run), []).append((run, found[run.config_hash]))
    return [_row(members) for members in groups.values()]


def window(rates: Rates) -> dict[str, Any] | None:
    """Returns the window of learning rates that work, or None if fewer than two were compared.

    Args:
        rates: learning rate -> scores on the validation set, one for each seed.

    Example:
        >>> window({0.001: [0.5], 0.01: [1.0], 0.1: [0.97]})
        {'best': 0.01, 'low': 0.01, 'high': 0.1, 'rates': 2, 'tried': 3}
        >>> window({0.01: [0.05], 0.1: [0.0]})
        {'best': 0.01, 'low': None, 'high': None, 'rates': 0, 'tried': 2}
    """
    if len(rates) < 2:
        return None
    means = {rate: statistics.fmean(values) for rate, values in sorted(rates.items())}
    best = max(means, key=lambda rate: means[rate])
    good = [rate for rate, mean in means.items() if mean >= max(LEARNS, WORKS * means[best])]
    low, high = (good[0], good[-1]) if good else (None, None)
    return {"best": best, "low": low, "high": high, "rates": len(good), "tried": len(means)}


def table(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows as a terminal shows them, with the window in one cell."""
    return [_readable(row) for row in found]


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    main = TASKS[row["config"]["task"]["name"]].main()
    told = {name: measures.with_unit(name, value) for name, value in row.items()}
    if row["validation"] is not None:
        told["validation"] = main.shown(row["validation"])
    return {**told, "window": _in_words(row["window"])}


def terminal_columns(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the columns of `table` that hold anything, in order."""
    names = _with_metrics(COLUMNS, measures.mains())
    return [name for name in names if any(row.get(name) not in (None, "") for row in found)]


def file_columns(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the columns of `frame`, before those of the settings."""
    tasks = {row["config"]["task"]["name"] for row in found}
    declared = {one.name for name in tasks for one in TASKS[name].metrics}
    return _with_metrics(FILE_COLUMNS, measures.present(declared))


def _with_metrics(asked: Sequence[str], metrics: Iterable[str]) -> list[str]:
    starred = [name for metric in metrics for name in (metric, f"{metric}_std")]
    return [name for one in asked for name in (starred if one == "*" else [one])]


def frame(found: Iterable[Mapping[str, Any]], suffix: str) -> pd.DataFrame:
    """Returns rows as the table of a file: flat, with one column per setting.

    Args:
        found: what `rows` returns.
        suffix: the file's, such as ``.csv``; the formats of `READ_BY_PEOPLE` have no settings.
    """
    flat = [{**row, **_flat(row["window"])} for row in found]
    table = pd.DataFrame(flat, columns=file_columns(flat)).astype(
        dict.fromkeys(WHOLE_NUMBERS, "Int64")
    )
    if suffix in READ_BY_PEOPLE or table.empty:
        return table
    configs = [json.dumps(row["config"]) for row in flat]
    whole = flattened(table.assign(config=configs, config_group=range(len(flat))))
    return whole.drop(columns=["config", "config_group"])


def _flat(found: Mapping[str, Any] | None) -> dict[str, Any]:
    names = {"lr_low": "low", "lr_high": "high", "rates_good": "rates", "rates_tried": "tried"}
    return {name: found[key] if found else None for name, key in names.items()}


def _shared(run: Planned) -> dict[str, Any]:
    """Returns what runs of one row share: everything but the seed and the learning rate."""
    shared = {name: value for name, value in run.config.items() if name != "seed"}
    train = {name: value for name, value in run.config["train"].items() if name != "lr"}
    return {**shared, "train": train}


def _alike(run: Planned) -> str:
    return json.dumps([_shared(run), _chose(run)], sort_keys=True)


def _chose(run: Planned) -> bool:
    """Says whether a run has chosen its own learning rate."""
    return run.experiment.task.trained and run.experiment.train.lr == "auto"


def _row(members: list[Member]) -> dict[str, Any]:
    first = members[0][0]
    rates = _rates(members)
    spread = window(rates)
    counted = _chosen(members, None if spread is None else spread["best"])
    row: dict[str, Any] = {"layer": first.layer, "task": first.task}
    row["setting"] = _without_rate(first.setting)
    row["runs"] = len(members)
    row["seeds"] = len({run.experiment.seed for run, _ in counted})
    row["diverged"] = sum(result["status"] == "diverged" for _, result in counted)
    row["lr"] = spread["best"] if spread else counted[0][1]["lr"]
    row["window"] = spread
    row["lrs_tried"] = sorted({rate for _, result in members for rate in result["lrs_tried"]})
    task = first.experiment.task
    row["validation"] = _mean(_validated(run, result) for run, result in counted)
    for name in (metric.name for metric in task.metrics):
        values = [result["metrics"].get(name) for _, result in counted]
        row[name], row[f"{name}_std"] = _mean(values), _std(values)
    return {**row, **_cost([result for _, result in counted]), "config": _shared(first)}


def _cost(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the sizes of the runs that count, and their mean steps and times."""
    steps = _mean(result["steps"] for result in results)
    return {
        **{name: results[0][name] for name in ("state_size", "parameters")},
        PACKED: results[0]["metrics"].get(PACKED),
        "steps": None if steps is None else round(steps),
        "seconds": _mean(result["seconds"] for result in results),
        "cpu_seconds": _mean(result["metrics"].get("cpu_seconds") for result in results),
    }


def _rates(members: list[Member]) -> Rates:
    """Returns the scores on validation by learning rate; a diverged training counts as 0."""
    rates: Rates = {}
    for run, result in members:
        train, metric = run.experiment.train, run.experiment.task.main()
        if not run.experiment.task.trained:
            continue
        if train.lr != "auto":
            value = None if result["status"] == "diverged" else _validated(run, result)
            rates.setdefault(float(train.lr), []).append(metric.score(value) or 0.0)
        elif train.protocol == "standard":
            for tried in result["rates"] or []:
                value = None if tried["diverged"] else tried[metric.name]
                rates.setdefault(float(tried["lr"]), []).append(metric.score(value) or 0.0)
    return rates


def _validated(run: Planned, result: Mapping[str, Any]) -> float | None:
    """Returns the last value of the main metric on the validation set."""
    value = result["metrics"].get(VALIDATION + run.experiment.task.main().name)
    return None if value is None else float(value)


def _chosen(members: list[Member], best: float | None) -> list[Member]:
    """Returns, of runs at fixed rates, those at the best one; a run that chose its own counts."""
    if best is None or _chose(members[0][0]):
        return members
    return [pair for pair in members if float(pair[0].experiment.train.lr) == best]


def _without_rate(setting: str) -> str:
    parts = [part for part in setting.split() if not part.startswith("lr=") or part == "lr=auto"]
    return " ".join(parts)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _std(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None


def _in_words(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if not found["rates"]:
        return f"none of {found['tried']}"
    return f"{found['low']:.2g} to {found['high']:.2g} ({found['rates']} of {found['tried']})"
