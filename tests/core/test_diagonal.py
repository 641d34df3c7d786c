"""The diagonal proximal step: its limits and its solvers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import stream

import ttr_core as ttr

WEIGHTS = ("Uniform", "Gate", "ChannelGate * Importance")


def spec_of(optimizer: str, weights: str = "Uniform") -> ttr.Spec:
    return ttr.Spec.parse(f"{weights} | Linear | {optimizer}")


def one_feature_each(x: ttr.Stream) -> ttr.Stream:
    """Keys with a single feature that is not zero, another one for each token."""
    mask = torch.eye(x.key_dim, dtype=x.k.dtype).repeat(x.length, 1)[: x.length]
    return replace(x, k=x.k * mask)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_on_keys_with_one_feature_it_is_the_proximal_step(weights: str) -> None:
    diagonal, exact = spec_of("DiagonalImplicit", weights), spec_of("Implicit", weights)
    x = one_feature_each(stream(diagonal, 20))
    torch.testing.assert_close(ttr.solve(diagonal, x), ttr.solve(exact, x), rtol=1e-9, atol=1e-9)


def test_on_generic_keys_it_is_not() -> None:
    diagonal, exact = spec_of("DiagonalImplicit"), spec_of("Implicit")
    x = stream(diagonal, 20)
    assert (ttr.solve(diagonal, x) - ttr.solve(exact, x)).abs().max() > 0.1


def test_a_step_far_on_a_sparse_key_is_finite_in_float32() -> None:
    spec = spec_of("DiagonalImplicit")
    x = one_feature_each(stream(spec, 20))
    far = replace(x, signals={"step": torch.full_like(x.signals["step"], 1e9)})
    single = far.map(lambda z: z.float().requires_grad_())
    y = ttr.solve(spec, single)
    torch.testing.assert_close(y.double(), ttr.solve(spec, far), rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(y.sum(), [single.q, single.k, *single.signals.values()])
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("solver", ["chunked_linear", "autograd_scan"])
def test_many_tokens_agree_with_the_definition(weights: str, solver: str) -> None:
    spec = spec_of("DiagonalImplicit", weights)
    x = stream(spec, 30, heads=1)
    wanted = ttr.solve(spec, x, solver="reference")
    torch.testing.assert_close(ttr.solve(spec, x, solver=solver), wanted, rtol=1e-8, atol=1e-8)
