"""What a task puts before and behind the layers, where tokens and their embedding are not all."""

from __future__ import annotations

import abc
from typing import ClassVar

from torch import Tensor, nn


class Adapter(nn.Module, abc.ABC):
    r"""What reads a task's sequences and readies its answers, around the layers of a model.

    $$ x_t = \text{read}(s_t), \qquad \text{logits}_p = E\, \text{rms}(\text{ready}(h_p)) $$

    with the embedding E [vocabulary, D]. Give one to a model whose task has something else than
    one token at each place; without it tokens are embedded and outputs are taken as they are.

    Example:
        >>> import ttr_core as ttr
        >>> task = ttr.task("stacked", {"pairs": 2, "vocab_size": 16})
        >>> type(task.adapter(8)).__name__
        'PairInlet'
    """

    fixed: ClassVar[bool] = False  # whether the embedding stays as it was drawn

    @abc.abstractmethod
    def read(self, given: Tensor, embedding: Tensor) -> Tensor:
        """Returns what the first layer gets, [B, T, D].

        Args:
            given: what a batch holds, [B, T] or [B, T, n].
            embedding: E.
        """

    @abc.abstractmethod
    def ready(self, hidden: Tensor) -> Tensor:
        """Returns what is normalized and multiplied with E, from the outputs asked, [B, P, D]."""
