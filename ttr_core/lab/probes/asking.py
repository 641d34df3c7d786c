"""Pairs that a memory is given, questions about them, and which of its answers are right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...solvers import solve
from ..tasks.constants import Constants

CANDIDATES = 256
"""Values that an answer is chosen among, C."""


@dataclass(frozen=True)
class Questions:
    """A question after every token of a batch of sequences.

    Args:
        q: what is asked after each token, [B, T, K].
        k: keys written, [B, T, K].
        v: values written, [B, T, V].
        book: the values that an answer is chosen among, [B, C, V].
        labels: which of them is right, [B, T]; below 0 where nothing is asked.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    book: Tensor
    labels: Tensor

    @torch.no_grad()
    def chosen(self, constants: Constants, device: str = "cpu") -> tuple[Tensor, Tensor]:
        """Returns the answers that a cell gives, [B, T], and the cosine with the right value.

        An answer that is no number is none of the candidates: -1.
        """
        q, k, v = (x[:, None].to(device) for x in (self.q, self.k, self.v))
        y = solve(constants.spec, constants.stream(q, k, v))[:, 0].to("cpu", torch.float32)
        found = (y @ self.book.mT).argmax(-1)
        right = self.book.gather(1, self.labels.clamp(min=0)[..., None].expand_as(y))
        near = torch.cosine_similarity(y, right, dim=-1)
        valid = y.isfinite().all(-1)
        return found.masked_fill(~valid, -1), near.masked_fill(~valid, -1.0)

    def missed(self, constants: Constants, weights: Tensor, device: str = "cpu") -> float:
        """Returns what tuning makes small: the share of wrong answers; how near breaks ties.

        Args:
            constants: of the cell.
            weights: how much the question after each token counts, [T].
            device: where the cell is solved.
        """
        found, near = self.chosen(constants, device)
        wrong = (found != self.labels).float() + 1e-3 * (1 - near)
        counts = (self.labels >= 0) * weights
        return float((wrong * counts).sum() / counts.sum())


def units(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """Draws random vectors of length 1."""
    return F.normalize(torch.randn(shape, generator=source), dim=-1)


def books(sequences: int, dim: int, source: torch.Generator) -> Tensor:
    """Draws the values that answers are chosen among, [B, C, V], each of length 1."""
    return units((sequences, CANDIDATES, dim), source)


def picked(table: Tensor, index: Tensor) -> Tensor:
    """Returns rows of a table, [B, N, D] at [B, T] -> [B, T, D]."""
    return table.gather(1, index[..., None].expand(-1, -1, table.shape[-1]))


def blurred(q: Tensor, length: Tensor, source: torch.Generator) -> Tensor:
    """Adds noise of a length, [..., 1], to unit vectors, and scales them to length 1 again."""
    noise = torch.randn(q.shape, generator=source) / math.sqrt(q.shape[-1])
    return F.normalize(q + length * noise, dim=-1)
