"""What the atlas knows of each cell: numbers of the probes, and how cells are colored by them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments_db.atlas import MEASURED, Atlas
from ttr_core.lab import PROBES, Metric, metrics

WIDE = 20.0
"""Ratio of the largest to the least number from which they are colored by their logarithm."""

SHARE = 0.02
"""Of the numbers on either side, those that are drawn as the darkest and the brightest."""

START = "capacity"
"""The probe whose number colors the Map at first."""

Numbers = Mapping[str, Any]


def colors() -> tuple[str, ...]:
    """Returns the metrics of the probes, those of the first probe first."""
    return tuple(metric.name for name in _ordered() for metric in PROBES[name].metrics)


def _ordered() -> list[str]:
    return sorted(PROBES, key=lambda name: name != START)


def probe_of(metric: str) -> str:
    """Returns the name of the probe that measures something."""
    return next(n for n, probe in PROBES.items() if metric in [m.name for m in probe.metrics])


def with_probes(rows: pd.DataFrame, atlas: Atlas, metric: str) -> pd.DataFrame:
    """Returns the cells with a number each.

    Args:
        rows: cells, with their ``spec``.
        atlas: what is known.
        metric: that of a probe which colors them.

    Returns:
        Also ``best``, the number; ``n``, 1 where there is one; ``reached``, it with its interval,
        or why there is none; ``told`` and ``more``, the main number of each probe;
        ``state_size``; ``age``, the day; ``stale``, whether the revision has changed since.
    """
    probe = probe_of(metric)
    found, old = _layers(atlas), atlas.stale(probe)
    told = [_told(atlas, part) for part in (0, 1)]
    known = [found.get(spec, {}) for spec in rows["spec"]]
    best = pd.Series([row.get(metric) for row in known], index=rows.index, dtype=float)
    return rows.assign(
        best=best,
        n=best.notna().astype(int),
        reached=[_reached(row, metrics()[metric]) for row in known],
        told=[told[0].get(spec, "") for spec in rows["spec"]],
        more=[told[1].get(spec, "") for spec in rows["spec"]],
        state_size=pd.Series([row.get("state_size") for row in known], rows.index, dtype=float),
        age=[_age(row, probe, old) for row in known],
        stale=[row.get("first") in old for row in known],
    )


@functools.lru_cache(maxsize=4)
def _layers(atlas: Atlas) -> dict[str, Numbers]:
    return atlas.of_layers().to_dict("index")


@functools.lru_cache(maxsize=8)
def _told(atlas: Atlas, part: int) -> dict[str, str]:
    """Returns the main number of every second probe, for every layer: a tooltip cuts long texts."""
    mains = [PROBES[name].main() for name in _ordered()[part::2]]
    return {
        spec: ", ".join(
            f"{main.name.replace('_', ' ')} {text}"
            for main in mains
            if (text := with_interval(row, main))
        )
        for spec, row in _layers(atlas).items()
    }


def with_interval(row: Numbers, metric: Metric) -> str:
    """Returns a number as people read it, with its interval; empty without one.

    Example:
        >>> held = {"pairs_held": 23.0, "pairs_held_low": 22.0, "pairs_held_high": 25.0}
        >>> with_interval(held, metrics()["pairs_held"])
        '23 [22, 25]'
    """
    value = row.get(metric.name)
    if value is None or pd.isna(value):
        return ""
    low, high = (row[f"{metric.name}_{end}"] for end in ("low", "high"))
    bound = row.get(f"{metric.name}_bound")
    ends = "" if low == high else f" [{metric.number(low)}, {metric.number(high)}]"
    least = f"{bound} " if isinstance(bound, str) and bound else ""
    return f"{least}{metric.shown(float(value))}{ends}"


def _age(row: Numbers, probe: str, old: frozenset[str]) -> str:
    day = row.get(f"{probe}_on")
    if not isinstance(day, str):
        return ""
    return f"{day}, by an earlier revision" if row.get("first") in old else day


def _reached(row: Numbers, metric: Metric) -> str:
    why = row.get(probe_of(metric.name))
    missing = isinstance(why, str) and why != MEASURED
    return with_interval(row, metric) or (str(why) if missing else "")


def span(values: pd.Series) -> tuple[tuple[float, float], str]:
    """Returns the numbers drawn darkest and brightest, or the reverse, and the kind of the scale.

    Example:
        >>> span(pd.Series([1.0, 2.0, 128.0]))[1]
        'log'
    """
    known = values[[math.isfinite(x) for x in values]].astype(float)
    if known.empty:
        return (0.0, 1.0), "linear"
    low, high = (float(known.quantile(share)) for share in (SHARE, 1 - SHARE))
    if low == high:
        low, high = low - 0.5, high + 0.5
    if low > 0 and high / low > WIDE:
        return (low, high), "log"
    return (low, high), "symlog" if low >= 0 and high > WIDE else "linear"


def fourfold(high: float) -> list[float]:
    """Returns the marks of an axis that is logarithmic above 1: 0, and every fourfold from 1 on.

    Example:
        >>> fourfold(128.0)
        [0.0, 1.0, 4.0, 16.0, 64.0, 128.0]
    """
    found = [0.0, 1.0]
    while found[-1] * 4 <= high:
        found.append(found[-1] * 4)
    return found if found[-1] == high or high < 1 else [*found, high]
