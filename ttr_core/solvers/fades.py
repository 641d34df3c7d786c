"""How a memory fades within its chunks: by one number per token, or one per feature."""

from __future__ import annotations

import abc

import torch
import torch.nn.functional as F
from torch import Tensor

from ..fading import from_each, left
from .channels import channel_scores
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
        alone = log_decay.shape[-2] == 1  # decoding
        self.since = (log_decay if alone else log_decay.cumsum(-2)).exp()
        self.until = torch.ones_like(log_decay) if alone else from_each(one_up(log_decay)).exp()

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
