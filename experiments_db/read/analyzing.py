"""What a result depends on: the configurations of comparable runs, with all that differs in them.

Runs are comparable that share the task, the frame, the protocol and the training but for its rate;
superseded and archived ones never count, and of runs that repeat one another the newest does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self, final

import duckdb
import pandas as pd

from ttr_core import catalog
from ttr_core.lab import PACKED, TASKS, Metric
from ttr_core.words import called

from ..store import Store
from . import measures
from .cells import NEWEST, SERIES, complete_runs
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


@final
class CompleteRuns:
    """Questions about complete runs that are put to one state of a store, one after another.

    Nothing is opened before the first of them, which finds for all of them which runs count.

    Args:
        store: where to look; it stays open, once asked, to the end of the block.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._until = store, ExitStack()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection = None
        self._until.close()

    def ask(self, question: str, values: dict[str, Any]) -> duckdb.DuckDBPyConnection:
        """Puts a question whose start is `COUNTING`.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._connection is None:
            self._connection = self._until.enter_context(self._store.open())
            self._connection.execute(f"CREATE TEMP TABLE newest AS {NEWEST}")
        return self._connection.execute(question, {**values, **revised_since()})


COUNTING = complete_runs("newest")
"""Complete runs where a `CompleteRuns` has found which of them count."""


def comparable(reading: CompleteRuns) -> list[tuple[Comparable, int]]:
    """Returns what there is to analyze with the number of runs of each, the most first.

    Raises:
        StoreError: the store cannot be read.
    """
    sql = f"""
        WITH counted AS (
            SELECT series, task, frame, protocol, count(*) AS runs
            FROM newest
            JOIN (SELECT rowid AS place, task, frame, protocol FROM runs) AS runs USING (place)
            GROUP BY ALL
        )
        SELECT task, frame, protocol, coalesce(training, '') AS training, sum(runs)::BIGINT AS runs
        FROM counted JOIN ({SERIES}) AS series USING (series)
        GROUP BY ALL ORDER BY runs DESC, task, frame, protocol, training
    """
    rows = reading.ask(sql, {}).fetchall()
    return [(Comparable(*row[:4]), row[4]) for row in rows if row[0] in TASKS]


def configurations(reading: CompleteRuns, among: Comparable, metric: Metric) -> pd.DataFrame:
    """Returns a row per configuration and learning rate, over its seeds.

    Args:
        reading: where to look.
        among: which runs.
        metric: what is measured.

    Returns:
        Columns name (of the published layer, or the spec), published, layer, spec, setting (of the
        task), sizes (of the model), frames and rate (texts), runs, n (runs with a finite value),
        mean, se (standard error; missing for a single one), state, packed, parameters, series.

    Raises:
        StoreError: the store cannot be read.
    """
    return _configured(reading, among, metric, "SELECT * FROM told ORDER BY series")


def best_of_rates(reading: CompleteRuns, among: Comparable, metric: Metric) -> pd.DataFrame:
    """Returns of each configuration the learning rate with the best mean, and how many it has.

    Args:
        reading: where to look.
        among: which runs.
        metric: what is measured.

    Returns:
        As `configurations`, the best first, with the column ``rates``; what has no finite value is
        left out.

    Raises:
        StoreError: the store cannot be read.
    """
    way = "DESC" if metric.rises else "ASC"
    same = "layer, spec, setting, sizes, frames"
    tail = f"""
        SELECT *, count(*) OVER (PARTITION BY {same}) AS rates FROM told WHERE n > 0
        QUALIFY row_number() OVER (PARTITION BY {same} ORDER BY mean {way}, series) = 1
        ORDER BY mean {way}, series
    """
    best = _configured(reading, among, metric, tail)
    several = best.assign(rates=best.groupby(ONE)["rates"].transform("sum"))  # layers of one name
    return several.drop_duplicates(ONE).reset_index(drop=True)


def _configured(
    reading: CompleteRuns, among: Comparable, metric: Metric, tail: str
) -> pd.DataFrame:
    """Returns what a query about the relation ``told``, of configurations, has to say."""
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
            {COUNTING} {asked} GROUP BY series
        ), told AS (
            SELECT measured.*, setting, coalesce(sizes, '{{}}') AS sizes,
                coalesce(frames, '') AS frames, coalesce(rate, '') AS rate
            FROM measured JOIN ({SERIES}) AS parts USING (series)
        )
        {tail}
    """
    table = reading.ask(sql, asked.values).df()
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
