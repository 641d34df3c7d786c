"""Adaptation: how a cell predicts after what it has learned changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from ...space.option import option
from ...space.spec import Spec
from ..metric import Metric
from ..tasks.constants import Constants
from ..tasks.regression import Regression
from .base import Curves, Probe
from .measured import Measured, resampled

TUNING_SEQUENCES = 8


@dataclass(frozen=True)
class Adaptation(Probe):
    """How well a cell predicts before and after a linear relation is replaced by another.

    The process ``linear`` of the task ``regression``: unit keys, v = W k + noise, another W from
    the middle on. Predicting zero costs about 1.

    Example:
        | step     | 0 to T/2           | from T/2 on          |
        |----------|--------------------|----------------------|
        | written  | k, W k             | k, W' k              |
        | asked    | the next key       | the next key         |
        | right    | W times it         | W' times it          |

    Example:
        >>> import ttr_core as ttr
        >>> found = Adaptation(dim=4, sequences=4).evaluate(ttr.Spec.parse("Decay | Linear | RLS"))
        >>> found.metrics["error_before"] < found.metrics["error_after"] < 1
        True
    """

    name: ClassVar[str] = "adaptation"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("error_after", "lower", 0.0, help="The error after the process has changed."),
        Metric("error_before", "lower", 0.0, help="The error before the process changes."),
    )

    seq_len: int = option(128, "Predictions in each sequence.", low=8, high=4096)

    @property
    def process(self) -> Regression:
        """The task whose sequences these are."""
        return Regression(
            process="linear", seq_len=self.seq_len, dim=self.dim, sequences=self.sequences
        )

    def loss(self, seed: int, device: str) -> Callable[[Constants], float]:
        process = self.process
        data = process.data(seed, "validation", TUNING_SEQUENCES)
        return lambda constants: process.errors(constants, data, device).mean().item()

    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        process = self.process
        errors = process.errors(constants, process.data(seed), device)
        at = process.switch_step or self.seq_len // 2
        estimates = {
            "error_after": resampled(errors[:, at:].mean(1), lambda means: means),
            "error_before": resampled(errors[:, :at].mean(1), lambda means: means),
        }
        return estimates, {"squared_error": errors.mean(0).tolist()}
