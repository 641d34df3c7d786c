"""Decays x linear model x recursive least squares: two Cholesky factors per chunk."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Singular
from ..limits import Estimate, Shape
from ..named import Carried
from ..precision import readable
from ..space.functions import LinearModel
from ..space.optimizers import FadingRidge
from ..space.weights import MemorylessWeights
from ..systems import factored
from .base import Solver
from .chunks import CHUNK, carry, join, lower, split
from .problem import TINY, Problem, rooted
from .ridges import SAFE_RIDGE
from .state import Matrix, State

LEAST = 1e-6  # what the decays of a chunk may leave: the square of what scales its rows apart


_Asked = Problem[MemorylessWeights, LinearModel, FadingRidge]


class ChunkedRLS(Solver[_Asked]):
    r"""Least squares whose ridge fades with the pairs, for every prefix of a chunk at once.

    With rows X and values V of a chunk divided by the root of what their token's decays leave of
    the matrix $A = G + \lambda \Lambda$ before the chunk, all prefixes are nested again:

    $$L L^\top = I + X A^{-1} X^\top, \qquad U = L^{-1} (V - X A^{-1} R)$$
    $$y = Q A^{-1} R + \big(Q A^{-1} X^\top L^{-\top}\big)_{i \le t}\, U$$

    Restoring an axis of the ridge is a row of its own, of value 0. A and R before all chunks are
    sums, so that the chunks do not wait for one another and no error of an inverse is carried on.
    Where forgetting leaves a ridge below 0.1, the whole is solved in float64.

    Source: the block form of recursive least squares; the layer is Uncovering mesa-optimization
    algorithms in Transformers (von Oswald et al., 2023) https://arxiv.org/abs/2309.05858
    """

    name: ClassVar[str] = "chunked_rls"
    cost: ClassVar[str] = "T (C^2 + F^2 + (C + F) V), two Cholesky factors per chunk"

    def finer(self, p: _Asked) -> bool:
        return True

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        rows = 2 * shape.batch * shape.heads * shape.length
        f, v = shape.features, shape.value_dim
        products = 2 * f * f + 3 * f * v + CHUNK * (3 * f + 2 * v + CHUNK)
        return Estimate(2 * rows * products, 8.0 * rows * (2 * f * (f + v) / CHUNK + 8 * CHUNK))

    def state(self, p: _Asked) -> State:
        return Matrix(p.function, gram=True, vectors=1, numbers=1)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        optimizer = p.optimizer
        q, k = p.features()
        v, (log_decay, importance) = p.x.v, p.recency()
        if importance is not None:
            root = rooted(importance)
            k, v = k * root, v * root
        state = _begin(optimizer, k, v) if kept is None else kept
        lost, shares, size = None, state["shares"], CHUNK
        if log_decay is not None:
            log_decay = log_decay.clamp_min(optimizer.least_log_decay(k.shape[-1]))
            lost, shares = _lost(log_decay, shares, state["age"])
            size = min(CHUNK, 2 * optimizer.tokens_to(LEAST, k.shape[-1]))
        q, k, v, gram, moment = _precise(optimizer, lost, q, k, v, state["A"], state["R"])
        if log_decay is not None and lost is not None:
            # A token is two rows: its axis, from the ridge that it has lost, then its pair.
            root = (optimizer.ridge * lost + TINY).sqrt().to(k.dtype)
            rows = root * _axes(state["age"], k).to(k.dtype)
            k = torch.stack([rows, k], 3).flatten(2, 3)
            v = torch.stack([torch.zeros_like(v), v], 3).flatten(2, 3)
            log_decay = F.pad(log_decay.to(k.dtype)[:, :, :, None], (0, 0, 0, 1)).flatten(2, 3)
        y, gram, moment = _prefixes(q, k, v, log_decay, (gram, moment), size)
        after = {"A": gram, "R": moment, "shares": shares, "age": state["age"] + p.x.length}
        return p.read(y.to(p.x.v.dtype)), after


def _begin(optimizer: FadingRidge, k: Tensor, v: Tensor) -> Carried:
    """Returns the state before the first token; shares of the ridge as logs, [B, H, F]."""
    batch, heads, _, width = k.shape
    eye = torch.eye(width, dtype=k.dtype, device=k.device)
    return {
        "A": (optimizer.ridge * eye).expand(batch, heads, width, width),
        "R": k.new_zeros(batch, heads, width, v.shape[-1]),
        "shares": k.new_zeros(batch, heads, width),
        "age": k.new_zeros(batch, heads, 1),
    }


def _lost(log_decay: Tensor, shares: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the share that each token's axis has lost of its ridge, and the logs of all after.

    Args:
        log_decay: [B, H, T, 1].
        shares: logs of what is left of the ridge on each axis, [B, H, F].
        age: tokens seen so far, [B, H, 1], the same in all.
    """
    length, width, first = log_decay.shape[2], shares.shape[-1], _first(age)
    c = log_decay.double().cumsum(2)
    times = torch.arange(length, device=c.device)
    at_first = shares.double()[..., (first + times) % width, None] + c
    # An axis whose last turn lies in this stream has faded since then, any other since before it.
    since = c[:, :, width:] - c[:, :, :-width]
    left = torch.cat([at_first[:, :, :width], since], 2) if length > width else at_first
    axes = torch.arange(width, device=c.device)
    last = length - 1 - (first + length - 1 - axes) % width
    restored = c[:, :, -1] - c[:, :, last.clamp_min(0), 0]
    after = torch.where(last >= 0, restored, shares + c[:, :, -1])
    return -torch.expm1(left), after


def _first(age: Tensor) -> Tensor:
    """Returns the tokens seen so far as a whole number, which is not read back."""
    return age.flatten()[0].long()


def _axes(age: Tensor, k: Tensor) -> Tensor:
    """Returns the unit vector of each token's axis, [T, F]."""
    width = k.shape[-1]
    turn = torch.arange(k.shape[2], device=k.device) + _first(age)
    return turn[:, None] % width == torch.arange(width, device=k.device)


def _precise(optimizer: FadingRidge, lost: Tensor | None, *tensors: Tensor) -> list[Tensor]:
    """Returns the tensors in the precision that the smallest share of the ridge asks for."""
    if lost is None:
        safe = optimizer.ridge >= SAFE_RIDGE
    else:  # where to ask would be to wait for an accelerator, it counts as small
        safe = readable(lost) and optimizer.ridge * float(1 - lost.detach().amax()) >= SAFE_RIDGE
    return [z.to(tensors[0].dtype) if safe else z.double() for z in tensors]


def _prefixes(
    q: Tensor,
    x: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    start: tuple[Tensor, Tensor],
    size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Solves for every prefix of rows x and values v, n of them to a query, read after the last.

    Returns:
        y, [B, H, T, V], and both sums after the last row.
    """
    length, every = q.shape[2], x.shape[2] // q.shape[2]
    size = max(every, min(size, x.shape[2]) // every * every)
    q, x, v = split(q, size // every), split(x, size), split(v, size)
    x_in, v_in, x_out, v_out, keep = x, v, x, v, None
    if log_decay is not None:
        c = split(log_decay, size).cumsum(-2)
        end = c[..., -1:, :]
        spread, late = (-c / 2).exp(), ((end - c) / 2).exp()
        x_in, v_in, x_out, v_out = x * spread, v * spread, x * late, v * late
        keep = end.exp()
    grams, gram = carry(x_out.mT @ x_out, keep, start[0])
    moments, moment = carry(x_out.mT @ v_out, keep, start[1])
    # Both sides of the inverse of each A by the root of A: what follows has no large numbers.
    root = _root(grams)
    sides = torch.cat([x_in.mT, q.mT, moments], -1)
    sides = torch.linalg.solve_triangular(root, sides, upper=False)
    xs, qs, rs = sides.split([size, size // every, v.shape[-1]], -1)
    eye = torch.eye(size, dtype=x.dtype, device=x.device)
    factor = _root(xs.mT @ xs + eye)
    both = torch.cat([xs.mT @ qs, v_in - xs.mT @ rs], -1)
    both = torch.linalg.solve_triangular(factor, both, upper=False)
    w, u = both.split([size // every, v.shape[-1]], -1)
    seen = lower(size, 0, x, every)
    y = qs.mT @ rs + w.mT.masked_fill(~seen, 0.0) @ u
    return join(y, length), gram, moment


def _root(matrix: Tensor) -> Tensor:
    """Returns the Cholesky factor of a matrix, NaN where a state is.

    Raises:
        Singular: it cannot be factored.
    """
    factor, found = factored(matrix)
    if not found:
        raise Singular(
            f"A sum over the pairs is singular in {matrix.dtype}: the share that is left of the "
            "ridge is too small beside the keys. Raise the ridge, or scale the keys down."
        )
    return factor
