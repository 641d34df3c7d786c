"""What runs note in tables beside their result: the rates they tried, and tests on other sizes."""

from __future__ import annotations

import json

import pandas as pd

from ttr_core.lab import Metric, metrics

from ..store import Store
from .analyzing import Comparable, named
from .cells import COMPLETE_RUNS
from .relation import revised_since

WINDOW = 0.05
"""How far from the best rate's score another may stay behind and count as good."""


TESTED = ("name", "published", "layer", "spec", "series", "on", "n", "mean", "se")
"""Columns of `tested_beyond`, beside those of the settings that its tests differ in."""


def tried_rates(
    store: Store, among: Comparable, setting: str, sizes: str, metric: Metric
) -> pd.DataFrame:
    """Returns what each learning rate reached on the validation set, over the runs that tried it.

    Args:
        store: where to look.
        among: which runs.
        setting: of the task, JSON text as `configurations` returns it.
        sizes: of the model, likewise.
        metric: what is measured; rates are only noted for the main one of a task.

    Returns:
        Columns name, published, layer, spec, lr, n, mean, se, diverged.

    Raises:
        StoreError: the store cannot be read.
    """
    asked = among.where()
    asked.add("setting = {}", setting)
    asked.add("coalesce(sizes, '{{}}') = {}", sizes)
    sql = f"""
        WITH noted AS (
            SELECT layer, spec, frames,
                unnest(from_json(tables -> '$.learning_rates', '["JSON"]')) AS row
            {COMPLETE_RUNS} {asked}
        ), read AS (
            SELECT layer, spec, frames, TRY_CAST(row ->> '$.lr' AS DOUBLE) AS lr,
                TRY_CAST(row ->> '$.{metric.name}' AS DOUBLE) AS value,
                coalesce(TRY_CAST(row ->> '$.diverged' AS BOOLEAN), false) AS diverged
            FROM noted
        )
        SELECT layer, spec, lr, count(value) AS n, avg(value) AS mean,
            stddev_samp(value) / sqrt(count(value)) AS se, sum(diverged::INT) AS diverged
        FROM read WHERE lr > 0 GROUP BY ALL HAVING count(value) > 0 ORDER BY spec, lr
    """
    with store.open() as connection:
        table = connection.execute(sql, {**asked.values, **revised_since()}).df()
    return named(table, among.frame)


def windows(rates: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Returns how wide the window of good learning rates of each layer is.

    A rate is good that stays behind the best one's score by `WINDOW` or less; the window is what
    lies between the smallest and the largest of the good ones around the best without a gap.

    Args:
        rates: columns name, lr and mean.
        metric: what is measured; it has bounds.

    Returns:
        Columns name, best (rate), low, high, factor (high over low), tried (rates), the widest
        first.
    """
    rows = []
    for name, tried in rates.sort_values("lr").groupby("name"):
        scores = [metric.score(mean) or 0.0 for mean in tried["mean"]]
        best = max(range(len(scores)), key=scores.__getitem__)
        good = [score >= scores[best] - WINDOW for score in scores]
        low = high = best
        while low > 0 and good[low - 1]:
            low -= 1
        while high + 1 < len(good) and good[high + 1]:
            high += 1
        lrs = tried["lr"].tolist()
        rows.append((name, lrs[best], lrs[low], lrs[high], lrs[high] / lrs[low], len(lrs)))
    columns = ["name", "best", "low", "high", "factor", "tried"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["factor", "name"], ascending=[False, True], ignore_index=True)


def tested_beyond(
    store: Store, among: Comparable, setting: str, sizes: str, metric: Metric
) -> pd.DataFrame:
    """Returns what runs reached on sizes of the task that they were not trained on.

    Args:
        store: where to look.
        among: which runs.
        setting: of the task, JSON text as `configurations` returns it.
        sizes: of the model, likewise.
        metric: what is measured.

    Returns:
        Columns name, published, layer, spec, series, on (settings that tests differ in), n, mean,
        se, and a column for each of these settings.

    Raises:
        StoreError: the store cannot be read.
    """
    asked = among.where()
    asked.add("setting = {}", setting)
    asked.add("coalesce(sizes, '{{}}') = {}", sizes)
    sql = f"""
        WITH noted AS (
            SELECT layer, spec, series,
                unnest(from_json(tables -> '$.generalization', '["JSON"]')) AS row
            {COMPLETE_RUNS} {asked}
        )
        SELECT any_value(layer) AS layer, any_value(spec) AS spec, series,
            json_merge_patch(row, $none)::VARCHAR AS "on",
            count(TRY_CAST(row ->> $path AS DOUBLE)) AS n,
            avg(TRY_CAST(row ->> $path AS DOUBLE)) AS mean,
            stddev_samp(TRY_CAST(row ->> $path AS DOUBLE)) AS deviation
        FROM noted GROUP BY series, "on" HAVING n > 0 ORDER BY series
    """
    measured = dict.fromkeys((*metrics(), "answers"))
    asked.values |= {"none": json.dumps(measured), "path": f"$.{metric.name}"}
    with store.open() as connection:
        table = connection.execute(sql, {**asked.values, **revised_since()}).df()
    table["se"] = table.pop("deviation") / table["n"] ** 0.5
    sizes_of = {text: json.loads(text) for text in table["on"].unique()}
    read = pd.DataFrame([sizes_of[text] for text in table["on"]], index=table.index)
    numbers = [
        c for c in read if pd.api.types.is_numeric_dtype(read[c]) and c in json.loads(setting)
    ]
    return named(table.join(read[numbers]), among.frame)
