"""Rivals: published cells at the state of the new cell that they are compared with.

Keys have whole numbers of entries, so that states come in steps, and the published cell that is
best at the plan's state may be a little larger than a new one. So each published cell is given the
longest keys at which it is no larger, and is trained with them at every rate.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .candidates import Candidate, refitted
from .halving import Book, Climber, Rung, settled
from .ledger import Reached
from .search_plan import SearchPlan
from .trainings import Training, trainings

RIVALS = 3
"""Published cells of each finalist that other frames choose the best of."""

REFITTING = "published cells at the states of the finalists"


@dataclass(frozen=True)
class Contests:
    """Which new cells come to the finals, and against whom.

    Args:
        rivals: finalist -> published cells at no larger state, the best first.
        missing: trainings that lack for that.
    """

    rivals: Mapping[Climber, tuple[Climber, ...]] = field(default_factory=dict)
    missing: tuple[Training, ...] = ()


def contests(plan: SearchPlan, last: Rung, book: Book) -> Contests:
    """Returns the new cells that are furthest above what is published at no larger state.

    A rival more can only lower a gain. So the cells that are furthest above the published ones as
    the last rung has them are compared first, and others only where these fall behind them.

    Args:
        plan: what is asked for.
        last: the last rung of halving.
        book: how trainings ended.
    """
    new = [one for one in last.climbers if not one.candidate.published and not one.failed]
    gains = {one: one.score - _beaten(one, last) for one in new}
    found: dict[Climber, tuple[Climber, ...]] = {}
    while True:
        ahead = sorted(gains, key=lambda one: -gains[one])[: plan.finalists]
        unknown = [one for one in ahead if one not in found]
        if not unknown:
            return Contests({one: found[one] for one in ahead})
        fields = {one: refits(plan, one.candidate, last) for one in unknown}
        asked = tried_fully(plan, [rival for each in fields.values() for rival in each])
        known = settled(asked, plan.rungs[:-1], book)
        if missing := tuple(one for one in asked if one not in known):
            return Contests(missing=missing)
        reached = means(known)
        for one, each in fields.items():
            tried = [Climber(x, reached[plan.frames[0], x]) for x in each]
            found[one] = tuple(sorted(tried, key=lambda rival: -rival.score))
            if found[one]:
                gains[one] = one.score - found[one][0].score
            else:
                del gains[one]


def _beaten(one: Climber, last: Rung) -> float:
    """Returns the best score of what is published, as it stands, at no larger state."""
    known = [other for other in last.climbers if other.candidate.published]
    small = [x.score for x in known if one.candidate.holds(x.candidate.state, x.candidate.packed)]
    return max(small, default=0.0)


def refits(plan: SearchPlan, to: Candidate, last: Rung) -> list[Candidate]:
    """Returns the published cells of a rung with the longest keys that make no larger state.

    Args:
        plan: what is asked for.
        to: the new cell.
        last: the rung.
    """
    known = [one.candidate for one in last.climbers if one.candidate.published]
    found = (refitted(one, to, plan) for one in known)
    return [one for one in found if one is not None]


def tried_fully(plan: SearchPlan, cells: Iterable[Candidate]) -> list[Training]:
    """Returns the trainings of cells at every rate, for all steps, in the first frame."""
    each = [(one, plan.lrs) for one in dict.fromkeys(cells)]
    return trainings(each, plan.frames[0], plan.steps, plan.seed_numbers)


def means(
    known: Mapping[Training, Reached],
) -> dict[tuple[str, Candidate], dict[float, float]]:
    """Returns the mean score of each cell in each frame by rate.

    Args:
        known: how trainings ended.
    """
    found: dict[tuple[str, Candidate], dict[float, list[float]]] = {}
    for one, reached in known.items():
        rates = found.setdefault((one.frame, one.candidate), {})
        rates.setdefault(one.lr, []).append(reached.validation)
    return {
        who: {lr: statistics.fmean(scores) for lr, scores in rates.items()}
        for who, rates in found.items()
    }
