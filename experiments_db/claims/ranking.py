"""Claims that something is better than something else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from . import figures
from .claim import Finding, Ruling, Scale, Thesis, Word
from .found import Found
from .intervals import Interval
from .party import Party

if TYPE_CHECKING:
    import altair as alt

YES, NO, UNCLEAR = "yes", "no", "unclear"


class Entrant(NamedTuple):
    """One side of a comparison: a contender's metric."""

    label: str
    metric: str


class Duel(NamedTuple):
    """Two sides, of which the claim says that the first is better."""

    better: Entrant
    worse: Entrant


@dataclass(frozen=True)
class Ranking(Thesis):
    """That each first side is better than the second, on the same sequences.

    Comparisons are paired: runs of one seed saw the same sequences. One is decided where its
    interval leaves out that both sides are the same.

    Args:
        runs: returns the contenders at a scale.
        asked: the comparisons, from their labels.
        higher: whether more is better.
        curve: the curve that is drawn, by step; none: the means.
        change: the step at which the process changes, which is marked.
    """

    runs: Callable[[Scale], tuple[Party, ...]] = lambda scale: ()
    asked: Callable[[Sequence[str]], tuple[Duel, ...]] = lambda labels: ()
    higher: bool = False
    curve: str = ""
    change: int | None = None

    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        return self.runs(scale)

    def judged(self, found: Found, scale: Scale) -> Finding:
        asked = self.asked(list(found.contenders))
        rows = [self._row(found, one) for one in asked]
        table = pd.DataFrame(rows)
        sides = dict.fromkeys(
            side for one in asked for side in one if found.contenders[side.label].drawn
        )
        chart = (
            figures.error_lines(
                {side.label: found.curve(side.label, self.curve) for side in sides}, self.change
            )
            if self.curve
            else self._points(found, sides, table)
        )
        return Finding(self._verdict(table), table, chart, found.n, found.cpu_seconds)

    def _points(
        self, found: Found, sides: Iterable[Entrant], table: pd.DataFrame
    ) -> alt.LayerChart:
        if self.higher:
            means = {_named(side): found.mean(*side) for side in sides}
            return figures.mean_shares(means, "mean over seeds, 95 % interval")
        rows = [
            {"layer": row["than"], "mean": row["ratio"], "low": row["low"], "high": row["high"]}
            for _, row in table.iterrows()
        ]
        title = f"its error = 1: that of {table['better'].iloc[0]}, 95 % interval"
        return figures.ratios(rows, title)

    def _row(self, found: Found, one: Duel) -> dict[str, object]:
        """Compares by the difference where more is better, else by the logarithm of the ratio.

        Errors spread over orders of magnitude: one sequence would decide a mean difference.
        """
        first, second = (found.metric(*side) for side in one)
        if self.higher:
            gap = Interval.of((second - first).dropna())
            told = {"less by": gap.mean, "low": gap.mean - gap.half, "high": gap.mean + gap.half}
        else:
            gap = Interval.of((first / second).dropna().map(math.log))
            at = {"ratio": gap.mean, "low": gap.mean - gap.half, "high": gap.mean + gap.half}
            told = {name: math.exp(value) for name, value in at.items()}
        return {
            "better": _named(one.better), "value": found.mean(*one.better).mean,
            "than": _named(one.worse), "its value": found.mean(*one.worse).mean,
            **told, "n": gap.n,
            "found": YES if gap.below_zero else NO if gap.above_zero else UNCLEAR,
        }  # fmt: skip

    def _verdict(self, table: pd.DataFrame) -> Ruling:
        yes, no, unclear = (table[table["found"] == said] for said in (YES, NO, UNCLEAR))
        said = f"In {len(yes)} of {len(table)} comparisons."
        noise = f" Within the noise: {_listed(unclear)}." if len(unclear) else ""
        if not len(no):
            return Ruling(Word.OPEN if noise else Word.HOLDS, said + noise)
        if not len(yes):
            return Ruling(Word.OPEN if noise else Word.FAILS, f"{said} {_listed(no)}.{noise}")
        without = _culprits(yes, no)
        more = f"{said} Not so: {_listed(no)}.{noise}"
        if not without:
            return Ruling(Word.PART, more)
        return Ruling(Word.IF, f"{without} is left out. {more}")


def _culprits(yes: pd.DataFrame, no: pd.DataFrame) -> str:
    """Returns the layers whose every comparison fails and without which all others hold."""
    held, failed = (set(rows["better"].str.partition(" (")[0]) for rows in (yes, no))
    return "" if failed & held else " and ".join(sorted(failed))


def _named(side: Entrant) -> str:
    return side.label if side.metric != "repeat_last" else "the last value, repeated"


def _listed(table: pd.DataFrame) -> str:
    return "; ".join(
        f"{row['better']} {row['value']:.3g} against {row['its value']:.3g} of {row['than']}"
        for _, row in table.iterrows()
    )
