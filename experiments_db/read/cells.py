"""The design space by results: what each spec reached on one task setting under one protocol.

Only runs of one protocol are comparable, and of one task setting: both must be chosen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ttr_core import AXES
from ttr_core.lab import STILL_RISING, metrics

from ..errors import StoreError
from ..store import Store
from ..store.records import COMPLETE, CUT_SHORT
from . import measures
from .filters import Where
from .pooling import COUNTED, POOLS, REPEATED
from .relation import revised_since

OTHER_PARTS = ("loss=", "readout=")

SERIES = """
    SELECT series, setting, sizes, frames, training, rate
    FROM series WHERE NOT list_has_any(parts, $outdated::VARCHAR[])
"""
"""What decides runs, in parts, of all series that are not superseded."""

NEWEST = f"""
    SELECT arg_max(place, run_id) AS place, arg_max(noted, run_id) AS noted,
        any_value({COUNTED}) AS series
    FROM (SELECT rowid AS place, run_id, config_hash, series, seed FROM runs) AS known
    JOIN (
        SELECT rowid AS noted, run_id FROM results
        WHERE status IN {COMPLETE} AND NOT {CUT_SHORT}
    ) AS ended USING (run_id)
    ANTI JOIN (SELECT run_id FROM marks WHERE archived) AS away USING (run_id)
    LEFT JOIN ({POOLS}) AS pools USING (series)
    GROUP BY {REPEATED}
"""
"""Of complete runs that repeat one another the newest, by its numbers: ids are texts."""


def complete_runs(newest: str) -> str:
    """Returns the start of a query about complete runs, of whose repetitions the newest counts.

    Args:
        newest: the relation of `NEWEST`, found before anything wide is read.
    """
    return f"""
FROM (
SELECT * FROM {newest} AS newest
JOIN (
    SELECT rowid AS place, run_id, config, config_group, layer, spec, task, frame, protocol
    FROM runs
) AS runs USING (place)
JOIN (
    {SERIES}
) AS series USING (series)
JOIN (SELECT rowid AS noted, * EXCLUDE (run_id) FROM results) AS results USING (noted)
) AS complete
"""


COMPLETE_RUNS = complete_runs(f"({NEWEST})")
"""Complete runs that are neither archived nor superseded nor cut short by their time; those that
repeat others are away."""


def task_settings(store: Store) -> pd.DataFrame:
    """Returns the task settings that complete runs have, the one with the most runs first.

    Returns:
        Columns task, setting (JSON text, as `cells` takes it), protocol, frame, runs.
    """
    sql = f"""
        SELECT task, setting, protocol, frame, count(*) AS runs
        {COMPLETE_RUNS}
        GROUP BY ALL ORDER BY runs DESC, setting, protocol, frame
    """
    with store.open() as connection:
        return connection.execute(sql, revised_since()).df()


def cells(
    store: Store,
    setting: str,
    protocol: str,
    metric: str | None = None,
    frame: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Returns what each spec reached, the best first; archived and superseded runs do not count.

    Args:
        store: where to look.
        setting: the task with its settings, as `task_settings` returns it.
        protocol: the protocol of comparison.
        metric: the name of one that a task declares; None for the main one of the setting's task.
        frame: only runs in this frame.
        settings: values that the config must have, by dotted key (``{"model.d_model": 64}``).

    Returns:
        One row per spec (of models whose layers are all alike): weights, function, optimizer
        (texts), spec, n (runs with a finite value of the metric), best, mean, std (of the sample),
        diverged (runs), still_rising (runs ended on the way up), configs (settings beside the
        seed), rates (learning rates tried in all).

    Raises:
        StoreError: the metric, or the task whose main one is asked for, is unknown.
    """
    known = metrics()
    name = measures.main_of(str(json.loads(setting).get("name"))).name if metric is None else metric
    if name not in known:
        raise StoreError(f"Cells cannot be compared by {name!r}; valid: {', '.join(known)}.")
    best, way = ("max", "DESC") if known[name].rises else ("min", "ASC")
    asked = Where()
    asked.add("setting = {}", setting)
    asked.add("protocol = {}", protocol)
    asked.among("frame", frame)
    asked.set_to(settings or {})
    value = measures.column(name, "complete")
    sql = f"""
        SELECT spec,
            count(*) FILTER (isfinite({value})) AS n,
            {best}({value}) FILTER (isfinite({value})) AS best,
            avg({value}) FILTER (isfinite({value})) AS mean,
            stddev_samp({value}) FILTER (isfinite({value})) AS std,
            count(*) FILTER (status = 'diverged') AS diverged,
            count(*) FILTER ({measures.column(STILL_RISING, "complete")} > 0) AS still_rising,
            count(DISTINCT series) AS configs,
            greatest(count(DISTINCT lr), max(json_array_length(lrs_tried))) AS rates
        {COMPLETE_RUNS} {asked}
        GROUP BY spec ORDER BY best {way} NULLS LAST, spec
    """
    with store.open() as connection:
        table = connection.execute(sql, {**asked.values, **revised_since()}).df()
    axes = [_axes(spec) for spec in table["spec"]]
    found = table[[len(parts) == len(AXES) for parts in axes]].reset_index(drop=True)
    parts = pd.DataFrame([a for a in axes if a], columns=list(AXES), index=found.index)
    return parts.join(found)


def _axes(spec: str) -> tuple[str, ...]:
    """Returns the texts of a spec's three axes; none for a stack of different layers.

    Example:
        >>> _axes("Gate | Linear(map=elu1) | SGD | readout=Normalized")
        ('Gate', 'Linear(map=elu1)', 'SGD')
        >>> _axes("Gate | Linear | SGD, Uniform | Linear | Exact")
        ()
    """
    parts = spec.split(" | ")
    others = all(part.startswith(OTHER_PARTS) for part in parts[len(AXES) :])
    return tuple(parts[: len(AXES)]) if len(parts) >= len(AXES) and others else ()
