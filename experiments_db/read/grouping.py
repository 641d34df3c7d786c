"""Runs by configuration: everything that defines them but the seed."""

from __future__ import annotations

import pandas as pd

from ttr_core.lab import metrics

from ..errors import StoreError
from ..store import Store
from ..store.records import COMPLETE
from .filters import Conditions, Where
from .pooling import COUNTED, POOLS, REPEATED
from .queries import EVERY
from .relation import put_to

ALSO = ("best", "seconds", "steps_to_90", "cpu_seconds_to_90")
"""What is averaged beside the metrics that tasks declare."""

IDENTITY = ("layer", "spec", "frame", "task", "device", "protocol")

NEWEST = f"""QUALIFY row_number() OVER (
    PARTITION BY {REPEATED}, cut_short ORDER BY run_id DESC) = 1"""
"""Ends a query over runs: of those that repeat one another, seed included, the newest."""

RATED = "CASE WHEN series = counted THEN '' ELSE '~' END"
"""Sorts those first whose settings say the rate that a group was run with."""

STATISTICS_SQL = """
    avg({0}) AS {0}_mean,
    stddev_samp({0}) AS {0}_std,
    min({0}) AS {0}_min,
    max({0}) AS {0}_max,
    count({0}) AS {0}_n"""
"""Of finite numbers: a filter on each of 130 aggregates takes three times as long as all else."""


def averaged() -> tuple[str, ...]:
    """Returns what groups are summarized by: every declared metric, and `ALSO`."""
    return (*metrics(), *ALSO)


def sorted_by() -> tuple[str, ...]:
    """Returns the columns that groups can be sorted by."""
    return ("started_at", *(f"{name}_mean" for name in averaged()))


def grouped(
    store: Store,
    conditions: Conditions = EVERY,
    order: str = "started_at",
    descending: bool = True,
    limit: int | None = None,
) -> pd.DataFrame:
    """Returns one row per configuration of complete runs, the newest first.

    For each metric that a task declares there are the mean, the standard deviation (of the sample:
    none for a single run), the smallest and largest value, and of how many runs; what is not a
    finite number is left out of these; ``diverged`` counts the runs that have no better, and
    ``still_rising`` those that were ended on the way up.
    ``n`` counts the runs, ``seeds`` and ``run_ids`` name them in the same order; ``config`` lacks
    the seed. Of runs that were repeated with one seed the newest counts. A configuration is what
    decides a run (`ttr_core.lab.fingerprint`); a rate that was chosen on one seed and the other
    seeds at that rate are one (`pooling.POOLS`). Superseded runs are groups of their own, and so
    are those that their time cut short: the columns ``superseded`` and ``cut_short`` say so.

    Args:
        store: where to look.
        conditions: which runs count; of them the complete ones (finished or diverged) do.
        order: the column to sort by, one of `sorted_by`.
        descending: the largest first.
        limit: most rows to return; None returns all.

    Raises:
        StoreError: the store cannot be read, or groups cannot be sorted so.
    """
    if order not in sorted_by():
        raise StoreError(f"Groups cannot be sorted by {order!r}; use {', '.join(sorted_by())}.")
    way = "DESC" if descending else "ASC"
    where = _complete(conditions)
    with store.open() as connection:
        if limit is not None:  # which groups first: most are passed over
            sql = f"{_first(order, where)} {way} NULLS LAST, min(run_id) {way} LIMIT {int(limit)}"
            found = put_to(connection, store, sql, where.values, where.few).fetchall()
            chosen = {name for (name,) in found}
            pools = dict(connection.execute(POOLS).fetchall())
            where.one_of("series", [*chosen, *(one for one, of in pools.items() if of in chosen)])
        sql = f"""
            , groups AS ({_summaries(where)})
            SELECT groups.* EXCLUDE (first_id, config_group, cut_short, superseded, series),
                configs.config, config_group, series, cut_short, superseded
            FROM groups LEFT JOIN configs USING (config_group)
            ORDER BY groups.{order} {way} NULLS LAST, groups.first_id {way}
            {"" if limit is None else f"LIMIT {int(limit)}"}
        """
        table = put_to(connection, store, sql, where.values, where.few).df()
    both = zip(table["run_ids"], table["seeds"], strict=True)
    members = [sorted(zip(ids, seeds, strict=True)) for ids, seeds in both]
    table["run_ids"] = [[run_id for run_id, _ in pairs] for pairs in members]
    table["seeds"] = [[int(seed) for _, seed in pairs] for pairs in members]
    return table


def _complete(conditions: Conditions) -> Where:
    where = conditions.where()
    where.among("status", COMPLETE)
    return where


def _counted(where: Where) -> str:
    """Returns the rows that count, with the series in which they do, as SQL.

    What is averaged is missing where it is not finite.
    """
    finite = ", ".join(f"CASE WHEN isfinite({n}) THEN {n} END AS {n}" for n in averaged())
    return f"""(
        SELECT shown.* REPLACE ({finite}), {COUNTED} AS counted
        FROM shown LEFT JOIN ({POOLS}) AS pools USING (series) {where} {NEWEST}
    )"""


def _first(order: str, where: Where) -> str:
    """Returns the start of the query for the groups that are first: all but which way."""
    rows = f"FROM shown LEFT JOIN ({POOLS}) AS pools USING (series) {where}"
    if order == "started_at":  # of runs that repeat one another the newest is the last that began
        same = f"{rows} GROUP BY counted, cut_short"
        return f"SELECT {COUNTED} AS counted {same} ORDER BY max(started_at)"
    name = order.removesuffix("_mean")
    return f"""
        SELECT counted FROM (
            SELECT any_value({COUNTED}) AS counted, max(run_id) AS run_id,
                arg_max_null({name}, run_id) AS {name}, cut_short
            {rows} GROUP BY {REPEATED}, cut_short
        ) GROUP BY counted, cut_short ORDER BY avg({name}) FILTER (isfinite({name}))
    """


def _summaries(where: Where) -> str:
    identity = ", ".join(f"any_value({name}) AS {name}" for name in IDENTITY)
    summaries = ",".join(STATISTICS_SQL.format(name) for name in averaged())
    return f"""
        SELECT counted AS series, any_value(superseded) AS superseded, cut_short, {identity},
            count(*) AS n,
            count(*) FILTER (status = 'diverged') AS diverged,
            count(*) FILTER (still_rising) AS still_rising,
            list(seed) AS seeds,
            {summaries},
            list(run_id) AS run_ids,
            max(started_at) AS started_at,
            min(run_id) AS first_id,
            arg_min(config_group, {RATED} || run_id) AS config_group
        FROM {_counted(where)} GROUP BY counted, cut_short
    """
