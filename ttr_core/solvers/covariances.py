"""The covariances of keys under the weights of every query."""

from __future__ import annotations

import torch
from torch import Tensor

PART = 16  # rows of a covariance formed at a time: the blocks above them are left out
FEW = 8  # queries; up to so many are served faster by their own centered keys


class Moments:
    """The outer products of keys, [N, T, K K], without what is above the diagonal.

    Args:
        keys: [N, T, K].
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys, width = keys, keys.shape[-1]
        parts = [(start, min(start + PART, width)) for start in range(0, width, PART)]
        rows = [keys[..., a:b, None] * keys[..., None, :b] for a, b in parts]
        self.parts = [(a, b, outer.flatten(2)) for (a, b), outer in zip(parts, rows, strict=True)]

    def covariances(self, p: Tensor) -> Tensor:
        """Returns sum_i p_i k_i k_i^T - kbar kbar^T, [N, C, K, K]; the lower triangle counts.

        Args:
            p: weights of sum 1 on the first keys, [N, C, T'].
        """
        seen = slice(p.shape[-1])
        mean = p @ self.keys[:, seen]
        out = mean.new_empty(*mean.shape, mean.shape[-1])
        for start, stop, outer in self.parts:
            square = (mean[..., start:stop, None] * mean[..., None, :stop]).flatten(2)
            rows = torch.baddbmm(square, p, outer[:, seen], beta=-1)
            out[..., start:stop, :stop] = rows.unflatten(-1, (stop - start, stop))
        return out


def spread_covariances(p: Tensor, keys: Tensor) -> Tensor:
    """Returns the same with keys centered before they are multiplied, which loses nothing.

    Args:
        p: weights of sum 1, [N, C, T].
        keys: [N, T, K].
    """
    found = []
    for row in p.split(FEW, 1):
        centered = keys[:, None] - (row @ keys)[:, :, None]  # (N C T K)
        found.append((row[..., None] * centered).mT @ centered)
    return torch.cat(found, 1)
