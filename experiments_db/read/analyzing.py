"""What a result depends on: the configurations of comparable runs, with all that differs in them.

Runs are comparable that share the task, the frame, the protocol and the training but for its rate;
superseded and archived ones never count, and of runs that repeat one another the newest does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ttr_core import catalog
from ttr_core.lab import PACKED, TASKS, Metric
from ttr_core.words import called

from ..store import Store
from . import measures
from .cells import COMPLETE_RUNS, SERIES
from .filters import Where
from .relation import revised_since

ONE = ["name", "spec", "setting", "sizes", "frames"]
"""What a configuration is, but for its learning rate."""


@dataclass(frozen=True)
class Comparable:
    """What runs share that may stand in one picture.

    Args:
        task: name of the task.
        frame: surroundings of the layers.
        protocol: protocol of comparison.
        training: settings of the training without its rate, JSON text; empty where none is done.
    """

    task: str
    frame: str
    protocol: str
    training: str

    def where(self) -> Where:
        """Returns the condition on complete runs."""
        asked = Where()
        asked.add("task = {}", self.task)
        asked.add("frame = {}", self.frame)
        asked.add("protocol = {}", self.protocol)
        asked.add("coalesce(training, '') = {}", self.training)
        return asked


def comparable(store: Store) -> list[tuple[Comparable, int]]:
    """Returns what there is to analyze with the number of runs of each, the most first.

    Raises:
        StoreError: the store cannot be read.
    """
    sql = f"""
        SELECT task, frame, protocol, coalesce(training, '') AS training, count(*) AS runs
        {COMPLETE_RUNS} GROUP BY ALL ORDER BY runs DESC, task, frame, protocol, training
    """
    with store.open() as connection:
        rows = connection.execute(sql, revised_since()).fetchall()
    return [(Comparable(*row[:4]), row[4]) for row in rows if row[0] in TASKS]


def configurations(store: Store, among: Comparable, metric: Metric) -> pd.DataFrame:
    """Returns a row per configuration and learning rate, over its seeds.

    Args:
        store: where to look.
        among: which runs.
        metric: what is measured.

    Returns:
        Columns name (of the published layer, or the spec), published, layer, spec, setting (of the
        task), sizes (of the model), frames and rate (texts), runs, n (runs with a finite value),
        mean, se (standard error; missing for a single one), state, packed, parameters, series.

    Raises:
        StoreError: the store cannot be read.
    """
    value, packed = measures.column(metric.name, "complete"), measures.column(PACKED, "complete")
    asked = among.where()
    sql = f"""
        WITH measured AS (
            SELECT any_value(layer) AS layer, any_value(spec) AS spec, count(*) AS runs,
                count(*) FILTER (isfinite({value})) AS n,
                avg({value}) FILTER (isfinite({value})) AS mean,
                stddev_samp({value}) FILTER (isfinite({value})) AS deviation,
                avg(state_size) AS state, avg({packed}) AS packed,
                avg(parameters) AS parameters, series
            {COMPLETE_RUNS} {asked} GROUP BY series
        )
        SELECT measured.*, setting, coalesce(sizes, '{{}}') AS sizes,
            coalesce(frames, '') AS frames, coalesce(rate, '') AS rate
        FROM measured JOIN ({SERIES}) AS told USING (series) ORDER BY series
    """
    with store.open() as connection:
        table = connection.execute(sql, {**asked.values, **revised_since()}).df()
    table["se"] = table.pop("deviation") / table["n"] ** 0.5
    table["packed"] = table["packed"].fillna(table["state"])
    return named(table, among.frame)


def named(table: pd.DataFrame, frame: str) -> pd.DataFrame:
    """Adds the columns name and published to a table with layer and spec."""
    known = {str(entry.spec): name for name, entry in [*catalog.items()][::-1]}
    pairs = list(zip(table["layer"], table["spec"], strict=True))
    own = {pair: pair[0] if pair[0] in catalog else known.get(pair[1]) for pair in set(pairs)}
    said = {pair: called(name, frame) if name else pair[1] for pair, name in own.items()}
    return table.assign(
        name=[said[pair] for pair in pairs], published=[own[pair] is not None for pair in pairs]
    )


def best_of_rates(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Returns of each configuration the learning rate with the best mean, and how many it has.

    Args:
        table: as `configurations` returns it.
        metric: what is measured.

    Returns:
        The rows that are kept, with the column ``rates``.
    """
    measured = table[table["n"] > 0]
    counted = measured.assign(rates=measured.groupby(ONE)["series"].transform("size"))
    ordered = counted.sort_values("mean", ascending=not metric.rises, kind="stable")
    return ordered.drop_duplicates(ONE).reset_index(drop=True)


def front(table: pd.DataFrame, across: str, metric: Metric) -> pd.DataFrame:
    """Returns the rows that no other beats in both ways, from the least cost on.

    Args:
        table: as `best_of_rates` returns it.
        across: the column of costs, less of which is better.
        metric: what is measured.

    Example:
        >>> rows = pd.DataFrame({"state": [1, 2, 3, 3], "mean": [0.5, 0.4, 0.9, 0.8]})
        >>> front(rows, "state", Metric("accuracy"))["mean"].tolist()
        [0.5, 0.9]
    """
    score = table["mean"] if metric.rises else -table["mean"]
    ordered = table.assign(_score=score).sort_values([across, "_score"], ascending=[True, False])
    before = ordered["_score"].cummax().shift()
    kept = ordered[before.isna() | (ordered["_score"] > before)]
    return kept.drop(columns="_score")


def settings(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the settings of task and model, a column each (``task.pairs``, ``model.d_model``)."""
    parts = {"task": table["setting"], "model": table["sizes"]}
    read = {text: json.loads(text) for texts in parts.values() for text in texts.unique()}
    return pd.DataFrame(
        [
            {
                f"{part}.{key}": value
                if isinstance(value, (int, float, str))
                else json.dumps(value)
                for part, texts in zip(parts, row, strict=True)
                for key, value in read[texts].items()
                if key != "name"
            }
            for row in zip(*parts.values(), strict=True)
        ],
        index=table.index,
    )


def varied(table: pd.DataFrame, first: Iterable[str] = ()) -> list[str]:
    """Returns the numbers among the settings that some layer was run with several of.

    Args:
        table: as `best_of_rates` returns it.
        first: names that come first where they are among them.
    """
    found = settings(table)
    numbers = [str(c) for c in found if pd.api.types.is_numeric_dtype(found[c])]
    several = [c for c in numbers if found[c].nunique() > 1 and len(against(table, c))]
    return [c for c in first if c in several] + sorted(set(several) - set(first))


def against(table: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Returns results by one setting, all else the same.

    Args:
        table: as `best_of_rates` returns it.
        setting: its name, such as ``task.pairs``.

    Returns:
        The rows of lines with two points or more, with the columns x and rest (a text: the settings
        that are not the same in all rows, but for this one).
    """
    found = settings(table)
    others = [c for c in found if c != setting and found[c].nunique(dropna=False) > 1]
    rest = [_said(dict(zip(others, row, strict=True))) for row in found[others].values.tolist()]
    data = table.assign(x=found[setting], rest=rest).dropna(subset=["x"])
    points = data.groupby(["name", "spec", "frames", "rest"])["x"].transform("nunique")
    return data[points > 1].sort_values(["name", "x"]).reset_index(drop=True)


def _said(values: dict[str, Any]) -> str:
    return " · ".join(f"{key.partition('.')[2]} {value}" for key, value in values.items())
