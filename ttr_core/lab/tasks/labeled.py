"""Trained tasks whose answers are tokens: cross-entropy trains, accuracy counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ..metric import SHARE, Metric
from .base import Batch, TrainedTask

if TYPE_CHECKING:
    from ...layers.model import SequenceModel

ACCURACY = Metric("accuracy", "higher", 0.0, 1.0, SHARE, "Share of right answers on the test set.")
GUESSED = 256
"""Sequences in which the most frequent answer is counted."""

LOSS = Metric("loss", "lower", 0.0, None, "nats", "Cross-entropy of the answers on the test set.")


@dataclass(frozen=True)
class LabeledTask(TrainedTask):
    r"""A task with one right token for each question.

    The loss is the mean of $-\log p(\text{label})$ over the questions, the accuracy the share of
    them whose label has the largest logit.

    Example:
        >>> import ttr_core as ttr
        >>> [metric.name for metric in ttr.TASKS["mqar"].metrics]
        ['accuracy', 'loss']
    """

    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY, LOSS)

    def guess(self) -> float:
        """Returns how often the answer is right that is right most often."""
        batch = self.held_out("validation", GUESSED)
        labels = batch.labels if batch.asked is None else batch.labels[batch.asked.bool()]
        return float(labels.flatten().bincount().max() / labels.numel())

    def loss(self, model: SequenceModel, batch: Batch) -> Tensor:
        return model.loss(batch.tokens, batch.positions, batch.labels, batch.asked)

    def measure(self, model: SequenceModel, batch: Batch) -> dict[str, Tensor]:
        each, right = model.judged(batch.tokens, batch.positions, batch.labels)
        return {ACCURACY.name: right.float(), LOSS.name: each.float()}
