"""Every feature map: its width, its text, and every solver against the definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from streams import stream
from test_definition import compare

import ttr_core as ttr
from ttr_core.feature_maps import DPFP, FeatureMap
from ttr_core.functions import Linear
from ttr_core.optimizers import Exact, Hebbian
from ttr_core.solvers import SOLVERS
from ttr_core.weights import Uniform

MAPS = [choice() for choice in ttr.choices("map")] + [DPFP(nu=2), DPFP(nu=3)]
SPECS = [
    ttr.Spec.parse(text.format(map_))
    for map_ in MAPS
    for text in ("Gate | Linear(map={}) | SGD", "Uniform | Linear(map={}) | Hebbian")
]
PAIRS = [
    pytest.param(spec, solver.name, id=f"{spec} by {solver.name}")
    for spec in SPECS
    for solver in SOLVERS[:-1]
    if solver.refusal(spec) is None
]
every_map = pytest.mark.parametrize("map_", MAPS, ids=str)


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_solver_equals_the_definition(spec: ttr.Spec, solver: str) -> None:
    compare(spec, solver)


@pytest.mark.parametrize("spec", SPECS, ids=str)
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
    assert ttr.state_size(spec, 4, 4, 7) == sum(z.numel() for z in state.values())


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
    ],
)
def test_a_wrong_map_says_what_to_change(text: str, match: str) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        ttr.Spec.parse(f"Uniform | {text} | Hebbian")
