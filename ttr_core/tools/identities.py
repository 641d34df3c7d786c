"""The paper's identities as live checks: each layer against the regression that it is said to be.

Both sides are computed in float64 on random streams: one by the layer, the other by automatic
derivatives of the objective that the paper names, or by its closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..solvers import solve
from ..stream import Stream

HEADS, LENGTH, DIM = 2, 12, 4
"""More tokens than dimensions, so that the last systems have one solution."""

EXACT = 1e-9
"""Relative error within which two sides are the same in float64."""


@dataclass(frozen=True)
class Equality:
    """A sentence of the paper that two computations can be compared for.

    Args:
        name: for commands and addresses.
        sentence: what is claimed.
        source: where the paper says it.
        sides: returns both sides, from a seed.

    Example:
        >>> import torch
        >>> same = Equality("same", "One is one.", "", lambda seed: (torch.ones(2), torch.ones(2)))
        >>> same.error()
        0.0
    """

    name: str
    sentence: str
    source: str
    sides: Callable[[int], tuple[Tensor, Tensor]]

    def error(self, seed: int = 0) -> float:
        """Returns the relative distance of the two sides.

        Example:
            >>> IDENTITIES[0].error() < EXACT
            True
        """
        found, wanted = self.sides(seed)
        return float((found - wanted).norm() / wanted.norm())


def _drawn(seed: int, unit: bool = True) -> tuple[Tensor, Tensor, Tensor, torch.Generator]:
    source = torch.Generator().manual_seed(seed)
    shape = (1, HEADS, LENGTH, DIM)
    q, k, v = (torch.randn(shape, generator=source, dtype=torch.float64) for _ in range(3))
    if unit:
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    return q, k, v, source


def _signal(source: torch.Generator) -> Tensor:
    """Numbers between 0 and 1, one a token."""
    return torch.rand(1, HEADS, LENGTH, 1, generator=source, dtype=torch.float64)


def _layer(text: str, q: Tensor, k: Tensor, v: Tensor, **signals: Tensor) -> Tensor:
    return solve(text, Stream(q, k, v, signals))


def _slope(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    slope: Tensor = torch.func.grad(loss)(at)
    return slope


def _ages(log_decay: Tensor) -> Tensor:
    """Returns the weights gamma_i^(t), [H, T, T]: the decays after token i up to t."""
    total = log_decay[0, :, :, 0].cumsum(-1)
    return (total[:, :, None] - total[:, None, :]).exp().tril()


def _each(answer: Callable[[int, int], Tensor]) -> Tensor:
    """Returns answers [1, H, T, D] made for every head and token."""
    rows = [torch.stack([answer(h, t) for t in range(LENGTH)]) for h in range(HEADS)]
    return torch.stack(rows)[None]


def _fit(k: Tensor, v: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
    """The weighted objective of a matrix M: 1/2 sum of w |v - M k|^2."""
    return lambda memory: 0.5 * (weights[:, None] * (v - k @ memory.mT).square()).sum()


def _one_step(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, _ = _drawn(seed)
    ones, zero = torch.ones(LENGTH, dtype=q.dtype), torch.zeros(DIM, DIM, dtype=q.dtype)

    def answer(h: int, t: int) -> Tensor:
        loss = _fit(k[0, h, : t + 1], v[0, h, : t + 1], ones[: t + 1])
        return -_slope(loss, zero) @ q[0, h, t]

    return _layer("Uniform | Linear | Hebbian", q, k, v), _each(answer)


def _newton(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, _ = _drawn(seed, unit=False)
    zero = torch.zeros(DIM, DIM, dtype=q.dtype)

    def answer(h: int, t: int) -> Tensor:
        seen, told = k[0, h, : t + 1], v[0, h, : t + 1]
        step = _slope(_fit(seen, told, torch.ones(t + 1, dtype=q.dtype)), zero)
        inverse: Tensor = torch.linalg.pinv(seen.mT @ seen)
        return -step @ inverse @ q[0, h, t]

    return _layer("Uniform | Linear | Exact(ridge=0)", q, k, v), _each(answer)


def _gating(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, source = _drawn(seed)
    decay = _signal(source).log()
    ages, zero = _ages(decay), torch.zeros(DIM, DIM, dtype=q.dtype)

    def answer(h: int, t: int) -> Tensor:
        loss = _fit(k[0, h, : t + 1], v[0, h, : t + 1], ages[h, t, : t + 1])
        return -_slope(loss, zero) @ q[0, h, t]

    return _layer("Gate | Linear | Hebbian", q, k, v, decay=decay), _each(answer)


def _steps(
    q: Tensor, k: Tensor, v: Tensor, step: Callable[[Tensor, Tensor, Tensor, int, int], Tensor]
) -> Tensor:
    """Carries a memory from token to token and asks it after each."""
    rows = []
    for h in range(HEADS):
        memory, answers = torch.zeros(DIM, DIM, dtype=q.dtype), []
        for t in range(LENGTH):
            memory = step(memory, k[0, h, t], v[0, h, t], h, t)
            answers.append(memory @ q[0, h, t])
        rows.append(torch.stack(answers))
    return torch.stack(rows)[None]


def _delta(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, source = _drawn(seed)
    rate = _signal(source)

    def step(memory: Tensor, key: Tensor, value: Tensor, h: int, t: int) -> Tensor:
        loss = lambda m: 0.5 * (value - m @ key).square().sum()  # noqa: E731
        return memory - rate[0, h, t] * _slope(loss, memory)

    return _layer("Uniform | Linear | SGD", q, k, v, step=rate), _steps(q, k, v, step)


def _leaky(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, source = _drawn(seed)
    alpha, eta = _signal(source), _signal(source)

    def step(memory: Tensor, key: Tensor, value: Tensor, h: int, t: int) -> Tensor:
        a, n = alpha[0, h, t], eta[0, h, t]
        ridge, rate, target = (1 - a) / (a * n), a * n, value / a
        loss = lambda m: (  # noqa: E731
            0.5 * (target - m @ key).square().sum() + 0.5 * ridge[0] * m.square().sum()
        )
        return memory - rate * _slope(loss, memory)

    found = _layer("Gate | Linear | SGD", q, k, v, decay=alpha.log(), step=eta)
    return found, _steps(q, k, v, step)


def _longhorn(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, source = _drawn(seed, unit=False)
    weight = 3 * _signal(source)

    def step(memory: Tensor, key: Tensor, value: Tensor, h: int, t: int) -> Tensor:
        d, one = weight[0, h, t], torch.eye(DIM, dtype=q.dtype)
        inverse: Tensor = torch.linalg.inv(one + d * torch.outer(key, key))
        return (memory + d * torch.outer(value, key)) @ inverse

    return _layer("Uniform | Linear | Implicit", q, k, v, step=weight), _steps(q, k, v, step)


def _constant(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, _ = _drawn(seed)
    width = DIM**-0.5

    def answer(h: int, t: int) -> Tensor:
        far = (k[0, h, : t + 1] - q[0, h, t]).square().sum(-1)
        near = (-0.5 * width * far).exp()
        mean: Tensor = near @ v[0, h, : t + 1] / near.sum()
        return mean

    return _layer(f"ExpKernel(scale={width}) | Constant | Exact", q, k, v), _each(answer)


def _local_line(seed: int) -> tuple[Tensor, Tensor]:
    q, k, v, _ = _drawn(seed)
    width, ridge = DIM**-0.5, 0.3

    def answer(h: int, t: int) -> Tensor:
        keys, values = k[0, h, : t + 1], v[0, h, : t + 1]
        near = (width * (keys @ q[0, h, t] - 1)).exp()
        middle, mean = near @ keys / near.sum(), near @ values / near.sum()
        off = keys - middle
        spread = off.mT @ (near[:, None] * off) + ridge * torch.eye(DIM, dtype=q.dtype)
        slope = torch.linalg.solve(spread, off.mT @ (near[:, None] * (values - mean))).mT
        y: Tensor = mean - slope @ (middle - q[0, h, t])
        return y

    text = f"ExpKernel(scale={width}) | Affine | Exact(ridge={ridge})"
    return _layer(text, q, k, v), _each(answer)


IDENTITIES: tuple[Equality, ...] = (
    Equality(
        "one-gradient-step",
        "Linear attention is one step of gradient descent from zero on the least squares of the "
        "past, of size 1.",
        "Eqs. 12 and 24",
        _one_step,
    ),
    Equality(
        "one-newton-step",
        "Exact least squares is the same step, preconditioned by the inverse of the keys' "
        "covariance.",
        "Eqs. 11 and 25",
        _newton,
    ),
    Equality(
        "gating",
        "Gated linear attention is one gradient step on least squares whose weights decay with "
        "age: weighted least squares without the inverse.",
        "Eqs. 4, 14 to 16",
        _gating,
    ),
    Equality(
        "delta-rule",
        "DeltaNet is one step of stochastic gradient descent on the newest pair.",
        "Eq. 29",
        _delta,
    ),
    Equality(
        "gated-delta-rule",
        "Gated DeltaNet is the same step with an L2 penalty: of coefficient (1 - a) / (a n), size "
        "a n and target v / a, for its gate a and its step n.",
        "Eqs. 34 to 41",
        _leaky,
    ),
    Equality(
        "longhorn",
        "Longhorn's memory minimizes half the squared change plus d / 2 times the newest error: a "
        "delta step of size d / (1 + d |k|^2). (A slide of the talk leaves out the first d.)",
        "Eqs. 30 and 31",
        _longhorn,
    ),
    Equality(
        "local-constant",
        "Softmax attention with keys and queries of unit length is local constant regression "
        "under a Gaussian kernel.",
        "Eqs. 48 to 51",
        _constant,
    ),
    Equality(
        "local-linear",
        "Local linear regression is softmax attention less the slope times the offset of the mean "
        "key from the query.",
        "Eqs. 52 to 54",
        _local_line,
    ),
)
"""In the order of the paper."""
