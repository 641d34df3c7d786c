"""A toy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...named import Signals
from ..terms import Form, Term
from .base import Loss


@dataclass(frozen=True)
class ToyLogCosh(Loss):
    r"""Squared near zero, the absolute value far away.

    $$\ell = \sum_j \log \cosh r_j, \qquad r = m(k) - v$$

    Reference: A toy (Nobody, 2026) https://example.org
    """

    def __call__(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        residual = prediction - value
        return (residual + F.softplus(-2 * residual) - math.log(2)).sum(-1)

    def slope(self, prediction: Tensor, value: Tensor, signals: Signals) -> Tensor:
        return (prediction - value).tanh()

    def written(self, prediction: Term, value: Term, index: str) -> Term:
        return Form(r"\sum_n \log \cosh ({0})_n", _log_cosh, (value - prediction,))


def _log_cosh(error: Tensor) -> Tensor:
    return torch.cosh(error).log().sum()
