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
        palette: the labels of all claims beside it, so that a layer has one color on all cards;
            none: its own.
    """

    runs: Callable[[Scale], tuple[Party, ...]] = lambda scale: ()
    asked: Callable[[Sequence[str]], tuple[Duel, ...]] = lambda labels: ()
    higher: bool = False
    curve: str = ""
    change: int | None = None
    palette: tuple[str, ...] = ()

    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        return self.runs(scale)

    def judged(self, found: Found, scale: Scale) -> Finding:
        asked = self.asked(list(found.contenders))
        rows = [self._row(found, one) for one in asked]
        table = pd.DataFrame(rows)
        known = [label for label, one in found.contenders.items() if one.drawn]
        sides = dict.fromkeys(side for one in asked for side in one if side.label in known)
        chart = (
            figures.error_lines(
                {side.label: found.curve(side.label, self.curve) for side in sides},
                self.change,
                known=self.palette or known,
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
        parts = [f"{len(yes)} of {len(table)} comparisons agree"]
        parts += [f"{len(no)} say the opposite"] if len(no) else []
        parts += [f"{len(unclear)} within the noise"] if len(unclear) else []
        said = f"{', '.join(parts)}.{_plainest(no)}"
        if not len(no):
            return Ruling(Word.OPEN if len(unclear) else Word.HOLDS, said)
        if not len(yes):
            return Ruling(Word.OPEN if len(unclear) else Word.FAILS, said)
        without = _culprits(yes, table[table["found"] != YES])
        if not without:
            return Ruling(Word.PART, said)
        return Ruling(Word.IF, f"{without} left out. {said}")


def _culprits(yes: pd.DataFrame, others: pd.DataFrame) -> str:
    """Returns the layers of which no comparison holds and without which all others do."""
    held, failed = (set(rows["better"].str.partition(" (")[0]) for rows in (yes, others))
    verb = "is" if len(failed) == 1 else "are"
    return "" if failed & held else f"{' and '.join(sorted(failed))} {verb}"


def _plainest(no: pd.DataFrame) -> str:
    """Returns the comparison that most plainly says the opposite; the table has them all."""
    if not len(no):
        return ""
    by = "ratio" if "ratio" in no else "less by"
    row = no.loc[no[by].idxmax()]
    value, other = row["value"], row["its value"]
    return f" The plainest: {row['better']} {value:.3g}, {row['than']} {other:.3g}."


def _named(side: Entrant) -> str:
    return side.label if side.metric != "repeat_last" else "the last value, repeated"
