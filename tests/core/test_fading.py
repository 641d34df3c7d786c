"""What is left between tokens is the product of the decays between them, however strong."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ttr_core import fading
from ttr_core.fading import Left, left, log_between
from ttr_core.solvers import channels
from ttr_core.solvers.channels import channel_scores

FORMS = pytest.mark.parametrize("few", [0, 1 << 14], ids=["joined", "summed"])
SIZES = pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])


def decays(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    log = -3 * torch.rand(shape, generator=generator, dtype=torch.float64)
    for t, strong in ((1, -1e9), (3, -math.inf), (6, -1e4)):
        if t < shape[-2]:
            log[..., t, :] = strong
    return log


def by_hand(log_decay: Tensor) -> Left:
    share, size = log_decay.exp()[..., 0], log_decay.shape[-2]
    rows = [
        torch.stack([share[..., i + 1 : t + 1].prod(-1) * (i <= t) for i in range(size)], -1)
        for t in range(size)
    ]
    between = torch.stack(rows, -2)
    return Left(between, share.cumprod(-1)[..., None], between[..., -1, :, None])


@FORMS
@SIZES
def test_products_of_decays(few: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fading, "FEW", few)
    log = decays(2, size, 1)
    for found, wanted in zip(left(log), by_hand(log), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    for rows in {1, size}:
        found, wanted = log_between(log, rows).exp(), by_hand(log).between[..., size - rows :, :]
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


@FORMS
@SIZES
def test_their_gradients(few: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fading, "FEW", few)
    log = decays(1, size, 1)
    assert torch.autograd.gradcheck(left, log.clamp_min(-3).requires_grad_())
    log.requires_grad_()
    grads = []
    for made in (left(log), by_hand(log)):
        total = sum((z * torch.arange(z.numel()).view(z.shape).sin()).sum() for z in made)
        grads += torch.autograd.grad(total, log)
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-12)


@SIZES
def test_scores_under_decays_per_feature(size: int) -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 1, size, 3, generator=generator, dtype=torch.float64)
    log = decays(1, size, 3)
    between = by_hand(log.mT[..., None]).between.movedim(1, -1)
    wanted = (a[:, :, None] * b[:, None] * between).sum(-1)
    torch.testing.assert_close(channel_scores(a, b, log), wanted, rtol=1e-12, atol=1e-15)
    leaves = (a.requires_grad_(), b.requires_grad_(), log.clamp_min(-3).requires_grad_())
    assert torch.autograd.gradcheck(channel_scores, leaves)


@pytest.mark.parametrize("lead", [(2, 3), (7,)])
def test_slabs_that_fit_a_cache_change_nothing(
    lead: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = torch.Generator().manual_seed(0)
    r, q, b, fade = (torch.randn(*lead, 5, 4, generator=source).double() for _ in range(4))
    given = [z.requires_grad_() for z in (r, q, b, -fade.abs())]
    answers = []
    for cached in (1 << 18, 45):  # all at once; two matrices
        monkeypatch.setattr(channels, "CACHED", cached)
        found = channels.channel_pairs(*given)
        total = sum((z * z).sum() for z in found)
        answers.append((*found, *torch.autograd.grad(total, given)))
    for whole, parts in zip(*answers, strict=True):
        assert torch.equal(whole, parts)


@pytest.mark.parametrize("length", [8, 13, 70])
def test_a_reset_has_no_slope_at_all(length: int) -> None:
    """What rounding leaves of it would be infinite where a link's own slope is."""
    source, log = torch.Generator().manual_seed(0), decays(1, 2, length, 3)
    q, k, r, v = (
        torch.randn(log.shape, generator=source, dtype=log.dtype).requires_grad_() for _ in "qkrv"
    )
    log.requires_grad_()
    start = torch.ones_like(k[:, :, :3])
    for found in (
        channels.channel_reads(q, k, v, log, start),
        (channel_scores(q, k, log),),
        channels.channel_pairs(r, q, k, log),
    ):
        (slope,) = torch.autograd.grad(sum((z * z).sum() for z in found), log)
        assert (slope[log.isneginf()] == 0).all() and slope[~log.isneginf()].any()
