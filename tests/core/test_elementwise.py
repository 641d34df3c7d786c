"""Memories that are a vector run the recurrence itself, and it is the same layer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import stream

import ttr_core as ttr
from ttr_core.solvers import chunked_linear
from ttr_core.solvers.elementwise import DecayedSums

SPECS = [
    ttr.Spec.parse(text)
    for text in (
        "Gate | Linear | Hebbian",
        "Decay | Linear | OneStep",
        "ChannelGate | Linear(map=elu1) | Hebbian",
        "ChannelGate * Importance | Linear | Hebbian",
        "Uniform | Linear | DiagonalImplicit",
    )
]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def solved(spec: ttr.Spec, x: ttr.Stream, solver: str | None = None) -> list[torch.Tensor]:
    """The outputs and the gradients of everything that goes in."""
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    signals = dict(zip(x.signals, leaves[3:], strict=True))
    y = ttr.solve(spec, ttr.Stream(*leaves[:3], signals), solver=solver)
    return [y, *torch.autograd.grad(y.sin().sum(), leaves)]


@every_spec
def test_one_channel_equals_the_definition(spec: ttr.Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = chunked_linear.decayed_reads
    monkeypatch.setattr(chunked_linear, "decayed_reads", lambda *a: calls.append(1) or run(*a))
    x = stream(spec, 7, value_dim=1)
    for got, want in zip(solved(spec, x), solved(spec, x, "reference"), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)
    assert calls == [1]


ONE_FEATURE = [
    ttr.Spec.parse(text)
    for text in ("Gate * Importance | Linear | Hebbian", "LearnedDecay | Linear | Hebbian")
]


@pytest.mark.parametrize("spec", ONE_FEATURE, ids=str)
def test_one_feature_equals_the_definition_and_the_chunks(
    spec: ttr.Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    run = chunked_linear.decayed_reads
    monkeypatch.setattr(chunked_linear, "decayed_reads", lambda *a: calls.append(1) or run(*a))
    x = stream(spec, 7, key_dim=1, value_dim=2)
    for got, want in zip(solved(spec, x), solved(spec, x, "reference"), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)
    x = stream(spec, 70, key_dim=1, value_dim=12)
    few = torch.cat([ttr.solve(spec, replace(x, v=z)) for z in x.v.split(6, -1)], -1)
    assert len(calls) == 3
    torch.testing.assert_close(ttr.solve(spec, x), few, rtol=1e-9, atol=1e-9)
    assert len(calls) == 3  # many channels go in chunks
    y, state = ttr.prefill(spec, replace(x, v=x.v[..., :2]).tokens(0, 33))
    rest, _ = ttr.prefill(spec, replace(x, v=x.v[..., :2]).tokens(33, 70), state=state)
    torch.testing.assert_close(torch.cat([y, rest], 2), few[..., :2], rtol=1e-9, atol=1e-9)


@every_spec
def test_one_channel_is_one_of_many_in_chunks(spec: ttr.Spec) -> None:
    x = stream(spec, 70, value_dim=3)
    many = ttr.solve(spec, x)
    one = torch.cat([ttr.solve(spec, replace(x, v=x.v[..., i : i + 1])) for i in range(3)], -1)
    torch.testing.assert_close(one, many, rtol=1e-9, atol=1e-9)


@every_spec
def test_one_channel_goes_on_where_it_left_off(spec: ttr.Spec) -> None:
    x, state, parts = stream(spec, 20, value_dim=1), None, []
    for start, stop in ((0, 11), (11, 12), (12, 20)):
        y, state = ttr.prefill(spec, x.tokens(start, stop), state=state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 2), ttr.solve(spec, x), rtol=1e-9, atol=1e-9)


def test_a_decay_to_nothing_has_a_finite_gradient() -> None:
    spec = SPECS[2]
    x = stream(spec, 9, value_dim=1)
    gone = replace(x, signals={"decay": torch.full_like(x.signals["decay"], -1e4)})
    assert all(z.isfinite().all() for z in solved(spec, gone))


@pytest.mark.parametrize("width", [1, 3])
def test_the_gradient_of_the_recurrence_is_its_own(width: int) -> None:
    shapes = ((5, 2, 2, width), (5, 2, 2, 3), (2, 2, 3))
    inputs = [torch.rand(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(DecayedSums.apply, inputs)
