"""Every feature map: its width, its text, and every solver against the definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import pytest
import torch
from streams import RTOL32, joined, stream
from test_catalog import own_tensors
from test_definition import by_every_solver

import ttr_core as ttr
from ttr_core.solvers import resolve
from ttr_core.space.functions import Linear
from ttr_core.space.maps import DPFP, FeatureMap
from ttr_core.space.maps.polynomial import Polynomial
from ttr_core.space.maps.random import FavorPlus, RandomFourier
from ttr_core.space.optimizers import Exact, Hebbian
from ttr_core.space.weights import Uniform

SMALL: dict[str, dict[str, int]] = {  # fewer features than by default, for the slow reference
    "favor": {"features": 8},
    "rff": {"frequencies": 4},
    "t2r": {"features": 6},
    "nystrom": {"features": 5},
}
MAPS = [choice(**SMALL.get(choice.name, {})) for choice in ttr.choices("map")]
MAPS += [DPFP(nu=2), DPFP(nu=3), Polynomial(degree=3), Polynomial(degree=4)]
RULES = (
    "Gate | Linear(map={}) | SGD",
    "Uniform | Linear(map={}) | Hebbian",
    "Uniform | Linear(map={}) | Exact",
)
SPECS = [ttr.Spec.parse(text.format(map_)) for map_ in MAPS for text in RULES]
PAIRS = by_every_solver(SPECS)
every_map = pytest.mark.parametrize("map_", MAPS, ids=str)


every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)


def outputs_and_gradients(spec: ttr.Spec, solver: str) -> tuple:
    """As for the grid, with the gradients of the learned tensors too."""
    torch.manual_seed(0)  # the learned tensors are moved at random
    params, x = own_tensors(spec, 3, 2, 2), stream(spec)
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    signals = dict(zip(x.signals, leaves[3:], strict=True))
    y = ttr.solve(spec, ttr.Stream(*leaves[:3], signals), params, solver)
    leaves += [p for p in params.values() if p.requires_grad]
    return y.detach(), torch.autograd.grad(y.sin().sum(), leaves, allow_unused=True)


@lru_cache(maxsize=4)
def oracle(spec: ttr.Spec) -> tuple:
    return outputs_and_gradients(spec, "reference")


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_solver_equals_the_definition(spec: ttr.Spec, solver: str) -> None:
    (y, gradients), (wanted, wanted_gradients) = outputs_and_gradients(spec, solver), oracle(spec)
    torch.testing.assert_close(y, wanted, rtol=1e-8, atol=1e-8)
    for got, want in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@every_spec
def test_the_future_does_not_reach_back(spec: ttr.Spec) -> None:
    x, other = stream(spec, 40), stream(spec, 40, seed=1)
    both = joined(x, other.map(lambda z: 3 * z), 21)  # a later key far larger than those before
    torch.testing.assert_close(ttr.solve(spec, both)[:, :, :21], ttr.solve(spec, x)[:, :, :21])


@every_spec
def test_decoding_goes_on_where_prefill_left_off(spec: ttr.Spec) -> None:
    x = stream(spec, 12)
    y, state = ttr.prefill(spec, x.tokens(0, 10))
    rows = [y]
    for t in (10, 11):
        y, state = ttr.prefill(spec, x.tokens(t, t + 1), state=state)
        rows.append(y)
    torch.testing.assert_close(torch.cat(rows, 2), ttr.solve(spec, x), rtol=1e-8, atol=1e-8)


@every_spec
def test_float32_is_as_good_as_promised(spec: ttr.Spec) -> None:
    x = stream(spec, 40, key_dim=8, value_dim=8)
    y, single = ttr.solve(spec, x), ttr.solve(spec, x.map(lambda z: z.float()))
    assert (single - y).norm() <= RTOL32 * y.norm()


@every_spec
def test_text_reads_back_and_is_described(spec: ttr.Spec) -> None:
    assert ttr.Spec.parse(str(spec)) == ttr.Spec.parse(spec.expanded) == spec
    words = ttr.describe(spec)
    assert words.update.count("{") == words.update.count("}")


@every_map
@pytest.mark.parametrize("key_dim", [1, 3, 8])
def test_features_are_as_many_as_said(map_: FeatureMap, key_dim: int) -> None:
    x = torch.randn(2, 3, 5, key_dim)
    features = map_(x, map_.parameters(key_dim, key_dim, 3))
    assert features.shape == (2, 3, 5, map_.width(key_dim))


@every_map
def test_the_state_is_as_large_as_said(map_: FeatureMap) -> None:
    spec = ttr.Spec(Uniform(), Linear(map=map_), Hebbian())
    _, state = ttr.prefill(spec, stream(spec, heads=1, key_dim=4, value_dim=4))
    held = sum(z.numel() for z in state.values())
    assert ttr.state_size(spec, 4, 4, 1000) == 4 * map_.width(4) <= held
    assert held == 4 * map_.width(4) or resolve(spec).name != "chunked_linear"


@pytest.mark.parametrize("choice", ttr.choices("map"))
def test_every_map_has_its_equation(choice: type[FeatureMap]) -> None:
    assert "$$" in (choice.__doc__ or "")
    assert "https://" in (choice.__doc__ or "") or choice.name == "identity"


@pytest.mark.parametrize("nu", [1, 2, 3])
def test_dpfp_is_never_negative_and_tells_a_key_from_its_opposite(nu: int) -> None:
    k = torch.randn(50, 6)
    phi, opposite = DPFP(nu=nu)(k, {}), DPFP(nu=nu)(-k, {})
    assert (phi >= 0).all() and phi.any(-1).all() and opposite.any(-1).all()
    assert ((phi * opposite).sum(-1) < 0.5 * phi.norm(dim=-1) * opposite.norm(dim=-1)).all()


@dataclass(frozen=True)
class Pairs(FeatureMap):
    """Products of coordinates, in a class of its own: as many as no multiple of the key size."""

    notation: ClassVar[str] = "k k^T"

    def __call__(self, x: torch.Tensor, params: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return (x[..., None] * x[..., None, :]).flatten(-2)

    def width(self, key_dim: int) -> int:
        return key_dim**2


@pytest.mark.parametrize(
    ("map_", "hebbian", "exact"),
    [
        (MAPS[0], "d^2 / H", "2 d^2 / H"),
        (DPFP(), "2 d^2 / H", "6 d^2 / H"),
        (DPFP(nu=3), "6 d^2 / H", "42 d^2 / H"),
        (Pairs(), "F d", "F d + H F^2"),
        (Polynomial(), "F d", "T^2 H + 2 T d + T H"),
        (FavorPlus(features=120), "120 d", "120 d + 14400 H"),
        (RandomFourier(frequencies=1), "2 d", "2 d + 4 H"),
    ],
    ids=str,
)
def test_the_formula_of_the_state_knows_the_width(
    map_: FeatureMap, hebbian: str, exact: str
) -> None:
    for optimizer, formula in ((Hebbian(), hebbian), (Exact(), exact)):
        spec = ttr.Spec(Uniform(), Linear(map=map_), optimizer)
        assert ttr.resolve(spec).state_formula(spec) == formula


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("Linear(map=dpfp(mu=2))", "option of dpfp 'mu'"),
        ("Linear(map=dpfp(nu=0))", "from 1 to 16"),
        ("Linear(map=dpfp(nu=1.5))", "whole number"),
        ("Linear(map=relo)", "Did you mean 'relu'"),
        ("Linear(map=favor+)", "not an ingredient"),
        ("Linear(map=polynomial(degree=5))", "from 2 to 4"),
    ],
)
def test_a_wrong_map_says_what_to_change(text: str, match: str) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        ttr.Spec.parse(f"Uniform | {text} | Hebbian")
