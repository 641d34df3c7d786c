"""Chaos: whether a change too small to see grows from token to token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...solvers import solve
from ...space.option import option
from ...space.spec import Spec
from ..metric import Metric
from ..tasks.base import generator
from ..tasks.constants import Constants
from .asking import units
from .base import Curves, Probe
from .measured import Measured, resampled

CHANGE, SEEN = 1e-6, 0.01


@dataclass(frozen=True)
class Chaos(Probe):
    """After how many tokens a change of a millionth in the first key moves outputs by 1 %.

    Random unit keys and values in float64, signals, scale and ridge as a fresh layer has them.
    ``growth`` says by how many powers of ten the change is larger over the last quarter of the
    tokens than over the first: below 0 it is forgotten, far above it is chaos.

    Example:
        | token    | 0               | 64    | 128   | 192   |
        |----------|-----------------|-------|-------|-------|
        | keys     | k0, and k0 + e  | alike | alike | alike |
        | outputs  | differ by 1e-6  | 1e-5  | 1e-3  | 1e-2  |

    Example:
        >>> import ttr_core as ttr
        >>> calm = Chaos(seq_len=32, sequences=4).evaluate(ttr.Spec.parse("Gate | Linear | SGD"))
        >>> calm.metrics["horizon"], calm.metrics["growth"] < 0
        (32.0, True)
    """

    name: ClassVar[str] = "chaos"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "horizon", "higher", 0.0, None, "tokens",
            "Tokens until a change of a millionth is one of 1 %.",
        ),
        Metric("growth", "lower", help="Powers of ten by which a small change grows."),
    )  # fmt: skip

    seq_len: int = option(256, "Length of a sequence in tokens.", low=8, high=4096)
    sequences: int = option(8, "Sequences that are measured on.", low=2, high=1024)

    @torch.no_grad()
    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        source = generator(seed, "test")
        shape = (2, self.sequences, 1, self.seq_len, self.dim)
        k, v = units(shape, source).double().unbind(0)
        q = units(shape[1:], source).double()
        moved = k.clone()
        moved[:, :, 0] += CHANGE * units(tuple(moved[:, :, 0].shape), source).double()
        params = spec.parameters(self.dim, self.dim, 1)
        both = [
            solve(constants.spec, constants.stream(*(x.to(device) for x in (q, keys, v))), params)
            for keys in (k, moved)
        ]
        size = both[0].square().mean((1, 2, 3), keepdim=True).sqrt()
        apart = ((both[1] - both[0]) / size).square().mean((1, 3)).sqrt().cpu()
        estimates = {
            "horizon": resampled(_horizon(apart)[:, None], _mean, float(self.seq_len)),
            "growth": resampled(_growth(apart)[:, None], _mean),
        }
        return estimates, {"apart": apart.nan_to_num(1.0, 1e30).median(0).values.tolist()}


def _mean(means: Tensor) -> Tensor:
    return means[:, 0]


def _horizon(apart: Tensor) -> Tensor:
    """Returns how many tokens pass before the difference is seen, [B, T] -> [B]."""
    seen = ~(apart <= SEEN)  # what is no number is seen
    first = seen.long().argmax(-1)
    return torch.where(seen.any(-1), first, apart.shape[-1]).double()


def _growth(apart: Tensor) -> Tensor:
    """Returns the powers of ten between the first and the last quarter of the tokens."""
    quarter = max(1, apart.shape[-1] // 4)
    logs = apart.nan_to_num(1e30, 1e30).clamp(1e-18, 1e30).log10()
    return logs[:, -quarter:].mean(-1) - logs[:, :quarter].mean(-1)
