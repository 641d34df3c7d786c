"""Every solver equals the definition, in values and gradients, for every spec that it accepts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import pytest
import torch
from streams import TESTED, accepting, by_default, stream

import ttr_core as ttr
from ttr_core.solvers import SOLVERS, caution
from ttr_core.solvers.chunked_delta import ChunkedDelta
from ttr_core.space.optimizers import SGD


def by_every_solver(specs: Iterable[ttr.Spec]) -> list:
    """Returns each spec with each solver, other than the oracle, that accepts it."""
    return [
        pytest.param(spec, solver, id=f"{spec} by {solver}")
        for spec in specs
        for solver in accepting(spec)
    ]


UNLISTED = [ttr.Spec.parse("Gate * Importance | MLP(expansion=1) | ChunkMuon(window=3, size=2)")]
"""Layers of solvers that neither the grid nor the catalog needs."""

ACCEPTED = [(spec, solver) for spec in [*TESTED, *UNLISTED] for solver in accepting(spec)]
FIRST = {solver: spec for spec, solver in reversed(ACCEPTED)}
PAIRS = [
    pytest.param(spec, solver, id=f"{spec} by {solver}", marks=marks)
    for spec, solver in ACCEPTED
    for default in [by_default(spec) or FIRST[solver] == spec]
    for marks in [[] if default else [pytest.mark.full_grid]]
]


def outputs_and_gradients(spec: ttr.Spec, solver: str, length: int = 7) -> tuple:
    x = stream(spec, length)
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    signals = dict(zip(x.signals, leaves[3:], strict=True))
    y = ttr.solve(spec, ttr.Stream(*leaves[:3], signals), solver=solver)
    gradients = torch.autograd.grad(
        y.sin().sum(), leaves, allow_unused=True, materialize_grads=True
    )
    return y.detach(), gradients


@lru_cache(maxsize=4)
def oracle(spec: ttr.Spec) -> tuple:
    return outputs_and_gradients(spec, "reference")


def compare(spec: ttr.Spec, solver: str) -> None:
    y, gradients = outputs_and_gradients(spec, solver)
    wanted, wanted_gradients = oracle(spec)
    torch.testing.assert_close(y, wanted, rtol=1e-8, atol=1e-8)
    if caution(spec):
        return  # a minimum norm promises no gradient
    for got, want in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_solver_equals_the_definition(spec: ttr.Spec, solver: str) -> None:
    compare(spec, solver)


def test_every_solver_is_compared_somewhere() -> None:
    compared = {param.values[1] for param in PAIRS if not param.marks}
    assert compared == {solver.name for solver in SOLVERS[:-1]}


def test_a_corrupted_gain_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self, square, importance, signals):
        return 1.001 * signals["step"]

    spec = ttr.Spec.parse("Gate | Linear | SGD")
    compare(spec, "chunked_delta")
    monkeypatch.setattr(SGD, "gain", wrong)
    with pytest.raises(AssertionError, match="not close"):
        compare(spec, "chunked_delta")


@pytest.mark.parametrize(
    "text", ["Gate | Linear | SGD", "ChannelGate | Linear | SGD", "Uniform | Linear | Exact"]
)
def test_residual_stays_small_where_keys_are_ill_conditioned(text: str) -> None:
    spec = ttr.Spec.parse(text)
    x = stream(spec, 40, key_dim=6)
    scales = torch.logspace(0, -4, 6, dtype=torch.float64)
    hard = ttr.Stream(x.q, x.k * scales, x.v, x.signals)
    fast = ttr.solve(spec, hard)
    slow = ttr.solve(spec, hard, solver="rank_one_scan" if "SGD" in text else "normal_equations")
    assert (fast - slow).norm() <= 1e-8 * slow.norm()


def test_the_delta_solver_is_the_one_that_runs_deltanet() -> None:
    assert isinstance(ttr.resolve(ttr.catalog["deltanet"].spec), ChunkedDelta)


@pytest.mark.parametrize("ridge", [1e-1, 1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("weights", ["Uniform", "Gate", "ExpKernel"])
def test_a_small_ridge_is_solved_in_float64(weights: str, ridge: float) -> None:
    spec = ttr.Spec.parse(f"{weights} | Linear | Exact(ridge={ridge})")
    x = stream(spec, 80, key_dim=8, dtype=torch.float32)
    flat = ttr.Stream(x.q, x.k * torch.tensor([1.0] * 3 + [0.0] * 5), x.v, x.signals)
    y, wide = ttr.solve(spec, flat), ttr.solve(spec, flat.map(lambda z: z.double()))
    assert y.dtype == torch.float32 and (y - wide).norm() <= 2e-3 * wide.norm()


def test_a_ridge_below_what_float64_resolves_is_refused() -> None:
    with pytest.raises(ttr.IncompatibleSpec, match="at least 1e-08"):
        ttr.resolve(ttr.Spec.parse("Uniform | Linear | Exact(ridge=1e-12)"))
