"""How a memory fades within its chunks: by one number per token, or one per feature."""

from __future__ import annotations

import abc
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ..fading import from_each, left
from .channels import channel_pairs, channel_scores
from .chunks import one_up, scores


class Fade(abc.ABC):
    """What is left within each chunk.

    Args:
        since: by each token of what was there before the chunk, [..., C, 1 or F].
        until: by the chunk's end of what each token wrote, [..., C, 1 or F].
    """

    since: Tensor
    until: Tensor

    @abc.abstractmethod
    def scores(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns what row t meets of column i <= t, [..., C, n C], where n columns have a row."""

    def both(self, r: Tensor, q: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Returns `scores` of two kinds of rows with the same columns."""
        return self.scores(r, b), self.scores(q, b)

    @property
    def keep(self) -> Tensor:
        """What is left at the end of a chunk of the state before it, [..., 1 or F, 1]."""
        return self.since[..., -1:, :].mT


class TokenFade(Fade):
    """One decay per token, from its logarithm, [..., C, 1]."""

    def __init__(self, log_decay: Tensor) -> None:
        self.between, self.since, self.until = left(log_decay)

    def scores(self, a: Tensor, b: Tensor) -> Tensor:
        every = b.shape[-2] // a.shape[-2]
        return (a @ b.mT) * self.between[..., every - 1 :: every, :]


class FeatureFade(Fade):
    """One decay per token and feature, from its logarithm, [..., C, F]."""

    def __init__(self, log_decay: Tensor) -> None:
        self.log_decay = log_decay
        self.alone = log_decay.shape[-2] == 1  # decoding

    @cached_property
    def since(self) -> Tensor:  # type: ignore[override]  # computed when it is asked for
        return (self.log_decay if self.alone else self.log_decay.cumsum(-2)).exp()

    @cached_property
    def until(self) -> Tensor:  # type: ignore[override]
        own = self.log_decay
        return torch.ones_like(own) if self.alone else from_each(one_up(own)).exp()

    def both(self, r: Tensor, q: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        if self.alone or q.shape[-2] != b.shape[-2]:
            return super().both(r, q, b)
        # The same blocks tell what is left since and until each token.
        of_r, of_q, self.since, self.until = channel_pairs(r, q, b, self.log_decay)
        return of_r, of_q

    def scores(self, a: Tensor, b: Tensor) -> Tensor:
        every = b.shape[-2] // a.shape[-2]
        rows = a if every == 1 else F.pad(a[..., None, :], (0, 0, every - 1, 0)).flatten(-3, -2)
        met = channel_scores(rows, b, self.log_decay)
        return met[..., every - 1 :: every, :]


def fade_of(log_decay: Tensor) -> Fade:
    """Returns how a memory fades, from log decays [..., C, 1 or F]."""
    return TokenFade(log_decay) if log_decay.shape[-1] == 1 else FeatureFade(log_decay)


def met(a: Tensor, b: Tensor, fade: Fade | None) -> Tensor:
    """Returns `Fade.scores`, or those of a memory that does not fade."""
    return scores(a, b) if fade is None else fade.scores(a, b)
