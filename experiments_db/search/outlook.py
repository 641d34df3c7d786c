"""What a search will do and cost, told before anything of it is run."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ttr_core import how_many

from ..store import Store
from ..sweeps import Pace, in_words, tried
from ..sweeps.plan_file import Source
from ..sweeps.questions import past
from .candidates import Candidate, Space
from .continuous import SAMPLING, sampled_options
from .ledger import Ledger
from .rivals import REFITTING, RIVALS
from .search_plan import SearchPlan
from .trainings import Training, trainings

TRIALS = 12
"""Cells that are tried for a few steps, where nothing is known of how long they take."""

MOST_TRAININGS = 100_000
"""Of a rung: so many are kept in mind."""

COLUMNS = ("cell", "published", "K", "state", "packed", "spared", "seconds")


@dataclass(frozen=True)
class Leg:
    """A part of a search.

    Args:
        name: what it is.
        least: runs at least.
        most: runs at most.
        least_hours: processor hours that the former take.
        most_hours: and the latter.
    """

    name: str
    least: int
    most: int
    least_hours: float
    most_hours: float

    def __str__(self) -> str:
        runs = how_many(self.most, "run")
        runs = runs if self.least == self.most else f"{self.least:,} to {runs}"
        low, high = in_words(3600 * self.least_hours), in_words(3600 * self.most_hours)
        return f"{self.name}: {runs}, {low if low == high else f'{low} to {high}'}"


@dataclass(frozen=True)
class Outlook:
    """What a search will do.

    Args:
        plan: what is asked for.
        space: the cells.
        stages: its parts.
        pace: how long runs take.
    """

    plan: SearchPlan
    space: Space
    stages: tuple[Leg, ...]
    pace: Pace

    def lines(self) -> list[str]:
        """Returns it in sentences."""
        plan, space = self.plan, self.space
        known = sum(one.published for one in space.candidates)
        fresh, seeds = len(plan.fresh_numbers), len(plan.seed_numbers)
        low = sum(one.least_hours for one in self.stages)
        high = sum(one.most_hours for one in self.stages)
        told = [
            f"{how_many(len(space.candidates), 'cell')}, {known:,} of them published, on "
            f"{plan.task.name}: {how_many(len(plan.lrs), 'rate')}, {how_many(seeds, 'seed')}, "
            f"frame {plan.frames[0]}; finals on {how_many(fresh, 'fresh seed')} in "
            f"{' and '.join(plan.frames)}"
        ]
        told += [f"Dropped: {count:,}, {kind}." for kind, count in space.counts.items()]
        if space.spared:
            names = "; ".join(one.spec for one in space.spared)
            told.append(f"Of what the atlas drops {len(space.spared)} go on by chance: {names}.")
        first = replace(space.candidates[0].experiment.train, steps=plan.rungs[0])
        if not first.can_tell:
            looks = "lower train.eval_every, or " if replace(first, eval_every=1).can_tell else ""
            told.append(
                f"The first rung of {first.steps:,} steps has too few looks, one every "
                f"{first.eval_every}, to tell whether a curve rises, so that it drops nothing but "
                f"what fails: {looks}lengthen the rung."
            )
        if plan.trials and not _sampled(space.candidates):
            told.append("No cell has a continuous setting, so that `trials` samples nothing.")
        told += [str(one) for one in self.stages]
        by = f"by {self.pace.told}"
        whole = " to ".join(_said_hours(most) for most in sorted({low, high}))
        limit = "" if plan.budget is None else f", of a budget of {plan.budget:g}"
        return [*told, f"In all {whole} processor hours{limit}, {by}."]

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for each cell."""
        lr, steps = self.plan.lrs[0], self.plan.rungs[0]
        runs = trainings(
            [(one, (lr,)) for one in self.space.candidates], self.plan.frames[0], steps, (0,)
        )
        return [
            {
                "cell": run.candidate.spec,
                "published": ", ".join(run.candidate.names),
                "K": run.planned.experiment.model.regressions()[0][1].key_dim or None,
                "state": run.candidate.state,
                "packed": run.candidate.packed,
                "spared": run.candidate.spared,
                "seconds": self.pace.seconds(run.planned.kind),
            }
            for run in runs
        ]

    def document(self) -> dict[str, Any]:
        """Returns what ``--dry-run --json`` prints."""
        dropped = [{"cell": x.spec, "kind": x.kind, "why": x.why} for x in self.space.dropped]
        stages = [vars(one) for one in self.stages]
        return {"cells": self.rows(), "dropped": dropped, "stages": stages}


def look_ahead(
    store: Store,
    plan: SearchPlan,
    source: Source,
    space: Space,
    told: Callable[[int, int], None] = lambda done, total: None,
    beside: Store | None = None,
) -> Outlook:
    """Returns what a search will do.

    Args:
        store: where runs are kept.
        plan: what is asked for.
        source: where its parts stand, for errors.
        space: the cells.
        told: hears how many of the cells that are tried are done.
        beside: where more runs are, which tell how long runs take where the store has none.

    Raises:
        RequestError: the first rung has too many trainings, or the budget does not suffice for it.
    """
    _check_number(plan, len(space.candidates), source)
    asked = _first_rung(plan, space.candidates)
    first = [one.planned for one in asked]
    tasks = {plan.task.name}
    pace = Pace(past(store, tasks) or (past(beside, tasks) if beside is not None else ()))
    unknown = [run for run in first if not pace.knows(run.kind)]
    if unknown:
        some = {run.layer: run for run in unknown}
        drawn = random.Random(0).sample(sorted(some), min(TRIALS, len(some)))
        pace = tried([some[name] for name in drawn], told, pace)
    stages = (*_rungs(plan, space.candidates, pace), *_finals(plan, space.candidates, pace))
    if plan.budget is not None:
        book = Ledger(store, space.candidates[0].experiment.task.main(), beside)
        _check_budget(plan.budget, asked, book, pace, source)
    return Outlook(plan, space, stages, pace)


def _check_budget(
    budget: float, asked: Sequence[Training], book: Ledger, pace: Pace, source: Source
) -> None:
    """Refuses a first rung of which what lacks does not fit beside what is there."""
    known = book.known(asked)
    lacking = [one.planned.kind for one in asked if one not in known]
    spent, needed = book.cpu_seconds / 3600, pace.processor(lacking)[0] / 3600
    if not lacking or spent + needed <= budget:
        return
    there = f"lacks {how_many(len(lacking), 'run')}, which take" if known else "takes"
    taken = f", {_said_hours(spent)} are spent" if known else ""
    raise source.error(
        ("budget",), f"the first rung alone, {how_many(len(asked), 'run')}, {there} about "
        f"{_said_hours(needed)} processor hours{taken}, and the budget is {budget:g}: raise it, "
        "shorten the first rung, or name fewer weights, functions, optimizers, rates or seeds."
    )  # fmt: skip


def _check_number(plan: SearchPlan, cells: int, source: Source) -> None:
    """Refuses a first rung that is too large, before any of its trainings is made."""
    rates, seeds = len(plan.lrs), len(plan.seed_numbers)
    if (count := cells * rates * seeds) > MOST_TRAININGS:
        axes = f"{how_many(cells, 'cell')} x {how_many(rates, 'rate')} x {how_many(seeds, 'seed')}"
        raise source.error(
            (), f"the first rung has {count:,} trainings ({axes}); at most {MOST_TRAININGS:,} are "
            "allowed: name fewer weights, functions, optimizers, rates or seeds."
        )  # fmt: skip


def _said_hours(hours: float) -> str:
    """Returns hours as they are said: two digits, and whole from a hundred on.

    Example:
        >>> _said_hours(0.125), _said_hours(8.04), _said_hours(632.1), _said_hours(6320)
        ('0.12', '8', '632', '6,320')
    """
    return f"{hours:.2g}" if hours < 99.5 else f"{hours:,.0f}"


def _first_rung(plan: SearchPlan, cells: Sequence[Candidate]) -> list[Training]:
    return trainings(
        [(one, plan.lrs) for one in cells], plan.frames[0], plan.rungs[0], plan.seed_numbers
    )


def _hours(plan: SearchPlan, cells: Sequence[Candidate], steps: int, pace: Pace) -> float:
    """Returns the processor hours of one run of each cell."""
    asked = trainings([(one, plan.lrs[:1]) for one in cells], plan.frames[0], steps, (0,))
    return pace.processor(one.planned.kind for one in asked)[0] / 3600


def _rungs(plan: SearchPlan, cells: Sequence[Candidate], pace: Pace) -> list[Leg]:
    found, seeds = [], len(plan.seed_numbers)
    rates, few = len(plan.lrs), len(cells)
    every = len(cells) * rates * seeds  # where none has begun, or all rise
    for number, steps in enumerate(plan.rungs, 1):
        each = _hours(plan, cells, steps, pace) / len(cells)
        least = few * rates * seeds
        name = f"rung {number}, {steps:,} steps"
        found.append(Leg(name, least, every, each * least, each * every))
        few, rates = math.ceil(few / 2), math.ceil(rates / 2)
    return found


def _finals(plan: SearchPlan, cells: Sequence[Candidate], pace: Pace) -> list[Leg]:
    """Returns the published cells at the finalists' states, the tuning of both, and the finals."""
    each = _hours(plan, cells, plan.steps, pace) / len(cells)
    tried = len(plan.lrs) * len(plan.seed_numbers)
    final = len(plan.frames) * len(plan.fresh_numbers)
    known = sum(one.published for one in cells)
    chosen, met = min(plan.finalists, len(cells) - known), min(RIVALS, known)
    drawn = _sampled(cells)
    theirs = sum(one.published for one in drawn)
    varied = min(chosen, len(drawn) - theirs) + min(met, theirs) * chosen
    told = [
        (REFITTING, tried, 1, known * chosen),
        (SAMPLING, plan.trials * len(plan.seed_numbers), 0, varied),
        ("tuning of both in all frames", tried * len(plan.frames), 2, (1 + met) * chosen),
        ("finals", final, 2, 2 * chosen),
    ]
    return [
        Leg(name, least * runs, most * runs, least * runs * each, most * runs * each)
        for name, runs, least, most in told
        if runs and most
    ]


def _sampled(cells: Iterable[Candidate]) -> list[Candidate]:
    """Returns the cells that have continuous settings."""
    return [one for one in cells if sampled_options(one.spec)]
