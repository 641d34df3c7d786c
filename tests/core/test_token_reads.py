"""Sums of pairs by hand: the gradient of every argument, through the outputs and the last state."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from ttr_core.solvers import chunks
from ttr_core.solvers.token_reads import token_reads
from ttr_core.tools.held import peak_bytes
from ttr_core.tools.rates import product_count

CASES = [*itertools.product((False, True), (False, True), (3, 7))]


def drawn(decays: bool, starts: bool, length: int) -> list[Tensor | None]:
    source = torch.Generator().manual_seed(0)

    def one(*shape: int) -> Tensor:
        return torch.randn(2, 1, *shape, generator=source, dtype=torch.float64)

    decay = -one(length, 1).abs() if decays else None
    given = (one(length, 3), one(length, 3), one(length, 2), decay, one(3, 2) if starts else None)
    return [None if z is None else z.requires_grad_() for z in given]


def by_token(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    state = k.new_zeros(2, 1, 3, 2) if start is None else start
    reads = []
    for t in range(k.shape[2]):
        kept = state if log_decay is None else log_decay[:, :, t, :, None].exp() * state
        state = kept + k[:, :, t, :, None] * v[:, :, t, None, :]
        reads.append((q[:, :, t, None, :] @ state)[:, :, 0])
    return torch.stack(reads, 2), state


@pytest.mark.parametrize("stepped", [("cpu",), ()], ids=["steps", "sums"])
@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)], ids=["outputs", "state", "both"])
@pytest.mark.parametrize(("decays", "starts", "length"), CASES)
def test_values_and_gradients_are_those_of_the_recurrence(
    decays: bool,
    starts: bool,
    length: int,
    which: tuple[int, ...],
    stepped: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 3)
    monkeypatch.setattr(chunks, "STEPPED", stepped)
    given = drawn(decays, starts, length)
    leaves = [z for z in given if z is not None]
    answers = []
    for run in (token_reads, by_token):
        found = run(*given)  # type: ignore[arg-type]
        total = sum((found[i] * torch.linspace(-1, 1, found[i].numel()).view_as(found[i])).sum()
                    for i in which)  # fmt: skip
        slopes = torch.autograd.grad(total, leaves, allow_unused=True)
        slopes = [
            torch.zeros_like(z) if g is None else g for z, g in zip(leaves, slopes, strict=True)
        ]
        answers.append([*found, *slopes])
    for got, wanted in zip(*answers, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_one_chunk_from_nothing_multiplies_no_memory() -> None:
    """At the lengths of most trainings the memory before the only chunk is zero."""
    q, k, v = (torch.ones(1, 1, 8, 64, requires_grad=True) for _ in range(3))
    empty = torch.zeros(1, 1, 64, 64)

    def cost(start: Tensor | None) -> int:
        return product_count(lambda: token_reads(q, k, v, None, start)[0].sum().backward())

    assert cost(None) == 7 * 2 * 8 * 8 * 64 - 2 * 8 * 8 * 64 + 2 * 8 * 64 * 64
    assert cost(empty) > 1.5 * cost(None)


@pytest.mark.parametrize("decays", [False, True])
def test_memory_stays_within_six_times_inputs_and_outputs(decays: bool) -> None:
    q, k, v = (torch.ones(1, 2, 1024, 64, requires_grad=True) for _ in range(3))
    decay = torch.full((1, 2, 1024, 1), -0.01, requires_grad=True) if decays else None
    above = torch.ones_like(q)
    held = peak_bytes(lambda: token_reads(q, k, v, decay, None)[0].backward(above), "cpu")
    assert held <= 6 * 4 * q.numel() * 4
