"""Stage 3: the best new cells against the best published one, frozen, on seeds nobody has seen.

In each frame both sides have the rate that is best there on the search's seeds: in the first frame
by halving, in the others all rates are tried at the last rung's steps. Then cell, keys and rate
stand, and only fresh seeds count.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .candidates import Candidate
from .halving import Book, Climber, Rung
from .ledger import Reached
from .permuted import LEVEL, detectable, holm, least_gain, p_above
from .search_plan import SearchPlan
from .trainings import Training, trainings

RIVALS = 3
"""Published cells at no larger state, of each finalist, that other frames choose the best of."""

LEAST_GAIN = 0.01
"""A claim needs a gain of a point in a hundred, however sure a smaller one is."""


@dataclass(frozen=True)
class Bout:
    """A finalist against a published cell in a frame, on fresh seeds.

    Args:
        frame: their surroundings.
        rival: the published cell.
        rates: of both.
        ours: scores on the test set, a seed each.
        theirs: those of the rival.
        rising: how many trainings of either side still rose when their steps were used up.
    """

    frame: str
    rival: Candidate
    rates: tuple[float, float]
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    rising: int = 0

    @property
    def gain(self) -> float:
        """Difference of the means."""
        return statistics.fmean(self.ours) - statistics.fmean(self.theirs)

    @property
    def p(self) -> float:
        """One-sided, that ours is not above."""
        return p_above(self.ours, self.theirs)

    @property
    def spread(self) -> float:
        """Standard deviation within a side, of both together."""
        sides = statistics.variance(self.ours), statistics.variance(self.theirs)
        return math.sqrt(statistics.fmean(sides))

    def bounds(self, level: float) -> tuple[float, float]:
        """Returns what the gain is at least and at most.

        Args:
            level: share of either that is wrong, at most.
        """
        return (
            least_gain(self.ours, self.theirs, level),
            -least_gain(self.theirs, self.ours, level),
        )


@dataclass(frozen=True)
class Finalist:
    """A new cell with its comparisons.

    Args:
        candidate: the cell.
        duels: one for each frame.
        p: the largest of them, corrected for the number of finalists.
        bounds: of each frame, corrected for the number of finalists.
    """

    candidate: Candidate
    duels: tuple[Bout, ...]
    p: float
    bounds: tuple[tuple[float, float], ...]

    @property
    def ahead(self) -> bool:
        """Whether it is above the best published cell: surely, by a point, in every frame."""
        sure = self.p <= LEVEL and all(low > 0 for low, _ in self.bounds)
        return sure and all(duel.gain >= LEAST_GAIN for duel in self.duels)

    @property
    def claimed(self) -> bool:
        """Whether it is ahead where no curve still rises: else it may be quick and no more."""
        return self.ahead and not any(duel.rising for duel in self.duels)


@dataclass(frozen=True)
class Finals:
    """How far the finals have come.

    Args:
        finalists: the new cells, once nothing is missing.
        detectable: difference that a test at the corrected level finds four times in five.
        missing: trainings that lack.
        stage: what these are for.
    """

    finalists: tuple[Finalist, ...] = ()
    detectable: float = 0.0
    missing: tuple[Training, ...] = ()
    stage: str = ""


def finals(plan: SearchPlan, last: Rung, book: Book) -> Finals:
    """Returns how far the finals have come by what is known.

    Args:
        plan: what is asked for.
        last: the last rung of halving.
        book: how trainings ended.
    """
    chosen = finalists(plan, last)
    contest = {one: published_rivals(one, last) for one in chosen}
    rates: dict[tuple[str, Candidate], float] = {}
    scores: dict[tuple[str, Candidate], float] = {}
    sides = dict.fromkeys([*chosen, *(rival for found in contest.values() for rival in found)])
    for one in sides:
        rates[plan.frames[0], one.candidate] = one.rate
        scores[plan.frames[0], one.candidate] = one.score
    asked = tuning(plan, sides)
    known = book.known(asked)
    if missing := tuple(one for one in asked if one not in known):
        return Finals(missing=missing, stage="tuning in other frames")
    for (frame, candidate), by_rate in _means(known).items():
        best = max(by_rate, key=lambda lr: by_rate[lr])
        rates[frame, candidate], scores[frame, candidate] = best, by_rate[best]
    pairs = {
        (frame, one.candidate): max(
            (rival.candidate for rival in contest[one]), key=lambda rival: scores[frame, rival]
        )
        for frame in plan.frames
        for one in chosen
    }
    return _fought(plan, pairs, rates, book)


def finalists(plan: SearchPlan, last: Rung) -> list[Climber]:
    """Returns the new cells that are furthest above what is published at no larger state."""
    new = [one for one in last.climbers if not one.candidate.published and not one.failed]
    told = [(one, published_rivals(one, last)) for one in new]
    gains = {one: one.score - found[0].score for one, found in told if found}
    return sorted(gains, key=lambda one: -gains[one])[: plan.finalists]


def published_rivals(one: Climber, last: Rung) -> list[Climber]:
    """Returns the best published cells at no larger state, by either count; the best first."""
    own = one.candidate
    found = [
        other
        for other in last.climbers
        if other.candidate.published
        and (other.candidate.state <= own.state or other.candidate.packed <= own.packed)
    ]
    return sorted(found, key=lambda other: -other.score)[:RIVALS]


def tuning(plan: SearchPlan, sides: Iterable[Climber]) -> list[Training]:
    """Returns the trainings that choose the rates of some cells in all frames but the first."""
    cells = [(one.candidate, plan.lrs) for one in sides]
    return [
        training
        for frame in plan.frames[1:]
        for training in trainings(cells, frame, plan.steps, plan.seed_numbers)
    ]


def _means(
    known: Mapping[Training, Reached],
) -> dict[tuple[str, Candidate], dict[float, float]]:
    """Returns the mean score of each cell in each frame by rate."""
    found: dict[tuple[str, Candidate], dict[float, list[float]]] = {}
    for one, reached in known.items():
        rates = found.setdefault((one.frame, one.candidate), {})
        rates.setdefault(one.lr, []).append(reached.validation)
    return {
        who: {lr: statistics.fmean(scores) for lr, scores in rates.items()}
        for who, rates in found.items()
    }


def _fought(
    plan: SearchPlan,
    pairs: Mapping[tuple[str, Candidate], Candidate],
    rates: Mapping[tuple[str, Candidate], float],
    book: Book,
) -> Finals:
    """Returns the comparisons on fresh seeds."""
    sides = dict.fromkeys(
        (frame, one) for (frame, ours), rival in pairs.items() for one in (ours, rival)
    )
    asked = {
        (frame, one): trainings(
            [(one, (rates[frame, one],))], frame, plan.steps, plan.fresh_numbers
        )
        for frame, one in sides
    }
    every = [training for group in asked.values() for training in group]
    known = book.known(every)
    if missing := tuple(one for one in every if one not in known):
        return Finals(missing=missing, stage="finals")
    tests = {who: tuple(known[one].test for one in group) for who, group in asked.items()}
    rising = {who: sum(known[one].rising for one in group) for who, group in asked.items()}
    duels: dict[Candidate, list[Bout]] = {}
    for (frame, ours), rival in pairs.items():
        me, other = (frame, ours), (frame, rival)
        still = rising[me] + rising[other]
        duel = Bout(frame, rival, (rates[me], rates[other]), tests[me], tests[other], still)
        duels.setdefault(ours, []).append(duel)
    return judged_finals(duels)


def judged_finals(duels: Mapping[Candidate, Sequence[Bout]]) -> Finals:
    """Returns what follows from the comparisons of all finalists, corrected for their number.

    A claim needs every frame, so that the p of a finalist is the largest of its frames; Holm's
    method corrects it for the number of finalists, and bounds are those at a level divided by it.

    Args:
        duels: of each finalist, one for each frame.
    """
    if not duels:
        return Finals()
    level = LEVEL / len(duels)
    ps = holm([max(duel.p for duel in each) for each in duels.values()])
    found = tuple(
        Finalist(one, tuple(each), p, tuple(duel.bounds(level) for duel in each))
        for (one, each), p in zip(duels.items(), ps, strict=True)
    )
    every = [duel for each in duels.values() for duel in each]
    least = max(detectable(duel.spread, len(duel.ours), level) for duel in every)
    return Finals(found, least)
