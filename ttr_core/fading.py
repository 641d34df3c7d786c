"""What is left between any two tokens: decays are multiplied, never divided by one another.

Differences of running sums of logs lose what stands beside a strong decay, and are no number
beside -inf. Here blocks of 1, 2, 4, ... tokens are joined two at a time instead: what passes from
the earlier block to the later one fades by what is left to the end of the one, and by what is left
from the start of the other. Any decay is as good as any other, 0 included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

FEW = 1 << 14  # pairs, of which a sum for each costs less than the joining of blocks

Combine = Callable[[Tensor, Tensor], Tensor]


class Left(NamedTuple):
    """What is left of the past in a block of tokens.

    Args:
        between: by token t of what token i wrote, [..., C, C]; 1 on the diagonal, 0 above it.
        since: by each token of what was there before the block, [..., C, 1].
        until: by the block's end of what each token wrote, [..., C, 1].
    """

    between: Tensor
    since: Tensor
    until: Tensor


def left(log_decay: Tensor) -> Left:
    r"""Returns $\prod_{i < j \le t} a_j$ of all pairs of tokens of a block.

    Args:
        log_decay: $\log a$, at most 0, -inf for a reset, [..., C, 1].

    Example:
        >>> left(torch.tensor([[-0.1], [-math.inf], [0.0]])).between
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 1., 1.]])
    """
    if log_decay.shape[-2] == 1:  # decoding
        one = torch.ones_like(log_decay)
        return Left(one, log_decay.exp(), one)
    if log_decay.numel() * log_decay.shape[-2] <= FEW:
        return _summed(log_decay)
    run: Callable[..., tuple[Tensor, Tensor, Tensor]] = Products.apply
    return Left(*run(log_decay))


def log_between(log_decay: Tensor, rows: int) -> Tensor:
    r"""Returns $\sum_{i < j \le t} \log a_j$ for the last tokens t; -inf where i > t.

    Args:
        log_decay: as for `left`, [..., T, 1].
        rows: R, how many tokens t.

    Returns:
        Sums, [..., R, T].
    """
    past, new = log_decay.split([log_decay.shape[-2] - rows, rows], -2)
    run: Callable[..., Tensor] = Sums.apply
    within = run(new) if rows > 1 else torch.zeros_like(new)
    if not past.shape[-2]:
        return within
    until = from_each(F.pad(past[..., 1:, :], (0, 0, 0, 1)))
    return torch.cat([new.cumsum(-2) + until.mT, within], -1)


def _summed(log_decay: Tensor) -> Left:
    """Returns `left` by a running sum down each column: more work, in fewer operations."""
    size = log_decay.shape[-2]
    hidden = torch.ones(size, size, dtype=torch.bool, device=log_decay.device).triu()
    columns = log_decay.expand(*log_decay.shape[:-1], size).masked_fill(hidden, 0.0)
    between = columns.cumsum(-2).exp().tril()
    return Left(between, log_decay.cumsum(-2).exp(), between[..., -1:, :].mT)


class Products(torch.autograd.Function):
    """`left`, with a gradient that is a running sum.

    A pair decays by what lies between its tokens, so that the gradient of a token's log decay is a
    sum over the pairs around it: those that end later, less those that begin later.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(log_decay: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the parts of `Left`."""
        between = log_decay.new_zeros(_square(log_decay))
        return _joined(log_decay.exp(), between, 1.0, torch.mul)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps what the gradient needs."""
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Returns the gradient of the log decays."""
        pairs, since, until = (x * grad for x, grad in zip(ctx.saved_tensors, grads, strict=True))
        begun = pairs.sum(-2)[..., None] + until
        ended = pairs.sum(-1, keepdim=True) + since
        whole: Tensor = until.sum(-2, keepdim=True)
        return from_each(ended - begun) + whole


class Sums(torch.autograd.Function):
    """`log_between`, with the same gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(log_decay: Tensor) -> Tensor:
        """Returns the sums of all pairs."""
        between = log_decay.new_full(_square(log_decay), -math.inf)
        return _joined(log_decay, between, 0.0, torch.add)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keeps nothing: the sums are linear."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Returns the gradient of the log decays."""
        pairs = grad.tril(-1)
        return from_each((pairs.sum(-1) - pairs.sum(-2))[..., None])


def _square(each: Tensor) -> tuple[int, ...]:
    return (*each.shape[:-1], each.shape[-2])


def _joined(
    each: Tensor, between: Tensor, one: float, combine: Combine
) -> tuple[Tensor, Tensor, Tensor]:
    """Fills the lower triangle of ``between``, and returns it with what leads in and out."""
    since, until = each.clone(), torch.full_like(each, one)
    between.diagonal(dim1=-2, dim2=-1).fill_(one)
    for size in sizes(each.shape[-2]):
        blocks = zip(halves(since, size), halves(until, size), corners(between, size), strict=True)
        for (before, after), (early, _), corner in blocks:
            corner.copy_(combine(after, early.mT))
            early.copy_(combine(early, after[..., -1:, :]))
            after.copy_(combine(after, before[..., -1:, :]))
    return between, since, until


def sizes(length: int) -> Iterator[int]:
    """Yields 1, 2, 4, ... below a number of tokens: the blocks that are joined."""
    return (1 << level for level in range((length - 1).bit_length()))


def halves(x: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields views of both blocks of every two, [..., C, D] -> [..., N, size, D] each.

    And of those at the end, [..., size, D] and [..., rest, D], whose later block is shorter.
    """
    whole = x.shape[-2] // (2 * size) * 2 * size
    if whole:
        pairs = x[..., :whole, :].unflatten(-2, (-1, 2, size))
        yield pairs.select(-3, 0), pairs.select(-3, 1)  # which may be written to, when traced too
    if x.shape[-2] - whole > size:
        yield x[..., whole : whole + size, :], x[..., whole + size :, :]


def corners(x: Tensor, size: int) -> Iterator[Tensor]:
    """Yields views of where the later block of every two meets the earlier, from [..., C, C]."""
    whole = x.shape[-1] // (2 * size) * 2 * size
    if whole:
        tiles = x[..., :whole, :whole].unflatten(-1, (-1, 2, size)).unflatten(-4, (-1, 2, size))
        yield tiles[..., 1, :, :, 0, :].diagonal(dim1=-4, dim2=-2).movedim(-1, -3)
    if x.shape[-1] - whole > size:
        yield x[..., whole + size :, whole : whole + size]


def from_each(x: Tensor) -> Tensor:
    """Sums the entries of every token with those of the tokens after it, [..., C, D]."""
    return x.flip(-2).cumsum(-2).flip(-2)
