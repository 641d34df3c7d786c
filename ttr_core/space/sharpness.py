"""Sharpness: the scale through which an ingredient compares queries with keys.

It belongs to whoever compares, and nothing else sees it: values, positions, gates and what is
fitted to the keys are as they are without it.
"""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ..named import Params
from .ingredient import Ingredient

if TYPE_CHECKING:
    from .spec import Spec

LOG_SCALE = "log_scale"
"""The name of a learned scale among an ingredient's parameters: log s, [H]."""


class Comparison(Ingredient):
    r"""Trait: compares a query with a key through a scale s, its sharpness.

    It acts as $\sqrt s$ on both arguments, so that queries with keys and keys with keys are
    compared by one kernel. Where a layer learns it, each head has its own,
    $s_h = s_0\, e^{\theta_h}$ with $\theta_h = 0$ at first, within `scale_range`; a scale that is
    written is where it starts. Where none is learned, the written one is fixed.
    """

    phrase: ClassVar[str] = "a comparison of queries with keys through a scale"
    scale_range: ClassVar[tuple[float, float]] = (0.01, 1000.0)  # of what is learned
    sharper_steps: ClassVar[bool] = False  # whether it starts sharper under steps than in a fit
    scale: float | None  # the option: s, None where nothing is written

    @abc.abstractmethod
    def scale_start(self, spec: Spec) -> float:
        """Returns where a learned s starts on unit keys, if none is written."""

    def own_scale(self, key_dim: int) -> float:
        """Returns s where none is learned."""
        return key_dim**-0.5 if self.scale is None else self.scale

    @property
    def compares(self) -> bool:
        """Whether there is something to be sharpened."""
        return self.scale != 0

    def sharpness(self, x: Tensor, params: Params) -> Tensor | float:
        """Returns s for keys or queries x, [..., K]: a number, or one for each head, [H, 1, 1]."""
        learned = params.get(LOG_SCALE)
        if learned is None:
            return self.own_scale(x.shape[-1])
        low, high = self.scale_range
        log: Tensor = _Within.apply(  # type: ignore[no-untyped-call]  # torch's own
            learned.to(x.dtype), math.log(low), math.log(high)
        )
        return log.exp()[:, None, None]

    def sharpened(self, x: Tensor, params: Params) -> Tensor:
        r"""Returns $\sqrt s\, x$, what both arguments are before they are compared."""
        return x * self.sharpness(x, params) ** 0.5


class _Within(torch.autograd.Function):
    """A clamp that a gradient may leave again: beyond an end, only slopes outward are cut.

    The slope of `torch.clamp` is zero beyond its ends, where a scale would stay for good.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.ends = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (x,), (low, high), (slope,) = ctx.saved_tensors, ctx.ends, slopes
        outward = ((x > high) & (slope < 0)) | ((x < low) & (slope > 0))
        return slope.masked_fill(outward, 0.0), None, None
