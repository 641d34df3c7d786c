"""The rules of a training: its settings, the rates it tries, its schedule, and when it stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..space.constraints import Choice, Either, Number
from ..space.option import check_options, option
from .metric import Metric

RATES = tuple(round(10 ** (-4 + i * (math.log10(3e-2) + 4) / 5), 7) for i in range(6))
"""The learning rates that ``lr="auto"`` and the standard protocol try."""

SEEDS = 3
"""The seeds that the standard protocol demands."""

TEST_SETS = 4  # the test set is this many times as large as the validation set
LOOKS_TO_SETTLE = 3  # looks in a row at the target before a run stops there
REPORT_EVERY = 5  # steps between two points of the loss curve
FIRST_ROUND = 12  # successive halving begins with this part of all steps


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Args:
        lr: the peak learning rate, or ``auto``: successive halving over `RATES` (protocol
            ``quick``), or every one of them trained in full (protocol ``standard``).
        target: a share of the way from the worst to the best value of the task's main metric: of
            an accuracy the accuracy itself, of a distance from 0 to 2 the distance 2 (1 - target).
        protocol: ``quick`` stops at the target; ``standard`` never does, chooses the rate on the
            validation set and reports on the test set, for comparisons.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.TrainConfig(steps=200, lr=0.003).rates
        (0.003,)
    """

    revision: ClassVar[int] = 1  # raised when it computes otherwise under the same settings

    lr: str | float = option(
        0.01, "Peak learning rate, from 1e-6 to 1, or auto.",
        constraint=Either(Choice(("auto",)), Number(1e-6, 1)),
    )  # fmt: skip
    steps: int = option(600, "Steps at most.", low=1, high=1_000_000)
    batch_size: int = option(32, "Sequences per step.", low=1, high=65536)
    warmup: int = option(20, "Steps until the learning rate has grown to its peak.", low=0)
    weight_decay: float = option(0.1, "AdamW's decay of matrices.", low=0.0, high=10.0)
    clip: float = option(1.0, "Largest gradient norm; 0 does not clip.", low=0.0)
    target: float | None = option(
        0.99, "Accuracy, or how near another metric must be to its best, whose time is taken "
        "(none: no target).", low=0.0, high=1.0,
    )  # fmt: skip
    seconds: float | None = option(None, "Seconds at most (none: no limit).", low=0.0)
    eval_every: int = option(20, "Steps between looks at the validation set.", low=1)
    eval_examples: int = option(128, "Sequences in the validation set.", low=1, high=65536)
    protocol: str = option("quick", "Rules of the run.", choices=("quick", "standard"))

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to try."""
        return RATES if self.lr == "auto" else (float(self.lr),)

    @property
    def stops_at_target(self) -> bool:
        """Whether the run ends when the target is reached."""
        return self.protocol == "quick" and self.target is not None

    def reached(self, metric: Metric, value: float) -> bool:
        """Whether a value of the main metric is at the target."""
        score = metric.score(value)
        return self.target is not None and score is not None and score >= self.target

    def rate_at(self, peak: float, step: int) -> float:
        """Returns the learning rate of a step: linear warmup, then a cosine to a tenth."""
        return peak * self._share(step)

    def _share(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * share))

    def looks(self, step: int, last: int) -> bool:
        """Whether the validation set is looked at after a step; always after the last."""
        return step % self.eval_every == 0 or step == last

    def round_ends(self, number: int, rivals: int) -> int:
        """Returns until which step a round of successive halving trains those still in it.

        The first round takes a twelfth of all steps, each further one twice as many as the one
        before; a rate that is left alone is trained to the end.
        """
        first = max(self.eval_every, self.steps // FIRST_ROUND)
        return self.steps if rivals == 1 else min(first * 2**number, self.steps)
