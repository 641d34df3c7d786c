"""Stage 3: the best new cells against the best published one, frozen, on seeds nobody has seen.

Published cells have the keys that bring them to the finalist's state (`rivals`), and continuous
settings of both sides are sampled where the plan says so (`continuous`). In each frame both sides
have the rate that is best there on the search's seeds: all rates are tried at the last rung's
steps. Then cell, keys and rate stand, and only fresh seeds count.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ttr_core.lab import RISE

from .candidates import Candidate
from .continuous import SAMPLING, Sampled, sampled
from .halving import Book, Climber, Rung, has_not_begun, settled
from .ledger import Reached
from .permuted import LEVEL, detectable, holm, least_gain, p_above
from .rivals import REFITTING, RIVALS, contests, means
from .search_plan import SearchPlan
from .trainings import Training, trainings

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
        rises: by how much the curves of each side rose when their rates fell, the means; infinite
            where it is not known.
        waiting: trainings of either side that have not begun: their scores are those of a guess.
    """

    frame: str
    rival: Candidate
    rates: tuple[float, float]
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    rises: tuple[float, float] = (math.inf, math.inf)
    waiting: int = 0

    @property
    def gain(self) -> float:
        """Difference of the means."""
        return statistics.fmean(self.ours) - statistics.fmean(self.theirs)

    @property
    def rising(self) -> bool:
        """Whether the mean curve of a side still rises: a single one may by luck."""
        return max(self.rises) > RISE

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
        """Whether it is ahead where neither side rises or waits: else it may be quick, no more."""
        return self.ahead and not any(duel.rising or duel.waiting for duel in self.duels)


@dataclass(frozen=True)
class Finals:
    """How far the finals have come.

    Args:
        finalists: the new cells, once nothing is missing.
        detectable: difference that a test at the corrected level finds four times in five.
        missing: trainings that lack.
        stage: what these are for.
        rivals: finalist -> the published cells that were tried at its state, the best first.
        turned: what sampling continuous settings came to.
    """

    finalists: tuple[Finalist, ...] = ()
    detectable: float = 0.0
    missing: tuple[Training, ...] = ()
    stage: str = ""
    rivals: Mapping[Climber, tuple[Climber, ...]] = field(default_factory=dict)
    turned: Sampled = field(default_factory=Sampled)


def finals(plan: SearchPlan, last: Rung, book: Book) -> Finals:
    """Returns how far the finals have come by what is known.

    Args:
        plan: what is asked for.
        last: the last rung of halving.
        book: how trainings ended.
    """
    contest = contests(plan, last, book)
    if contest.missing:
        return Finals(missing=contest.missing, stage=REFITTING)
    sides = {
        one.candidate: (one.rate, one.score)
        for ours, found in contest.rivals.items()
        for one in (ours, *found[:RIVALS])
    }
    turned = sampled(plan, sides, book)
    if turned.missing:
        return Finals(missing=turned.missing, stage=SAMPLING, rivals=contest.rivals)
    rivals = {
        turned.best[ours.candidate]: [turned.best[one.candidate] for one in found[:RIVALS]]
        for ours, found in contest.rivals.items()
    }
    asked = tuning(plan, [*rivals, *(rival for found in rivals.values() for rival in found)])
    known = settled(asked, plan.rungs[:-1], book)
    if missing := tuple(one for one in asked if one not in known):
        return Finals(missing=missing, stage="tuning in all frames", rivals=contest.rivals)
    rates: dict[tuple[str, Candidate], float] = {}
    scores: dict[tuple[str, Candidate], float] = {}
    for who, by_rate in means(known).items():
        rates[who] = max(by_rate, key=lambda lr: by_rate[lr])
        scores[who] = by_rate[rates[who]]
    pairs = {
        (frame, one): max(found, key=lambda rival: scores[frame, rival])
        for frame in plan.frames
        for one, found in rivals.items()
    }
    return replace(_fought(plan, pairs, rates, book), rivals=contest.rivals, turned=turned)


def tuning(plan: SearchPlan, cells: Iterable[Candidate]) -> list[Training]:
    """Returns the trainings that choose the rates of some cells in all frames.

    Args:
        plan: what is asked for.
        cells: both sides.
    """
    each = [(one, plan.lrs) for one in dict.fromkeys(cells)]
    return [
        training
        for frame in plan.frames
        for training in trainings(each, frame, plan.steps, plan.seed_numbers)
    ]


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
    rises = {who: _mean_rise(known[one] for one in group) for who, group in asked.items()}
    waiting = {
        who: sum(has_not_begun(known[one], one.candidate.guess) for one in group)
        for who, group in asked.items()
    }
    duels: dict[Candidate, list[Bout]] = {}
    for (frame, ours), rival in pairs.items():
        me, other = (frame, ours), (frame, rival)
        still, late = (rises[me], rises[other]), waiting[me] + waiting[other]
        duel = Bout(frame, rival, (rates[me], rates[other]), tests[me], tests[other], still, late)
        duels.setdefault(ours, []).append(duel)
    return judged_finals(duels)


def _mean_rise(ends: Iterable[Reached]) -> float:
    """Returns the mean rise of trainings; one that diverged has none, one that is unknown any."""
    return statistics.fmean(
        0.0 if one.status != "finished" else math.inf if one.rise is None else one.rise
        for one in ends
    )


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
