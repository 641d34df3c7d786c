"""What the command ``compare`` prints: the numbers of the page Compare, by the same query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ttr_core.lab import Metric

from ..read import comparing, listing
from ..read.sandbox import QueryError
from ..store import Store
from .printout import records

LEAST = 2


@dataclass(frozen=True)
class SideBySide:
    """A comparison as a terminal, a script and a file have it.

    Args:
        metric: by which the sides are judged; None where they are of different tasks.
        numbers: a row per side.
        differing: a row per setting that differs, a column per side.
        unlike: a sentence for each thing that makes the comparison unequal.
    """

    metric: Metric | None
    numbers: pd.DataFrame
    differing: pd.DataFrame
    unlike: tuple[str, ...]

    @property
    def sides(self) -> list[str]:
        """The names of the sides, in order."""
        return list(self.numbers["side"])

    def columns(self) -> list[str]:
        """Returns the columns that `told` fills."""
        return list(self.numbers) if self.metric is None else [*self.told()[0]]

    def told(self) -> list[dict[str, Any]]:
        """Returns the numbers as people read them, differences of shares in points."""
        rows = records(self.numbers)
        if self.metric is None:
            return rows
        return [self._told(row, self.metric) for row in rows]

    def _told(self, row: dict[str, Any], metric: Metric) -> dict[str, Any]:
        def both(value: float | None, error: float | None, said: str) -> str:
            return "" if value is None else said + (f" ± {metric.shown(error)}" if error else "")

        apart = row["difference"]
        points = "" if apart is None else f"{100 * apart:+.2f} points"
        plain = "" if apart is None else f"{apart:+.4g} {metric.unit}".rstrip()
        return {
            "side": row["side"],
            "n": row["n"] if row["n"] == row["runs"] else f"{row['n']} of {row['runs']}",
            metric.name: both(row["mean"], row["se"], metric.shown(row["mean"])),
            "to the first": both(apart, row["difference_se"], points if metric.share else plain),
        }

    def settings(self) -> list[dict[str, Any]]:
        """Returns the settings that differ, a row each."""
        return [{"setting": name, **row} for name, row in self.differing.to_dict("index").items()]

    def document(self) -> dict[str, Any]:
        """Returns all of it, JSON-able."""
        return {
            "metric": None if self.metric is None else self.metric.name,
            "sides": records(self.numbers),
            "differing": self.differing.to_dict("index"),
            "unlike": list(self.unlike),
        }


def compared(store: Store, run_ids: Sequence[str], over_seeds: bool = True) -> SideBySide:
    """Compares runs, or the configurations that they belong to, with the first of them.

    Args:
        store: where they are.
        run_ids: two to `comparing.MOST` ids, or beginnings of one.
        over_seeds: each stands for its configuration.

    Raises:
        QueryError: one of the runs does not exist, or too few or too many are named.
    """
    asked = [row["run_id"] for row in listing.existing(store, run_ids)]
    ids = list(dict.fromkeys(asked))
    if not LEAST <= len(ids) <= comparing.MOST:
        raise QueryError(
            f"{len(ids)} different runs are named; {LEAST} to {comparing.MOST} can be compared."
        )
    sides, _ = comparing.sides(store, ids, over_seeds)
    if len(sides) < LEAST:
        raise QueryError("These runs are of one configuration: --alone compares them as runs.")
    metric = comparing.judging_metric(sides)
    return SideBySide(
        metric, _numbers(sides, metric), comparing.differing(sides), tuple(comparing.unlike(sides))
    )


def _numbers(sides: Sequence[comparing.Side], metric: Metric | None) -> pd.DataFrame:
    labels = [side.label for side in sides]
    if metric is None:
        return pd.DataFrame({"side": labels, "runs": [len(side.runs) for side in sides]})
    table = comparing.summary(sides, metric, labels[0]).reset_index(names="side")
    return table.astype({"n": int, "runs": int})
