"""Tasks that track a state: chance is 0 on their scale, and longer sequences are read."""

from __future__ import annotations

import abc
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ..metric import Metric
from .base import Batch, TrainedTask
from .labeled import ACCURACY, LOSS, LabeledTask

if TYPE_CHECKING:
    from ...layers.model import SequenceModel

SCALED = Metric(
    "scaled_accuracy",
    "higher",
    -1.0,
    1.0,
    "",
    "Accuracy on the way from chance, 0, to all right, 1; for two elements 2 accuracy - 1.",
)


@dataclass(frozen=True)
class TrackingTask(LabeledTask):
    r"""A task whose answer is the state after all tokens so far, each state as likely as any other.

    $$ \text{scaled accuracy} = \frac{\text{accuracy} - 1/n}{1 - 1/n} $$

    with n states. Trained on ``first`` to ``seq_len`` tokens, the model is read at longer ones,
    up to ``read_to``, in bins that double.

    Example:
        >>> import ttr_core as ttr
        >>> [metric.name for metric in ttr.TASKS["words"].metrics]
        ['accuracy', 'loss', 'scaled_accuracy']
    """

    metrics: ClassVar[tuple[Metric, ...]] = (ACCURACY, LOSS, SCALED)

    @property
    @abc.abstractmethod
    def states(self) -> int:
        """Number of states, all as likely."""

    @property
    @abc.abstractmethod
    def first(self) -> int:
        """Number of tokens after which an answer is first asked; a setting."""

    @property
    @abc.abstractmethod
    def read_to(self) -> int:
        """The longest sequence at which the trained model is read; a setting."""

    def measure(self, model: SequenceModel, batch: Batch) -> dict[str, Tensor]:
        each, chance = super().measure(model, batch), 1 / self.states
        return {**each, SCALED.name: (each[ACCURACY.name] - chance) / (1 - chance)}

    def variants(self) -> tuple[TrainedTask, ...]:
        """Returns longer sequences, asked beyond half of their tokens, up to ``read_to``."""
        ends = itertools.takewhile(
            lambda end: end < self.read_to, (self.seq_len << n for n in itertools.count())
        )
        bounds = [*ends, self.read_to]
        each = ({"first": a + 1, "seq_len": b} for a, b in itertools.pairwise(bounds))
        return tuple(replace(self, **settings) for settings in each)
