"""Fresh parameters from an explicit generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import RequestError


def normal(shape: tuple[int, ...], std: float, generator: torch.Generator | None) -> nn.Parameter:
    """Returns a normal parameter of this standard deviation."""
    return nn.Parameter(torch.randn(shape, generator=generator) * std)


def uniform(shape: tuple[int, ...], most: float, generator: torch.Generator | None) -> nn.Parameter:
    """Returns a parameter that is uniform up to ``most`` on either side of zero."""
    return nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) * most)


def linear(
    inputs: int, outputs: int, generator: torch.Generator | None, bias: Tensor | None = None
) -> nn.Linear:
    """Returns a linear map of variance-preserving weights; ``bias`` is its start, if it has one."""
    layer = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    layer.weight = normal((outputs, inputs), inputs**-0.5, generator)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def gate(inputs: int, outputs: int, generator: torch.Generator | None, bias: float) -> nn.Linear:
    """Returns a linear map that starts near ``bias``, by weights a tenth as large as others."""
    layer = linear(inputs, outputs, generator, torch.full((outputs,), bias))
    with torch.no_grad():
        layer.weight *= 0.1
    return layer


def through(layer: nn.Linear, x: Tensor) -> Tensor:
    """Applies a linear map in its own type, whatever the inputs have."""
    mapped: Tensor = layer(x.to(layer.weight.dtype))
    return mapped


def log_spaced(low: float, high: float, count: int) -> Tensor:
    """Returns ``count`` numbers from ``low`` to ``high``; ``high`` alone for one."""
    return torch.logspace(math.log10(high), math.log10(low), count).flip(0)


def before_link(link: str, value: Tensor) -> Tensor:
    """Returns the input at which a link gives ``value``; decays as the share that is kept."""
    if link == "identity":
        return value
    if link == "sigmoid":
        return torch.logit(value)
    if link == "twice_sigmoid":
        return torch.logit(value / 2)
    if link == "softplus":
        return value + torch.log(-torch.expm1(-value))
    if link == "log_sigmoid":
        return torch.logit(value)
    if link == "slow_log_sigmoid":
        return torch.logit(value**16)
    raise RequestError(f"No inverse of link {link!r} is known; add it beside the link.")
