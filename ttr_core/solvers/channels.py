"""Decays per feature, in matrix products down to pairs of tokens.

Two blocks of tokens next to each other, of 1, 2, 4, ... tokens: with P what is left in the later
block of what was there before it and R what is left at the end of the earlier one of what its own
tokens wrote, the queries of the later block meet the keys of the earlier as

    (q P) (k R)^T

so that decays are multiplied, never divided by one another (`ttr_core.fading`). The same blocks are
joined once more in the backward pass. A pair decays by what lies between, so that the gradient of a
token's log decay is a sum over the pairs around it: from the end, a running sum of q dq - k dk over
pairs of different tokens.

Source: the secondary chunks of Gated Linear Attention Transformers with Hardware-Efficient Training
(Yang et al., 2023) https://arxiv.org/abs/2312.06635, halved down to single tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..fading import corners, from_each, halves, sizes
from .chunks import chunk_size, join, split

CACHED = 1 << 18  # numbers of a tensor of which some are at work at once


def channel_reads(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    r"""Runs $S_t = a_t \circ S_{t-1} + k_t v_t^\top$ and reads $y_t = S_t^\top q_t$.

    Args:
        q: [B, H, T, F].
        k: [B, H, T, F].
        v: [B, H, T, V].
        log_decay: at most 0, -inf for a reset, [B, H, T, F].
        start: the state before the first token, [B, H, F, V], or None for zero.

    Returns:
        y, [B, H, T, V], and the state after the last token.
    """
    length = q.shape[2]
    size = chunk_size(length)
    q, k, v, log_decay = (split(z, size) for z in (q, k, v, log_decay))
    if start is None:
        start = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
    run: Callable[..., tuple[Tensor, ...]] = ChannelReads.apply
    y, last, _ = run(q, k, v, log_decay, start)
    return join(y, length), last


def channel_scores(a: Tensor, b: Tensor, log_decay: Tensor) -> Tensor:
    r"""Returns $\sum_f a_{tf} b_{if} \prod_{i < j \le t} e^{l_{jf}}$ for $i \le t$, [..., C, C].

    Args:
        a: rows, [..., C, F].
        b: columns, [..., C, F].
        log_decay: l, at most 0, -inf for a reset, [..., C, F].
    """
    if a.shape[-2] == 1:  # decoding
        return a @ b.mT
    run: Callable[..., Tensor] = ChannelScores.apply
    return run(a, b, log_decay)


def channel_pairs(
    r: Tensor, q: Tensor, b: Tensor, log_decay: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns `channel_scores` of two kinds of rows, and what is left since and until each token.

    Args:
        r: rows, [..., C, F].
        q: other rows, [..., C, F].
        b: the columns that both meet, [..., C, F].
        log_decay: l, at most 0, -inf for a reset, [..., C, F], of more than one token.

    Returns:
        The scores of r and of q, [..., C, C]; what is left at each token of what was there before
        the chunk, and at its end of what each token wrote, [..., C, F].
    """
    run: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = ChannelPairs.apply
    return run(r, q, b, log_decay)


class ChannelReads(torch.autograd.Function):
    """The chunks of all heads: q, k and the log decays are [B, H, N, C, F], v is [B, H, N, C, V].

    The gradient is by hand: an automatic one would keep every block of every size.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the outputs, [B, H, N, C, V], the last state, and those before each chunk."""
        y = torch.linalg.vecdot(q, k)[..., None] * v
        since, until = log_decay.exp(), torch.ones_like(log_decay)
        for size in sizes(q.shape[-2]):
            blocks = (halves(z, size) for z in (q, k, v, y, since, until))
            for (_, asked), (keys, _), (values, _), (_, read), at, of in zip(*blocks, strict=True):
                read.add_(((asked * at[1]) @ (keys * of[0]).mT) @ values)
                _join(at, of)
        states, last = _states((k * until).mT @ v, since[..., -1:, :].mT, start)
        y += (q * since) @ states
        return y, last, states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps what the gradient needs."""
        _, last, states = output
        ctx.mark_non_differentiable(states)
        ctx.save_for_backward(*inputs[:4], states, last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, of_last: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        """Returns the gradients of q, k, v, the log decays and the start."""
        q, k, v, log_decay, states, last = ctx.saved_tensors
        grad = grad.contiguous()
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        since, until = log_decay.exp(), torch.ones_like(log_decay)
        for size in sizes(q.shape[-2]):
            inner = (halves(z, size) for z in (q, k, v, grad, since, until))
            outer = (halves(z, size) for z in (dq, dk, dv))
            for (asked, keys, values, grads, at, of), (dqs, dks, dvs) in zip(
                zip(*inner, strict=True), zip(*outer, strict=True), strict=True
            ):
                rows, columns = asked[1] * at[1], keys[0] * of[0]
                scores = grads[1] @ values[0].mT
                dvs[0].add_((columns @ rows.mT) @ grads[1])
                dqs[1].addcmul_(scores @ columns, at[1])
                dks[0].addcmul_(scores.mT @ rows, of[0])
                _join(at, of)
        reads, keep = (q * since).mT @ grad, since[..., -1:, :].mT
        after, of_start = _states(reads.flip(2), keep.flip(2), of_last)
        after = after.flip(2)  # the gradient of the state after each chunk
        dq.addcmul_(grad @ states.mT, since)
        dk.addcmul_(v @ after.mT, until)
        dv += (k * until) @ after
        ends = torch.cat([states[:, :, 1:], last[:, :, None]], 2)
        carried = (after * ends).sum(-1)[..., None, :]
        pairs = (q * dq).addcmul_(k, dk, value=-1)
        of_decay = (from_each(pairs) + carried).masked_fill_(log_decay.isneginf(), 0.0)
        own = torch.linalg.vecdot(grad, v)[..., None]
        dv.addcmul_(torch.linalg.vecdot(q, k)[..., None], grad)
        return dq.addcmul_(own, k), dk.addcmul_(own, q), dv, of_decay, of_start


class ChannelScores(torch.autograd.Function):
    """`channel_scores`, with a gradient by hand."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, log_decay: Tensor) -> Tensor:
        """Returns the scores, [..., C, C]."""
        scores = a.new_zeros(*a.shape[:-1], a.shape[-2])
        scores.diagonal(dim1=-2, dim2=-1).copy_(torch.linalg.vecdot(a, b))
        since, until = log_decay.exp(), torch.ones_like(log_decay)
        for size in sizes(a.shape[-2]):
            blocks = (halves(z, size) for z in (a, b, since, until))
            for (rows, columns, at, of), corner in zip(
                zip(*blocks, strict=True), corners(scores, size), strict=True
            ):
                corner.copy_((rows[1] * at[1]) @ (columns[0] * of[0]).mT)
                _join(at, of)
        return scores

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keeps what the gradient needs."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the gradients of a, b and the log decays."""
        a, b, log_decay = ctx.saved_tensors
        da, db = torch.zeros_like(a), torch.zeros_like(b)
        since, until = log_decay.exp(), torch.ones_like(log_decay)
        for size in sizes(a.shape[-2]):
            blocks = (halves(z, size) for z in (a, b, da, db, since, until))
            for (rows, columns, das, dbs, at, of), corner in zip(
                zip(*blocks, strict=True), corners(grad, size), strict=True
            ):
                das[1].addcmul_(corner @ (columns[0] * of[0]), at[1])
                dbs[0].addcmul_(corner.mT @ (rows[1] * at[1]), of[0])
                _join(at, of)
        pairs = (a * da).addcmul_(b, db, value=-1)
        of_decay = from_each(pairs).masked_fill_(log_decay.isneginf(), 0.0)
        own = grad.diagonal(dim1=-2, dim2=-1)[..., None]
        return da.addcmul_(own, b), db.addcmul_(own, a), of_decay


class ChannelPairs(torch.autograd.Function):
    """`channel_pairs`: columns are faded and blocks joined once for both kinds of rows."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        r: Tensor, q: Tensor, b: Tensor, log_decay: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns both scores, [..., C, C], and the decays since and until each token."""
        of_r = r.new_zeros(*r.shape[:-1], r.shape[-2])
        of_q = torch.zeros_like(of_r)
        for scores, a in ((of_r, r), (of_q, q)):
            scores.diagonal(dim1=-2, dim2=-1).copy_(torch.linalg.vecdot(a, b))
        since, until = _ends(log_decay)
        for slab in _slabs(r, q, b, since, until, of_r, of_q):
            _meet(*slab)
        return of_r, of_q, since, until

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps what the gradient needs."""
        ctx.save_for_backward(*inputs, *output[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_r: Tensor, of_q: Tensor, *ends: Tensor) -> tuple[Tensor, ...]:
        """Returns the gradients of r, q, b and the log decays."""
        r, q, b, log_decay, whole, rest = ctx.saved_tensors
        dr, dq, db = (r.new_zeros(r.shape) for _ in range(3))
        for slab in _slabs(r, q, b, *_ends(log_decay), dr, dq, db, of_r, of_q):
            _meet_again(*slab)
        until_end = ends[1] * rest
        pairs = (r * dr).addcmul_(q, dq).addcmul_(b, db, value=-1)
        pairs = pairs.addcmul_(ends[0], whole).sub_(until_end)
        of_decay = from_each(pairs) + until_end.sum(-2, keepdim=True)
        for da, a, grad in ((dr, r, of_r), (dq, q, of_q)):
            own = grad.diagonal(dim1=-2, dim2=-1)[..., None]
            da.addcmul_(own, b)
            db.addcmul_(own, a)
        return dr, dq, db, of_decay.masked_fill_(log_decay.isneginf(), 0.0)


def _meet(
    r: Tensor, q: Tensor, b: Tensor, since: Tensor, until: Tensor, of_r: Tensor, of_q: Tensor
) -> None:
    """Fills in what the rows of later blocks meet of earlier columns, and joins the blocks."""
    for size in sizes(r.shape[-2]):
        blocks = (halves(z, size) for z in (r, q, b, since, until))
        places = (corners(of_r, size), corners(of_q, size))
        for (ones, others, columns, at, of), first, second in zip(
            zip(*blocks, strict=True), *places, strict=True
        ):
            rows = torch.cat([ones[1] * at[1], others[1] * at[1]], -2)
            met = rows @ (columns[0] * of[0]).mT
            first.copy_(met[..., : first.shape[-2], :])
            second.copy_(met[..., first.shape[-2] :, :])
            _join(at, of)


def _meet_again(
    r: Tensor,
    q: Tensor,
    b: Tensor,
    since: Tensor,
    until: Tensor,
    dr: Tensor,
    dq: Tensor,
    db: Tensor,
    of_r: Tensor,
    of_q: Tensor,
) -> None:
    """Adds to the gradients of rows and columns what `_meet` has to say of them."""
    for size in sizes(r.shape[-2]):
        blocks = (halves(z, size) for z in (r, q, b, dr, dq, db, since, until))
        places = (corners(of_r, size), corners(of_q, size))
        for (ones, others, columns, drs, dqs, dbs, at, of), first, second in zip(
            zip(*blocks, strict=True), *places, strict=True
        ):
            grad, rows = torch.cat([first, second], -2), first.shape[-2]
            of_rows = grad @ (columns[0] * of[0])
            drs[1].addcmul_(of_rows[..., :rows, :], at[1])
            dqs[1].addcmul_(of_rows[..., rows:, :], at[1])
            both = torch.cat([ones[1] * at[1], others[1] * at[1]], -2)
            dbs[0].addcmul_(grad.mT @ both, of[0])
            _join(at, of)


def _ends(log_decay: Tensor) -> tuple[Tensor, Tensor]:
    """Returns what leads into and out of blocks of one token."""
    return log_decay.exp().contiguous(), log_decay.new_ones(log_decay.shape)


def _slabs(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yields some matrices of each, as many as a processor's cache holds; views, where contiguous.

    Most of the work goes through memory entry by entry.
    """
    flat = [z.reshape(-1, *z.shape[-2:]) for z in tensors]
    first = flat[0]
    few = max(1, CACHED // first[0].numel()) if first.device.type == "cpu" else len(first)
    return zip(*(z.split(few) for z in flat), strict=True)


def _join(since: tuple[Tensor, Tensor], until: tuple[Tensor, Tensor]) -> None:
    """Extends what leads into and out of blocks to every two of them together, in place."""
    until[0].mul_(since[1][..., -1:, :])
    since[1].mul_(since[0][..., -1:, :])


def _states(writes: Tensor, keep: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the states before each chunk, [B, H, N, F, V], and the one after the last."""
    states = torch.empty_like(writes)
    for n in range(writes.shape[2]):
        states[:, :, n] = state
        state = torch.addcmul(writes[:, :, n], keep[:, :, n], state)
    return states, state
