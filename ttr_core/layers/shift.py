"""TokenShift: each input of a layer mixed with the one before it, by shares that data choose."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .init import uniform

ROLES = ("q", "k", "v", "signals", "gate")


class TokenShift(nn.Module):
    r"""RWKV-6's data-dependent token shift, one mix for each of `ROLES`.

    $$z_t = x_t + (x_{t-1} - x_t) \circ \big(\mu_z + \tanh(x'_t A_z) B_z\big), \qquad
    x'_t = x_t + (x_{t-1} - x_t) \circ \mu_x$$

    Fresh shares of the previous token fall from all in the first channel to nothing in the last.

    Args:
        d_model: D.
        rank: of the maps to the shares.
        generator: source of the fresh parameters.

    Reference: Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence (Peng et
    al., 2024) https://arxiv.org/abs/2404.05892

    Deviation: every layer starts as the paper's first, and A at random up to 1e-4 (paper: 0), so
    that B learns from the first step.
    """

    def __init__(self, d_model: int, rank: int, generator: torch.Generator | None) -> None:
        super().__init__()
        place = torch.arange(d_model) / d_model
        powers = {"q": 0.5, "gate": 0.5}
        self.first = nn.Parameter(1 - place)
        self.shares = nn.Parameter(torch.stack([1 - place ** powers.get(z, 1.0) for z in ROLES]))
        self.down = uniform((d_model, len(ROLES) * rank), 1e-4, generator)
        self.up = uniform((len(ROLES), rank, d_model), 1e-2, generator)

    def forward(self, x: Tensor, last: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Mixes [B, T, D]; ``last`` is the token before it, [B, 1, D], and is returned anew."""
        before = x.new_zeros(x.shape[0], 1, x.shape[2]) if last is None else last.to(x.dtype)
        both = torch.cat([before, x], 1)
        step = both[:, :-1] - x
        hidden = torch.tanh((x + step * self.first) @ self.down).unflatten(-1, (len(ROLES), -1))
        moved = torch.einsum("btzr,zrd->zbtd", hidden, self.up)
        mixes = x + step * (self.shares[:, None, None] + moved)
        return mixes.unbind(0), both[:, -1:]
