"""Filters of the lag x constant x one batch step: convolutions by the fast Fourier transform."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..limits import Estimate, Shape
from ..space.functions import Constant
from ..space.optimizers import OneStep, Optimizer
from ..space.spec import Spec, axis
from ..space.weights.convolution import ConvolutionWeights
from ..stream import Stream
from .base import Params, Solver, State, kept_formula, kept_size, past, with_past


class Convolution(Solver):
    r"""One causal convolution per filter, mixed token by token.

    $$y_t = \sum_r s_{t,r}\, (h_r * v)_t$$

    The transform is padded to twice the length, so that nothing wraps around. Further tokens of a
    sequence are summed directly over the pairs that are kept.

    Source: Hyena Hierarchy: Towards Larger Convolutional Language Models (Poli et al., 2023)
    https://arxiv.org/abs/2302.10866
    """

    name: ClassVar[str] = "convolution"
    cost: ClassVar[str] = "R V T log T"
    weights = ConvolutionWeights
    function = Constant
    optimizers: ClassVar[tuple[type[Optimizer], ...]] = (OneStep,)

    def declines(self, spec: Spec) -> str | None:
        return None

    def estimate(self, spec: Spec, shape: Shape) -> Estimate:
        count = sum(s.count for s in spec.weights.signals) + 1
        rows = float(shape.batch * shape.heads * shape.length * shape.value_dim * count)
        return Estimate(20.0 * rows * math.log2(shape.length + 1), 24.0 * rows)

    def state_size(self, spec: Spec, shape: Shape) -> int:
        return kept_size(spec, shape)

    def state_formula(self, spec: Spec) -> str:
        return kept_formula(spec)

    def run(
        self, spec: Spec, x: Stream, params: Params, state: State | None
    ) -> tuple[Tensor, State]:
        weights, whole = spec.weights, with_past(x, state)
        assert isinstance(weights, ConvolutionWeights)
        own = axis(params, "weights")
        if state is not None or x.q.shape[2] < x.length:
            return weights.matrix(whole, own)[..., 0] @ whole.v, past(whole)
        size = 2 * x.length
        filters = torch.fft.rfft(weights.filters(x.length, own, x.v.dtype), size)
        values = torch.fft.rfft(x.v.mT, size)  # (B H V f)
        mixed = torch.fft.irfft(values[:, :, None] * filters[:, :, None], size)
        y = torch.einsum("bhtr,bhrvt->bhtv", weights.mixture(x), mixed[..., : x.length])
        return y, past(whole)
