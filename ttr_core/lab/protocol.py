"""The rules of a training: its settings, the rates it tries, its schedule, and when it stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ..space.constraints import Choice, Either, Number
from ..space.option import check_options, option
from .curve import rise
from .metric import Metric
from .trainers import TRAINERS

RATES = tuple(round(10 ** (-4 + i * (math.log10(3e-2) + 4) / 5), 7) for i in range(6))
"""The learning rates that ``lr="auto"`` and the standard protocol try."""

SEEDS = 3
"""The seeds that the standard protocol demands."""

TEST_SETS = 4  # the test set is this many times as large as the validation set
LOOKS_TO_SETTLE = 3  # looks in a row at the target before a run stops there
REPORT_EVERY = 5  # steps between two points of the loss curve
FIRST_ROUND = 4
"""Successive halving begins with this part of all steps: earlier, rates that are merely slow to
start would be dropped (docs/sweeps.md has the figures)."""

AFTER_FIRST_ROUND = "after_first_round"
"""Column of the table of learning rates: the main metric when all had the same training."""

PROTOCOLS = ("quick", "standard", "search")

PRODUCTS = ("float32", "bfloat16")

COOLDOWN = 0.2
"""The steps in which the rate falls to zero, over those before them."""


@dataclass(frozen=True)
class TrainConfig:
    r"""How a model is trained: at one rate until its curve is flat, then down to rest.

    The rate grows to its peak, stays there, and falls to zero as $1 - \sqrt{x}$ once the curve on
    the validation set is up and flat (`ttr_core.lab.curve`) or so few steps are left that only a
    fifth more than were taken fit. So the end need not be known at the start, and a number is not
    taken at a transition. Shape and share of the fall: Scaling Laws and Compute-Optimal Training
    Beyond Fixed Training Durations (Hägele et al., 2024) https://arxiv.org/abs/2405.18392

    Args:
        lr: the peak learning rate, or ``auto``: successive halving over `RATES` (protocol
            ``quick``), or every one of them trained in full (the other protocols).
        target: a share of the way from the worst to the best value of the task's main metric: of
            an accuracy the accuracy itself, of a distance from 0 to 2 the distance 2 (1 - target).
        protocol: ``quick`` stops at the target; ``standard`` never does, chooses the rate on the
            validation set and reports on the test set, for comparisons; ``search`` never does
            either, and is the one of a search over cells, which chooses rates over many runs.
        least_rate: of `RATES`, those below are not tried, so that a comparison within few steps
            spends none on rates that cannot arrive in them.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.TrainConfig(steps=200, lr=0.003).rates
        (0.003,)
    """

    name: ClassVar[str] = "train"  # what its settings are called by, as on the command line
    revision: ClassVar[int] = 5  # raised when it computes otherwise under the same settings

    lr: str | float = option(
        0.01, "Peak learning rate, from 1e-6 to 1, or auto.",
        constraint=Either(Choice(("auto",)), Number(1e-6, 1)),
    )  # fmt: skip
    steps: int = option(600, "Steps at most.", low=1, high=1_000_000)
    batch_size: int = option(32, "Sequences per step.", low=1, high=65536)
    warmup: int = option(20, "Steps until the learning rate has grown to its peak.", low=0)
    weight_decay: float = option(0.1, "Decay of matrices.", low=0.0, high=10.0)
    clip: float = option(1.0, "Largest gradient norm; 0 does not clip.", low=0.0)
    target: float | None = option(
        0.99, "Accuracy, or how near another metric must be to its best, whose time is taken "
        "(none: no target).", low=0.0, high=1.0,
    )  # fmt: skip
    seconds: float | None = option(None, "Seconds at most (none: no limit).", low=0.0)
    eval_every: int = option(20, "Steps between looks at the validation set.", low=1)
    eval_examples: int = option(128, "Sequences in the validation set.", low=1, high=65536)
    protocol: str = option("quick", "Rules of the run.", choices=PROTOCOLS)
    least_rate: float = option(
        RATES[0], "Smallest learning rate that auto tries.", low=RATES[0], high=RATES[-1], since=2,
    )  # fmt: skip
    trainer: str = option(
        "adamw", "What moves the weights: AdamW, or Muon for matrices.", choices=tuple(TRAINERS),
        since=3,
    )  # fmt: skip
    loss_products: str = option(
        "float32", "Precision of the products of the loss: most of a step with many words is "
        "these, which some processors multiply several times as fast in bfloat16.",
        choices=PRODUCTS, since=4,
    )  # fmt: skip
    compile: bool = option(
        False, "Whether torch.compile makes the layers faster, after a minute of compiling.",
        since=4,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to try."""
        if self.lr != "auto":
            return (float(self.lr),)
        return tuple(rate for rate in RATES if rate >= self.least_rate)

    @property
    def stops_at_target(self) -> bool:
        """Whether the run ends when the target is reached."""
        return self.protocol == "quick" and self.target is not None

    def reached(self, metric: Metric, value: float) -> bool:
        """Whether a value of the main metric is at the target."""
        score = metric.score(value)
        return self.target is not None and score is not None and score >= self.target

    @property
    def latest_fall(self) -> int:
        """The step after which the rate falls at the latest, so that all steps suffice."""
        return math.ceil(self.steps / (1 + COOLDOWN))

    @property
    def can_tell(self) -> bool:
        """Whether there are looks enough, before its fall, to tell whether its curve rises."""
        fall, every = self.latest_fall, self.eval_every
        return rise([(step, 0.0) for step in range(every, fall + 1, every)], fall) is not None

    def rest_at(self, step: int) -> int:
        """Returns the step at which a training is over whose rate falls from a step on."""
        return min(self.steps, step + max(1, round(COOLDOWN * step)))

    def rate_at(self, peak: float, step: int, fall: int | None = None) -> float:
        """Returns the learning rate of a step.

        Args:
            peak: the largest.
            step: steps taken before.
            fall: steps that were taken when the rate began to fall, or None where it has not.
        """
        grown = min(1.0, (step + 1) / max(1, self.warmup))
        if fall is None:
            return peak * grown
        share = (step - fall) / max(1, self.rest_at(fall) - fall)
        return peak * grown * (1 - math.sqrt(min(1.0, share)))

    def looks(self, step: int, last: int) -> bool:
        """Whether the validation set is looked at after a step; always after the last."""
        return step % self.eval_every == 0 or step == last

    def round_ends(self, number: int, rivals: int) -> int:
        """Returns until which step a round of successive halving trains those still in it.

        The first round takes a quarter of all steps, the second a half; a rate that is left alone
        is trained to the end.
        """
        first = max(self.eval_every, self.steps // FIRST_ROUND)
        return self.steps if rivals == 1 else min(first * 2**number, self.latest_fall)
