"""Steps toward a ridge fit: the ladder from linear attention to the exact one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import stream
from test_properties import close

import ttr_core as ttr
from ttr_core.solvers import SOLVERS

SPEC = "Gate | Linear | {}(iterations={}, ridge=0.1)"
LADDER = ("GradientDescent", "Chebyshev", "ConjugateGradient")
LINEAR = ("Gate | Linear | Hebbian", "Gate * Importance | Linear | Hebbian")


def fitted(x: ttr.Stream) -> tuple[torch.Tensor, torch.Tensor]:
    """Dense solves under a ridge of a tenth of |H|, and |H| itself, by prefix."""
    rows, norms = [], []
    for t in range(x.length):
        kept = x.signals["decay"][:, :, 1 : t + 1]
        since = torch.cat([kept, 0 * kept[:, :, :0], torch.zeros_like(x.k[:, :, :1, :1])], 2)
        gamma = since.flip(2).cumsum(2).flip(2).exp()
        k = x.k[:, :, : t + 1]
        gram = k.mT @ (gamma * k)
        norm = torch.linalg.matrix_norm(gram)[..., None, None]
        solved = torch.linalg.solve(gram + 0.1 * norm * torch.eye(3), x.q[:, :, t, :, None])
        rows.append((gamma * (k @ solved)).mT @ x.v[:, :, : t + 1])
        norms.append(norm)
    return torch.cat(rows, 2), torch.cat(norms, 2)


@pytest.mark.parametrize("name", LADDER)
def test_many_steps_are_the_fit_and_few_are_not(name: str) -> None:
    spec = ttr.Spec.parse(SPEC.format(name, 200))
    x = stream(spec, 12)
    wanted, _ = fitted(x)
    close(ttr.solve(spec, x), wanted, 1e-8)
    few = ttr.solve(SPEC.format(name, 1), x)
    assert (few - wanted).norm() > 1e-3 * wanted.norm()


def test_no_step_is_linear_attention_in_proportion() -> None:
    spec = ttr.Spec.parse(SPEC.format("GradientDescent", 0))
    x = stream(spec, 12)
    _, norm = fitted(x)
    close(ttr.solve(spec, x), ttr.solve(LINEAR[0], x) * 2 / (1.2 * norm))


def test_conjugate_gradients_arrive_after_as_many_steps_as_there_are_features() -> None:
    spec = ttr.Spec.parse(SPEC.format("ConjugateGradient", 3))
    x = stream(spec, 12)
    close(ttr.solve(spec, x), fitted(x)[0], 1e-8)


def test_thirty_chebyshev_steps_leave_three_parts_in_ten_thousand() -> None:
    """The worst of a spectrum from .02 to 1.02 of the norm."""
    optimizer = ttr.Spec.parse("Gate | Linear | Chebyshev").optimizer
    values = torch.linspace(0, 1, 1001, dtype=torch.float64)
    one = torch.ones(1001, 1, 1, dtype=torch.float64)
    reached = optimizer.approach(lambda z: values[:, None, None] * z, one, one)
    error = (1 - reached[:, 0, 0] * (values + 0.02)).abs()
    assert 2e-4 < error.max() < 4e-4


def test_an_empty_past_is_answered_with_nothing() -> None:
    for name in LADDER:
        spec = ttr.Spec.parse(f"Importance | Linear | {name}")
        x = stream(spec, 4)
        silent = replace(x, signals={"importance": 0 * x.signals["importance"]})
        leaf = silent.k.clone().requires_grad_()
        y = ttr.solve(spec, replace(silent, k=leaf))
        y.sum().backward()
        assert (y == 0).all() and leaf.grad.isfinite().all()


@pytest.mark.parametrize("optimizer", ["Chebyshev", "ConjugateGradient", "Exact"])
def test_a_mix_of_all_is_the_fit_and_of_nothing_the_sum(optimizer: str) -> None:
    mixed = ttr.Spec.parse(f"Gate * Importance | Linear | {optimizer} | readout=Mixed")
    x = stream(mixed, 12)
    plain = {n: s for n, s in x.signals.items() if n != "mix"}
    others = (str(mixed).partition(" | readout")[0], LINEAR[1])
    for share, other in zip((1.0, 0.0), others, strict=True):
        signals = plain | {"mix": torch.full_like(x.signals["mix"], share)}
        close(
            ttr.solve(mixed, replace(x, signals=signals)),
            ttr.solve(other, replace(x, signals=plain)),
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Gate | Linear | SGD | readout=Mixed", "mixes a ridge fit"),
        ("Uniform | Constant | Chebyshev", "none shrinks the intercept"),
        ("Uniform | MLP | GradientDescent", "needs a function class that is linear"),
        ("Uniform | Linear | Chebyshev | loss=Huber", "counts on a quadratic"),
    ],
)
def test_where_there_is_no_ridge_fit_the_reason_is_said(text: str, said: str) -> None:
    with pytest.raises(ttr.IncompatibleSpec, match=said):
        ttr.resolve(text)


@pytest.mark.parametrize("name", LADDER)
@pytest.mark.parametrize("weights", ["Gate * Importance", "ChannelGate", "ExpKernel"])
def test_every_rung_is_solved_as_it_is_defined(name: str, weights: str) -> None:
    """Written by name, and in no cell of the grid."""
    from test_definition import compare

    spec = ttr.Spec.parse(f"{weights} | Linear | {name}(iterations=2)")
    solvers = [s.name for s in SOLVERS[:-1] if s.refusal(spec) is None]
    assert solvers or (weights, name) == ("ExpKernel", "ConjugateGradient")
    for solver in solvers:
        compare(spec, solver)
