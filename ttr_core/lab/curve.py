r"""What a training's curve on the validation set says: whether it still rises, and when it arrived.

A number taken while a curve rises tells when the training was ended, not what the layer can do.
The curve is one of scores, shares of the way from the worst to the best value of the task's main
metric. It *rises* at step $n$ by

$$\overline{s}(\tfrac{3}{4} n, n] - \overline{s}(\tfrac{1}{2} n, \tfrac{3}{4} n],$$

the mean of the looks in the last quarter of the steps less that in the quarter before.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .metric import Metric

RISE = 0.01
"""A curve that rises by more, a point in a hundred, is not flat."""

LEAST_LOOKS = 3
"""Looks in each quarter without which nothing can be said."""

WAITING = 0.9
"""Below this score a curve that stands still may be waiting for a transition: recall stands at
1 / pairs, or at none, until the keys are bound, and where few features are to part the keys
(t2r-relu, 8 pairs) at .69 to .88 for 100 to 300 steps, from where it goes on to .99."""

MARKS = {50: "half", 90: "nine tenths", 99: "all but a hundredth"}
"""Percent of the way to the best value, whose steps and seconds are noted -> in words."""

STILL_RISING = "still_rising"
RISE_AT_FALL = "rise_at_fall"
"""Whether a curve rose when its rate began to fall, and by how much."""

PACE = (
    *(Metric(f"steps_to_{mark}", "lower", 0.0, None, "", f"Steps until {said} of the way from the "
             "worst to the best value of the main metric, on the validation set.")
      for mark, said in MARKS.items()),
    *(Metric(f"cpu_seconds_to_{mark}", "lower", 0.0, None, "s", "Processor seconds of training "
             f"until {said} of that way.")
      for mark, said in MARKS.items()),
)  # fmt: skip
"""What every training notes of its way, beside the metrics of its task."""

Scores = Sequence[tuple[int, float]]
"""(step, score) of each look, in order."""


def rise(scores: Scores, step: int) -> float | None:
    """Returns by how much a curve rises at a step, or None where too few looks tell.

    Args:
        scores: the looks so far.
        step: n, steps taken.

    Example:
        >>> rise([(n, min(1.0, n / 400)) for n in range(20, 801, 20)], 800)
        0.0
        >>> round(rise([(n, n / 800) for n in range(20, 801, 20)], 800), 3)
        0.25
    """
    last = [score for at, score in scores if 4 * at > 3 * step]
    before = [score for at, score in scores if 2 * step < 4 * at <= 3 * step]
    if min(len(last), len(before)) < LEAST_LOOKS:
        return None
    return statistics.fmean(last) - statistics.fmean(before)


def flat(scores: Scores, step: int) -> bool:
    """Whether a training may end at a step: its curve is up and rises no more.

    Example:
        >>> high, low = ([(n, score) for n in range(20, 801, 20)] for score in (0.9, 0.1))
        >>> flat(high, 800), flat(low, 800)
        (True, False)
    """
    found = rise(scores, step)
    return found is not None and found <= RISE and scores[-1][1] >= WAITING


def first_reached(scores: Scores, mark: int) -> int | None:
    """Returns the place of the first look at which a share of the way was done, or None.

    Args:
        scores: the looks.
        mark: percent of the way.

    Example:
        >>> first_reached([(20, 0.1), (40, 0.95)], 90)
        1
    """
    return next((i for i, (_, score) in enumerate(scores) if 100 * score >= mark), None)
