"""A chunk's memories as sums of its gradients: the coefficients, a row for each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...fading import left
from ...named import Signals


@dataclass(frozen=True)
class Segment:
    """Consecutive tokens of one chunk.

    Args:
        first: position of the first of them in the chunk.
        scores: any tensor [B, H, C, C], for its shape and kind.
        log_decay: their log decays, [B, H, C], or None.
        signals: their signals, [B, H, C, 1] each.
        params: the optimizer's own tensors, head first.
        inputs: d, the number of inputs of the first matrix.
        earlier: how many pairs before the segment have gradients, too.
    """

    first: int
    scores: Tensor
    log_decay: Tensor | None
    signals: Signals
    params: Mapping[str, Tensor]
    inputs: int
    earlier: int = 0

    def decays(self) -> tuple[Tensor, Tensor]:
        """Returns what is left at each row of the start, [B, H, C], and of each column."""
        if self.log_decay is None:
            seen = torch.ones_like(self.scores[0, 0]).tril()
            return torch.ones_like(self.scores[..., 0]), seen.expand_as(self.scores)
        between, since, _ = left(self.log_decay[..., None])
        return since[..., 0], between


class Mix(NamedTuple):
    """Memories as sums: base times a number, plus the move times one, minus the gradients'.

    Args:
        base: [B, H, R], or None for 0.
        move: [B, H, R], or None for 0.
        gradients: [B, H, R, C].
    """

    base: Tensor | None
    move: Tensor | None
    gradients: Tensor

    def last(self) -> Mix:
        """Returns the last row alone."""
        base = None if self.base is None else self.base[..., -1:]
        move = None if self.move is None else self.move[..., -1:]
        return Mix(base, move, self.gradients[..., -1:, :])


class Course(NamedTuple):
    """What each token of a segment reads, and what is kept after the last; no move is zero."""

    read: Mix
    base: Mix
    move: Mix | None
