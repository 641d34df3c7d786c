"""What a sweep found: one row per layer and setting, over seeds, with its learning-rate window.

The rate is chosen by the task's main metric on the validation set; what is reported is measured on
the test set. Rates are compared only where each had the same training.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ttr_core.lab import AFTER_FIRST_ROUND, PACE, PACKED, STILL_RISING, TASKS, VALIDATION

from ..read import measures
from ..read.queries import flattened
from ..store import Store
from . import questions
from .expansion import Planned, times_of

WORKS = 0.95
"""A learning rate works if its mean validation score is this share of the best rate's.

A score is a share of the way from the worst to the best value of the task's main metric; that of an
accuracy is the accuracy.
"""

LEARNS = 0.1
"""No rate works where even the best stays below this: the best of failures tells nothing."""

COLUMNS = (
    "layer", "task", "setting", "seeds", "diverged", "still_rising", "lr", "window", "validation",
    "*", "steps_to_90",
)  # fmt: skip
"""What a terminal shows; the star stands for the main metrics and their deviations."""

FILE_COLUMNS = (
    "layer", "task", "setting", "device", "runs", "seeds", "diverged", "lr", "lr_low", "lr_high",
    "rates_good", "rates_tried", "lrs_tried", "validation", "*", "state_size", "packed_state_size",
    "parameters", "steps", "seconds", "cpu_seconds", "still_rising", *(one.name for one in PACE),
)  # fmt: skip
"""What a file holds, before one column per setting; the star stands for every metric of its tasks
and their deviations."""

WHOLE_NUMBERS = (
    "runs", "seeds", "diverged", "rates_good", "rates_tried", "state_size",
    "packed_state_size", "parameters", "steps", STILL_RISING,
)  # fmt: skip
READ_BY_PEOPLE = (".md", ".tex", ".html")
"""Formats without the settings: those that vary stand in ``task`` and ``setting``."""

SHOWN = ("std",)
SPREAD = ("std", "median", "min", "max")
"""What is told of a metric over seeds beside its mean: in a terminal, in a file."""

Rates = dict[float, list[float]]
Member = tuple[Planned, dict[str, Any]]


def rows(store: Store, runs: Iterable[Planned]) -> list[dict[str, Any]]:
    """Returns one row per configuration of a plan that has results, in the plan's order.

    Runs that differ in the seed, or in a fixed learning rate, share a row; of these rates the row
    tells the best one. What chose its own rate has a row of its own.
    """
    planned = list(runs)
    found = questions.results(store, times_of(planned))
    groups: dict[str, list[Member]] = {}
    for run in planned:
        if run.config_hash in found:
            groups.setdefault(_alike(run), []).append((run, found[run.config_hash]))
    return [_row(members) for members in groups.values()]


def window(rates: Rates, kept: Collection[float] = ()) -> dict[str, Any] | None:
    """Returns the window of learning rates that work, or None if fewer than two were compared.

    Args:
        rates: learning rate -> scores on the validation set, one for each seed.
        kept: rates that work, whatever their scores were at the time.

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
    enough = max(LEARNS, WORKS * means[best])
    good = [rate for rate, mean in means.items() if mean >= enough or rate in kept]
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
    names = _with_metrics(COLUMNS, measures.mains(), SHOWN)
    return [name for name in names if any(row.get(name) not in (None, "") for row in found)]


def file_columns(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the columns of `frame`, before those of the settings."""
    tasks = {row["config"]["task"]["name"] for row in found}
    declared = {one.name for name in tasks for one in TASKS[name].metrics}
    return _with_metrics(FILE_COLUMNS, measures.present(declared), SPREAD)


def _with_metrics(
    asked: Sequence[str], metrics: Iterable[str], statistics: Sequence[str]
) -> list[str]:
    ends = ("", *(f"_{name}" for name in statistics))
    starred = [f"{metric}{end}" for metric in metrics for end in ends]
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
    shared = {**_shared(run), "device": ""}  # a plan that leaves it open may have runs of several
    return json.dumps([shared, _chose(run) or run.leader is not None], sort_keys=True)


def _chose(run: Planned) -> bool:
    """Says whether a run has chosen its own learning rate."""
    return run.experiment.task.trained and run.experiment.train.lr == "auto"


def _row(members: list[Member]) -> dict[str, Any]:
    first = members[0][0]
    rates = _rates(members)
    spread = window(rates, _kept(members))
    counted = _chosen(members, None if spread is None else spread["best"])
    row: dict[str, Any] = {"layer": first.layer, "task": first.task}
    row["setting"] = _without_rate(first.setting)
    row["device"] = ", ".join(sorted({run.config["device"] for run, _ in members}))
    row["runs"] = len(members)
    row["seeds"] = len({run.experiment.seed for run, _ in counted})
    row["diverged"] = sum(result["status"] == "diverged" for _, result in counted)
    tuned = any(_is_halved(run) for run, _ in members)
    row["lr"] = spread["best"] if spread and not tuned else counted[0][1]["lr"]
    row["window"] = spread
    row["lrs_tried"] = sorted({rate for _, result in members for rate in result["lrs_tried"]})
    task = first.experiment.task
    row["validation"] = _mean(_validated(run, result) for run, result in counted)
    for name in (metric.name for metric in task.metrics):
        values = [result["metrics"].get(name) for _, result in counted]
        row[name] = _mean(values)
        row |= {f"{name}_{what}": STATISTIC[what](values) for what in SPREAD}
    results = [result for _, result in counted]
    return {**row, **_cost(results), **_way(results), "config": _shared(first)}


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


def _way(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns how many still rose, and the medians of the pace: none where half never arrived."""
    known = [result["metrics"].get(STILL_RISING) for result in results]
    rose = [bool(one) for one in known if one is not None]
    told: dict[str, Any] = {STILL_RISING: sum(rose) if rose else None}
    for one in PACE:
        values = [result["metrics"].get(one.name) for result in results]
        middle = statistics.median(math.inf if value is None else value for value in values)
        told[one.name] = middle if math.isfinite(middle) else None
    return told


def _rates(members: list[Member]) -> Rates:
    """Returns the scores on validation by learning rate; a diverged training counts as 0.

    Where successive halving has tried them, they are those at the end of its first round, up to
    which all rates had the same training.
    """
    rates: Rates = {}
    halved = [pair for pair in members if _is_halved(pair[0])]
    for run, result in halved:
        metric = run.experiment.task.main()
        for tried in result["rates"] or []:
            score = metric.score(tried.get(AFTER_FIRST_ROUND))
            rates.setdefault(float(tried["lr"]), []).append(score or 0.0)
    for run, result in [] if halved else members:
        train, metric = run.experiment.train, run.experiment.task.main()
        if not run.experiment.task.trained:
            continue
        if train.lr != "auto":
            value = None if result["status"] == "diverged" else _validated(run, result)
            rates.setdefault(float(train.lr), []).append(metric.score(value) or 0.0)
        elif train.protocol != "quick":
            for tried in result["rates"] or []:
                value = None if tried["diverged"] else tried[metric.name]
                rates.setdefault(float(tried["lr"]), []).append(metric.score(value) or 0.0)
    return rates


def _kept(members: list[Member]) -> set[float]:
    """Returns the rates that halving kept and that learned, perhaps after its first round."""
    scored = (
        (result["lr"], run.experiment.task.main().score(_validated(run, result)))
        for run, result in members
        if _is_halved(run)
    )
    return {float(rate) for rate, score in scored if (score or 0.0) >= LEARNS}


def _is_halved(run: Planned) -> bool:
    """Whether a run finds its rate by successive halving."""
    train = run.experiment.train
    return run.experiment.task.trained and train.lr == "auto" and train.protocol == "quick"


def _validated(run: Planned, result: Mapping[str, Any]) -> float | None:
    """Returns the last value of the main metric on the validation set."""
    value = result["metrics"].get(VALIDATION + run.experiment.task.main().name)
    return None if value is None else float(value)


def _chosen(members: list[Member], best: float | None) -> list[Member]:
    """Returns, of runs at fixed rates, those at the best one; a run that chose its own counts."""
    fixed = [pair for pair in members if pair[0].experiment.train.lr != "auto"]
    tuned = [result["lr"] for run, result in members if run.experiment.train.lr == "auto"]
    if tuned and fixed:  # the first seed chose among rates, the others follow it
        return [pair for pair in members if pair not in fixed or pair[1]["lr"] in tuned]
    if best is None or tuned or _chose(members[0][0]):
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


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


STATISTIC = {"std": _std, "median": _median, "min": _least, "max": _most}


def _in_words(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if not found["rates"]:
        return f"none of {found['tried']}"
    return f"{found['low']:.2g} to {found['high']:.2g} ({found['rates']} of {found['tried']})"
