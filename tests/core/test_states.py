"""What a solver keeps has the size that its state says, in numbers and as a formula."""

from __future__ import annotations

import math

import pytest
import torch
from streams import TESTED, stream
from test_definition import FIRST
from test_properties import close

import ttr_core as ttr
from ttr_core.limits import Shape
from ttr_core.solvers import SOLVERS
from ttr_core.space.ingredient import choices
from ttr_core.space.weights import PositiveWeights

LENGTH, HEADS, SIZE = 20, 2, 4  # longer than a window
BY_NAME = {solver.name: solver for solver in SOLVERS}
FASTEST = [(spec, ttr.resolve(spec).name) for spec in TESTED[::5]]
KEPT = [
    pytest.param(spec, solver, id=f"{spec} by {solver}")
    for spec, solver in [*FASTEST, *((spec, solver) for solver, spec in FIRST.items())]
]


def shape_of(spec: ttr.Spec) -> Shape:
    return Shape(1, HEADS, LENGTH, SIZE, SIZE, spec.feature_size(SIZE))


def value(formula: str, spec: ttr.Spec) -> float:
    """Evaluates a formula in T, d, H and F, written as a sum of products and a quotient."""
    known = {"T": LENGTH, "d": HEADS * SIZE, "H": HEADS, "F": spec.feature_size(SIZE)}
    total = 0.0
    for term in formula.split(" + "):
        above, _, below = term.partition(" / ")
        factors = [factor.partition("^") for factor in above.split()]
        powers = [known.get(base) or float(base) for base, _, _ in factors]
        raised = [p ** int(power or 1) for p, (_, _, power) in zip(powers, factors, strict=True)]
        total += math.prod(raised) / (known[below] if below else 1)
    return total


@pytest.mark.parametrize(("spec", "solver"), KEPT)
def test_a_state_holds_as_many_numbers_as_it_says(spec: ttr.Spec, solver: str) -> None:
    by = BY_NAME[solver]
    x = stream(spec, LENGTH, heads=HEADS, key_dim=SIZE, value_dim=SIZE)
    with torch.no_grad():
        _, kept = by.run(spec, x, spec.parameters(SIZE, SIZE, HEADS), None)
    held = sum(z.numel() for z in kept.values())
    assert held == HEADS * by.state_size(spec, shape_of(spec))
    assert held == value(by.state_formula(spec), spec)


@pytest.mark.parametrize(
    "weights", [c for c in choices("weights") if issubclass(c, PositiveWeights)], ids=str
)
def test_what_leaves_a_window_is_not_missed(weights: type[PositiveWeights]) -> None:
    spec = ttr.Spec.parse(f"Window(size=3) * {weights.name} | Constant | Exact")
    if spec.objections():
        pytest.skip(spec.objections()[0])
    x = stream(spec, 12)
    y, state = ttr.prefill(spec, x.tokens(0, 8))
    rest, _ = ttr.prefill(spec, x.tokens(8, 12), state=state)
    close(torch.cat([y, rest], 2), ttr.solve(spec, x), 1e-9)
