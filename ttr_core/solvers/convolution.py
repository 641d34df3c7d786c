"""Filters of the lag x constant x one batch step: convolutions by the fast Fourier transform."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried
from ..space.functions import ConstantModel
from ..space.optimizers import Sum
from ..space.weights.convolution import ConvolutionWeights
from .base import Solver
from .problem import Problem
from .state import Past, State

_Asked = Problem[ConvolutionWeights, ConstantModel, Sum]


class Convolution(Solver[_Asked]):
    r"""One causal convolution per filter, mixed token by token.

    $$y_t = \sum_r s_{t,r}\, (h_r * v)_t$$

    The transform is padded to twice the length, so that nothing wraps around. Further tokens of a
    sequence are summed directly over the pairs that are kept.

    Source: Hyena Hierarchy: Towards Larger Convolutional Language Models (Poli et al., 2023)
    https://arxiv.org/abs/2302.10866
    """

    name: ClassVar[str] = "convolution"
    cost: ClassVar[str] = "R V T log T"

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        count = sum(s.count for s in p.weights.signals) + 1
        rows = float(shape.batch * shape.heads * shape.length * shape.value_dim * count)
        return Estimate(20.0 * rows * math.log2(shape.length + 1), 24.0 * rows)

    def state(self, p: _Asked) -> State:
        return Past(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        past, own = Past(p.spec), p.own("weights")
        x = past.restored(p.x, kept)
        v = p.summed_values(x)
        if kept is not None or x.q.shape[2] < x.length:
            return p.read(p.matrix(x) @ v), past.keep(x)
        size = 2 * x.length
        filters = torch.fft.rfft(p.weights.filters(x.length, own, v.dtype), size)
        values = torch.fft.rfft(v.mT, size)  # (B H V f)
        mixed = torch.fft.irfft(values[:, :, None] * filters[:, :, None], size)
        y = torch.einsum("bhtr,bhrvt->bhtv", p.weights.mixture(x), mixed[..., : x.length])
        return p.read(y), past.keep(x)
