"""What the ingredients themselves learn: values and gradients through every solver."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from streams import LAYERS, by_default, stream
from test_definition import by_every_solver

import ttr_core as ttr
from ttr_core.solvers import caution
from ttr_core.space.functions import Network

READ = (
    "Uniform | Linear | Hebbian | readout=Bonus",
    "Gate | Linear | Hebbian | readout=Bonus",
    "ChannelGate * Importance | Linear(map=elu1) | Hebbian | readout=Bonus",
    "LearnedDecay * Importance | Linear | Hebbian | readout=Bonus",
)


def learned(spec: ttr.Spec) -> bool:
    return any(p.requires_grad for p in own_tensors(spec).values())


def own_tensors(spec: ttr.Spec) -> dict[str, torch.Tensor]:
    return spec.parameters(3, 3 if spec.function.square else 2, 2)


def light(spec: ttr.Spec) -> bool:
    """A spec on the identity or of which only the map learns: the others repeat its paths."""
    return "elu1" not in str(spec)


SPECS = [
    s
    for s in LAYERS
    if learned(s) and light(s) and not caution(s)
    if by_default(s) or not isinstance(s.function, Network)
]
SPECS += [ttr.Spec.parse(text) for text in READ]
PAIRS = by_every_solver(SPECS)


def moved(spec: ttr.Spec) -> dict[str, torch.Tensor]:
    """The spec's tensors in float64, away from where they start."""
    torch.default_generator.manual_seed(0)
    found = {}
    for name, p in own_tensors(spec).items():
        wide = p.detach().double() if p.is_floating_point() else p
        if p.requires_grad:
            wide = (wide + 0.3 * torch.randn_like(wide)).requires_grad_()
        found[name] = wide
    return found


def run(spec: ttr.Spec, solver: str) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    params = moved(spec)
    y = ttr.solve(spec, stream(spec), params, solver=solver)
    leaves = [p for p in params.values() if p.requires_grad]
    return y.detach(), torch.autograd.grad(y.sin().sum(), leaves)


@lru_cache(maxsize=2)
def oracle(spec: ttr.Spec) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    return run(spec, "reference")


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_learned_tensors_get_the_gradients_of_the_definition(spec: ttr.Spec, solver: str) -> None:
    y, gradients = run(spec, solver)
    wanted, wanted_gradients = oracle(spec)
    torch.testing.assert_close(y, wanted, rtol=1e-8, atol=1e-8)
    for got, want in zip(gradients, wanted_gradients, strict=True):
        assert want.any()
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


def test_a_learned_decay_starts_evenly_spread() -> None:
    weights = ttr.Spec.parse("LearnedDecay(low=0.5, high=0.9) | Linear | Hebbian").weights
    kept = torch.exp(-weights.parameters(3, 2, 4)["nu"].exp())
    wanted = torch.tensor([0.32, 0.46, 0.60, 0.74]).sqrt()  # the middles of 0.25 to 0.81, squared
    torch.testing.assert_close(kept, wanted, rtol=1e-5, atol=1e-5)


def test_a_lone_learned_decay_starts_at_the_longest_half_life() -> None:
    """As a lone `Decay` does: what fades before it is asked for is not learned."""
    for text, wanted in {"": 1 - 2**-12, "(low=0.5, high=0.9)": 0.9}.items():
        weights = ttr.Spec.parse(f"LearnedDecay{text} | Linear | Hebbian").weights
        (kept,) = torch.exp(-weights.parameters(3, 2, 1)["nu"].double().exp()).tolist()
        assert kept == pytest.approx(wanted, abs=1e-7)


def test_a_learned_decay_at_a_fixed_rate_is_that_decay() -> None:
    fixed, free = (
        ttr.Spec.parse(f"{w} | Linear | SGD") for w in ("Decay(gamma=0.9)", "LearnedDecay")
    )
    x = stream(fixed, 20)
    nu = torch.full((2,), 0.9, dtype=torch.float64).log().neg().log()
    y = ttr.solve(free, x, {"weights.nu": nu})
    torch.testing.assert_close(y, ttr.solve(fixed, x), rtol=1e-9, atol=1e-9)


def test_a_learned_decay_without_a_range_is_refused() -> None:
    with pytest.raises(ttr.RequestError, match="less than high"):
        ttr.Spec.parse("LearnedDecay(low=0.9, high=0.9) | Linear | Hebbian")
