"""Continuous settings of the cells of the finals, such as ridges, sampled by Optuna.

Both sides of a comparison get equally many trials, in the first frame, on the seeds of the search,
for the steps of the last rung: a finalist whose ridge was sampled must not meet rivals whose ridge
stands. What comes next follows from the store alone, since the sampler's draws follow from its seed
and from what was told it before.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import ttr_core as ttr
from ttr_core import AXES, options_of

from .candidates import Candidate, rewritten
from .halving import Book
from .sampler import OptunaSampler, SampledOption, Sampler
from .search_plan import SearchPlan
from .trainings import Training, trainings

SAMPLING = "continuous settings of the finals"
DIGITS = 3
"""Of a value that was sampled, so that its text reads back as it is."""


def sampled_options(text: str) -> tuple[SampledOption, ...]:
    """Returns the continuous settings of a cell: those whose options say what tuning tries.

    Args:
        text: a spec. Options of a product's factors stand as they are.

    Example:
        >>> [str(one) for one in sampled_options("Gate | Linear | Exact")]
        ['optimizer.ridge']
    """
    spec = ttr.Spec.parse(text)
    return tuple(
        SampledOption(axis, option.name, min(option.tune), max(option.tune))
        for axis in AXES
        for option in options_of(type(getattr(spec, axis)))
        if option.tune and min(option.tune) > 0
    )


def with_values(text: str, values: Mapping[str, float]) -> str:
    """Returns a cell with other values of its continuous settings.

    Args:
        text: a spec.
        values: option, as text -> value; three digits of it count.

    Example:
        >>> with_values("Uniform | Linear | Exact", {"optimizer.ridge": 0.123456})
        'Uniform | Linear | Exact(ridge=0.123)'
    """
    spec = ttr.Spec.parse(text)
    for name, value in values.items():
        axis, _, option = name.partition(".")
        rounded = float(f"{value:.{DIGITS}g}")
        spec = replace(spec, **{axis: replace(getattr(spec, axis), **{option: rounded})})
    return str(spec)


@dataclass(frozen=True)
class Sampled:
    """What became of cells whose continuous settings were sampled.

    Args:
        best: cell -> the best of it as it stood and as it was sampled.
        tried: cell -> settings tried beside its own.
        missing: trainings that lack.
    """

    best: Mapping[Candidate, Candidate] = field(default_factory=dict)
    tried: Mapping[Candidate, int] = field(default_factory=dict)
    missing: tuple[Training, ...] = ()


def sampled(
    plan: SearchPlan,
    sides: Mapping[Candidate, tuple[float, float]],
    book: Book,
    sampler: Callable[[int], Sampler] = OptunaSampler,
) -> Sampled:
    """Returns cells with the best continuous settings that the plan's trials came upon.

    Args:
        plan: what is asked for.
        sides: cell -> its rate and its score at it, as it stands.
        book: how trainings ended.
        sampler: makes what draws values from a seed.
    """
    best, tried, missing = dict[Candidate, Candidate](), dict[Candidate, int](), list[Training]()
    for one, at in sides.items():
        best[one], tried[one] = one, 0
        if plan.trials and (own := sampled_options(one.spec)):
            draws = sampler(plan.seed_numbers[0])
            best[one], tried[one], lacking = _tried(plan, one, at, own, draws, book)
            missing += lacking
    return Sampled(best, tried, tuple(missing))


def _tried(
    plan: SearchPlan,
    one: Candidate,
    at: tuple[float, float],
    own: tuple[SampledOption, ...],
    draws: Sampler,
    book: Book,
) -> tuple[Candidate, int, list[Training]]:
    """Returns the best of a cell, how many settings were tried, and what lacks for the next."""
    (rate, highest), best = at, one
    for number in range(plan.trials):
        varied = rewritten(one, with_values(one.spec, draws.ask(own)), plan)
        asked = trainings([(varied, (rate,))], plan.frames[0], plan.steps, plan.seed_numbers)
        known = book.known(asked)
        if lacking := [training for training in asked if training not in known]:
            return best, number, lacking
        reached = statistics.fmean(known[training].validation for training in asked)
        draws.tell(reached)
        if reached > highest:
            best, highest = varied, reached
    return best, plan.trials, []
