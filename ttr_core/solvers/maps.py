"""Attention maps: how much of each value is in each output, exactly or by random signs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RequestError
from ..named import Params
from ..space.spec import Spec
from ..stream import Stream
from .api import solve
from .requests import validated

SIGNS = 16
"""Vectors of random signs that a map is estimated from."""

BESIDE = 8
"""Gradients that are taken at a time: more are slower on a CPU, whose caches they leave."""

STRETCH = 8
"""Tokens after which the past is solved anew: the gradient of an early output is one of its own
past and not of zeros from all that came later, which is as much again."""


def attention_map(spec: Spec | str, stream: Stream, params: Params | None = None) -> Tensor:
    r"""Returns the effective attention: how much of each value is in each output.

    Exact where the output is linear in the values, $y_t = \sum_i W_{ti} v_i$: solved once with
    the identity for values. Otherwise the average over channels of $\partial y_t / \partial v_i$,
    which `sampled_map` estimates in less time. Further values of a token, which signals bring
    along, are left out.

    Args:
        spec: a layer, or its text.
        stream: the sequences.
        params: as for `solve`.

    Returns:
        W, [B, H, T, T].

    Example:
        >>> import torch, ttr_core as ttr
        >>> q, k, v = torch.randn(3, 1, 1, 5, 4).unbind(0)
        >>> x, spec = ttr.Stream(q, k, v), "Uniform | Linear | Hebbian"
        >>> torch.allclose(ttr.attention_map(spec, x) @ v, ttr.solve(spec, x), atol=1e-5)
        True
    """
    spec = Spec.of(spec)
    x = validated(spec, stream)
    if not x.k.numel():
        return x.k.new_zeros(*x.k.shape[:3], x.length)
    if not spec.linear_in_v:
        return _average_map(spec, x, params)
    shape = (*x.k.shape[:3], x.length)
    values = torch.eye(x.length, dtype=x.k.dtype, device=x.k.device).expand(shape)
    zeros = torch.zeros_like(x.v[..., :1])
    return solve(spec, _alone(spec, x, values), params) - solve(
        spec, _alone(spec, x, zeros), params
    )


def _alone(spec: Spec, x: Stream, v: Tensor) -> Stream:
    """Returns the stream with other values, and none beside them."""
    signals = dict(x.signals)
    for signal in spec.signals:
        if signal.free and signal.unit == "value":
            width = signal.count * v.shape[-1]
            signals[signal.name] = v.new_zeros(()).expand(*v.shape[:3], width)
    return Stream(x.q, x.k, v, signals)


@dataclass(frozen=True)
class SampledMap:
    """An estimate of the average attention map.

    Args:
        weights: W, [B, H, T, T].
        error: the standard error of each weight, [B, H, T, T].
    """

    weights: Tensor
    error: Tensor

    @property
    def relative_error(self) -> float:
        """The length of all errors over that of all weights; 0 for a map of zeros."""
        return float(self.error.norm() / self.weights.norm().clamp(min=1e-30))


def sampled_map(
    spec: Spec | str,
    stream: Stream,
    params: Params | None = None,
    signs: int = SIGNS,
    seed: int = 0,
) -> SampledMap:
    r"""Returns an estimate of `attention_map` for layers that are not linear in their values.

    The average over channels is a trace, and random signs s find it without looking at every
    channel, $\frac{1}{V} E_s[s^\top (\partial y_t / \partial v_i)\, s]$: `signs` gradients for each
    token instead of V. With 16 signs and 64 channels it takes 1/4 to 1/7 of the time, and errs by
    1 to 3 % on the published layers.

    Args:
        spec: a layer, or its text; for one linear in its values use `attention_map`.
        stream: the sequences.
        params: as for `solve`.
        signs: vectors of random signs, at least 2; the error falls with their square root.
        seed: decides them.

    Returns:
        The estimate with the standard error of each weight.

    Raises:
        RequestError: fewer than 2 signs, which have no standard error.

    Reference: A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
    splines (Hutchinson, 1990) https://doi.org/10.1080/03610919008812866

    Example:
        >>> import torch, ttr_core as ttr
        >>> q, k, v = torch.randn(3, 1, 1, 5, 4).unbind(0)
        >>> x = ttr.Stream(q, k, v, {"step": torch.full((1, 1, 5, 1), 0.1)})
        >>> ttr.sampled_map("Uniform | NormLinear | MiniBatch", x).weights.shape
        torch.Size([1, 1, 5, 5])
    """
    if signs < 2:
        raise RequestError(f"signs is {signs}, but a standard error needs 2 or more.")
    spec = Spec.of(spec)
    x = validated(spec, stream)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 2, (signs, x.value_dim), generator=generator) * 2 - 1
    directions = drawn.to(x.v)
    rows = [
        (found * directions[:, None, None, None]).mean(-1)  # (R B H T)
        for found in _gradients(spec, x, params, directions)
    ]
    each = torch.stack(rows, 3) if rows else x.v.new_zeros(signs, *x.v.shape[:3], 0)  # (R B H T T)
    return SampledMap(each.mean(0), each.std(0) / signs**0.5)


def _average_map(spec: Spec, x: Stream, params: Params | None) -> Tensor:
    """Returns trace(dy_t / dv_i) / V, a gradient per token and channel."""
    total = x.v.new_zeros(*x.v.shape[:3], x.length)
    for channels in torch.eye(x.value_dim).to(x.v).split(BESIDE):
        rows = [
            (found * channels[:, None, None, None]).sum((0, -1))
            for found in _gradients(spec, x, params, channels)
        ]
        total = total + torch.stack(rows, 2)
    return total / x.value_dim


def _gradients(
    spec: Spec, x: Stream, params: Params | None, directions: Tensor
) -> Iterator[Tensor]:
    """Yields for each token what the values do to its output along directions [R, V]."""
    for start in range(0, x.length, STRETCH):
        past = x.tokens(0, min(start + STRETCH, x.length))
        with torch.enable_grad():
            v = past.v.detach().requires_grad_()
            y = solve(spec, Stream(past.q, past.k, v, past.signals), params)
            if not y.requires_grad:  # before the end of a chunk no value is read
                y = y + v.new_zeros(y.shape, requires_grad=True)
        for t in range(start, past.length):
            found = [_along(y[:, :, t], v, some) for some in directions.split(BESIDE)]
            yield F.pad(torch.cat(found), (0, 0, 0, x.length - past.length))  # (R B H T V)


def _along(y: Tensor, v: Tensor, directions: Tensor) -> Tensor:
    """Returns the gradients of an output [B, H, V] along each of some directions [R, V]."""
    asked = directions[:, None, None].expand(-1, *y.shape[:2], -1)
    (found,) = torch.autograd.grad(
        y, v, asked, retain_graph=True, is_grads_batched=True, allow_unused=True
    )
    return v.new_zeros(len(directions), *v.shape) if found is None else found
