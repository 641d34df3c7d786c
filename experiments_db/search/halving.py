"""Stage 2: successive halving over cells and rates, as a function of what the store has.

All cells of a rung are tried at equally many rates, with as many steps, on the same seeds. A run of
a rung has a rate that is constant but for its end, where it falls to zero: so the run of the next
rung is, up to that fall, this one, and each rung's fall is branched off one training. It is taken
anew and not from a checkpoint: with rungs of 300, 1 000 and 3 000 steps that costs a quarter more
processor time, and every run is one that anybody can repeat.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .candidates import Candidate, Space
from .ledger import Reached
from .search_plan import SearchPlan
from .sieve import lucky
from .trainings import Training, trainings

BEST, RISING, FRONT, CHANCE = "among the better half", "still rising", "published front", "chance"
WAITING, DROPPED, LAST = "not begun", "dropped", "trained to the end"
"""What becomes of a cell after a rung."""

BEGUN = 0.05
"""A training has begun whose score is so far above that of a guess."""


class Book(Protocol):
    """Knows how trainings ended."""

    def known(self, asked: Iterable[Training]) -> Mapping[Training, Reached]:
        """Returns how those of some trainings ended that are known, which count from then on."""

    def seen(self, asked: Iterable[Training]) -> Mapping[Training, Reached]:
        """Returns the same of trainings that need not count."""


@dataclass(frozen=True, eq=False)
class Climber:
    """A cell on a rung.

    Args:
        candidate: the cell.
        scores: rate -> its mean score on the validation set over seeds.
        rising: whether a curve at one of the rates that go on still rose.
        waiting: whether a training at its best rate has not begun: its score is that of a guess.
        failed: why a training failed; else nothing.
        start: steps of its best rate until half of the way, the mean over seeds; None before.
        spared: where it goes on by chance: what dropped it; else nothing.
        fate: what becomes of it.
    """

    candidate: Candidate
    scores: Mapping[float, float]
    rising: bool = False
    waiting: bool = False
    failed: str = ""
    start: float | None = None
    spared: str = ""
    fate: str = LAST

    @property
    def rate(self) -> float:
        """Its best rate."""
        return max(self.scores, key=lambda lr: self.scores[lr])

    @property
    def score(self) -> float:
        """Its score at this rate."""
        return self.scores[self.rate]

    @property
    def rates_kept(self) -> tuple[float, ...]:
        """The better half of its rates; all where it waits, since guesses tell nothing of them."""
        if self.waiting:
            return tuple(self.scores)
        order = sorted(self.scores, key=lambda lr: -self.scores[lr])
        kept = order[: math.ceil(len(order) / 2)]
        return tuple(lr for lr in self.scores if lr in kept)


@dataclass(frozen=True)
class Rung:
    """One round of halving.

    Args:
        steps: of its trainings.
        climbers: its cells, the best first.
    """

    steps: int
    climbers: tuple[Climber, ...]


@dataclass(frozen=True)
class Climb:
    """How far halving has come.

    Args:
        rungs: those that are complete.
        missing: trainings that the next one lacks; none at the end.
    """

    rungs: tuple[Rung, ...]
    missing: tuple[Training, ...] = ()


def climb(plan: SearchPlan, space: Space, book: Book) -> Climb:
    """Returns how far halving has come by what is known.

    Args:
        plan: what is asked for.
        space: the cells.
        book: how trainings ended.
    """
    cells = [Climber(one, dict.fromkeys(plan.lrs, 0.0), spared=one.spared)
             for one in space.candidates]  # fmt: skip
    done: list[Rung] = []
    for number, steps in enumerate(plan.rungs):
        found = _on_rung(plan, cells, number, book, space.guess)
        if isinstance(found, tuple):
            return Climb(tuple(done), found)
        last = number == len(plan.rungs) - 1
        judged = found if last else halved(found, plan.survivors, f"rung {number + 1}")
        done.append(Rung(steps, tuple(judged)))
        cells = [one for one in judged if one.fate != DROPPED]
        cells = [replace(one, scores=dict.fromkeys(one.rates_kept, 0.0)) for one in cells]
    return Climb(tuple(done))


def _on_rung(
    plan: SearchPlan, cells: Sequence[Climber], number: int, book: Book, guess: float
) -> list[Climber] | tuple[Training, ...]:
    """Returns the cells with what they reached, the best first; or what is missing for that."""
    asked = trainings(
        [(one.candidate, tuple(one.scores)) for one in cells],
        plan.frames[0], plan.rungs[number], plan.seed_numbers,
    )  # fmt: skip
    known = settled(asked, plan.rungs[:number], book)
    if missing := tuple(one for one in asked if one not in known):
        return missing
    results: dict[str, dict[float, list[Reached]]] = {}
    for one, reached in known.items():
        results.setdefault(one.candidate.spec, {}).setdefault(one.lr, []).append(reached)
    found = [_scored(one, results[one.candidate.spec], guess) for one in cells]
    return sorted(found, key=lambda one: -one.score)


def settled(
    asked: Iterable[Training], before: Sequence[int], book: Book
) -> dict[Training, Reached]:
    """Returns how trainings ended, those that came to rest on an earlier rung as they did there.

    A training whose curve was flat before its steps were used up would come to rest at the same
    step if it were given more.

    Args:
        asked: trainings.
        before: steps of the earlier rungs.
        book: how trainings ended.
    """
    left, found = list(asked), dict[Training, Reached]()
    for steps in before:
        earlier = {one: replace(one, steps=steps) for one in left}
        seen = book.seen(earlier.values())
        at_rest = {
            one: shorter
            for one, shorter in earlier.items()
            if shorter in seen and seen[shorter].came_to_rest(steps)
        }
        known = book.known(at_rest.values())
        found |= {one: known[shorter] for one, shorter in at_rest.items()}
        left = [one for one in left if one not in found]
    return found | dict(book.known(left))


def _scored(cell: Climber, results: Mapping[float, Sequence[Reached]], guess: float) -> Climber:
    scores = {lr: statistics.fmean(r.validation for r in results[lr]) for lr in cell.scores}
    failed = [r.message or r.status for rs in results.values() for r in rs if r.status == "failed"]
    scored = replace(cell, scores=scores, failed=failed[0] if failed else "")
    best = results[scored.rate]
    waiting = any(has_not_begun(one, guess) for one in best)
    starts = [r.start for r in best if r.start is not None]
    start = statistics.fmean(starts) if len(starts) == len(best) else None
    scored = replace(scored, waiting=waiting, start=start)
    rising = any(r.rising for lr in scored.rates_kept for r in results[lr])
    return replace(scored, rising=rising)


def has_not_begun(one: Reached, guess: float) -> bool:
    """Returns whether a training that ended well scores as a guess does.

    Args:
        one: how it ended.
        guess: the score of who has bound nothing.
    """
    return one.status == "finished" and one.validation <= guess + BEGUN


def halved(cells: Sequence[Climber], survivors: float, draw: str) -> list[Climber]:
    """Returns the cells of a rung with what becomes of them.

    The better half goes on; so does whatever has not begun or still rises, the published cells
    that no other beats at no larger state, and some by chance, who then stay to the end.

    Args:
        cells: the best first.
        survivors: share of what is dropped that goes on by chance.
        draw: tells this draw from others.
    """
    regular = [one for one in cells if not one.spared]
    better = {one.candidate for one in regular[: math.ceil(len(regular) / 2)]}
    front = {one.candidate for one in published_front(cells)}

    def fate(one: Climber) -> str:
        if one.spared:
            return CHANCE
        if one.candidate in better:
            return BEST
        if one.candidate in front:
            return FRONT
        if one.failed or not (one.waiting or one.rising):
            return DROPPED
        return WAITING if one.waiting else RISING

    fates = {one.candidate.spec: fate(one) for one in cells}
    lost = [spec for spec, said in fates.items() if said == DROPPED]
    spared = lucky(lost, survivors, draw)
    return [
        replace(one, fate=CHANCE, spared=draw)
        if one.candidate.spec in spared
        else replace(one, fate=fates[one.candidate.spec])
        for one in cells
    ]


def published_front(cells: Iterable[Climber]) -> list[Climber]:
    """Returns the published cells that no other published one beats at no larger state."""
    known = [one for one in cells if one.candidate.published]
    return [
        one
        for one in known
        if not any(
            other.score > one.score
            and other.candidate.state <= one.candidate.state
            and other.candidate.packed <= one.candidate.packed
            for other in known
        )
    ]


@dataclass(frozen=True)
class FalseDrops:
    """What became of the cells that went on by chance after one of the drops.

    Args:
        dropped_by: the atlas's reason, or the rung.
        spared: how many went on.
        above: how many of them ended above the median of the cells that were not spared.
    """

    dropped_by: str
    spared: int
    above: int


def false_drops(last: Rung) -> list[FalseDrops]:
    """Returns how many of the cells that went on by chance would have been kept at the end.

    Args:
        last: the last rung.
    """
    regular = [one.score for one in last.climbers if not one.spared]
    middle = statistics.median(regular) if regular else math.inf
    found: dict[str, list[bool]] = {}
    for one in last.climbers:
        if one.spared:
            found.setdefault(one.spared, []).append(one.score >= middle)
    return [FalseDrops(by, len(ends), sum(ends)) for by, ends in found.items()]
