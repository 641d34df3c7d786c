"""What a solver keeps has the size that its state says, in numbers and as a formula."""

from __future__ import annotations

import math

import pytest
import torch
from streams import TESTED, all_pass, by_weights, stream
from test_definition import FIRST
from test_properties import close

import ttr_core as ttr
from ttr_core.limits import Shape
from ttr_core.solvers import SOLVERS, least
from ttr_core.space.ingredient import choices
from ttr_core.space.optimizers import ChunkStart, FadingRidge, Retrospective
from ttr_core.space.weights import PositiveWeights

LENGTH, HEADS, SIZE = 20, 2, 4  # longer than a window of the grid
BY_NAME = {solver.name: solver for solver in SOLVERS}
FASTEST = [(spec, ttr.resolve(spec).name) for spec in TESTED[::5]]
KEPT = [
    pytest.param(spec, solver, id=f"{spec} by {solver}")
    for spec, solver in [*FASTEST, *((spec, solver) for solver, spec in FIRST.items())]
]


def tokens(spec: ttr.Spec) -> int:
    return max(LENGTH, spec.weights.reach or 0)


def shape_of(spec: ttr.Spec) -> Shape:
    return Shape(1, HEADS, tokens(spec), SIZE, SIZE, spec.feature_size(SIZE))


def value(formula: str, spec: ttr.Spec) -> float:
    """Evaluates a formula in T, d, H and F, written as a sum of products and a quotient."""
    known = {"T": tokens(spec), "d": HEADS * SIZE, "H": HEADS, "F": spec.feature_size(SIZE)}
    total = 0.0
    for term in formula.split(" + "):
        above, _, below = term.partition(" / ")
        total += _product(above, known) / _product(below, known)
    return total


def _product(formula: str, known: dict[str, int]) -> float:
    factors = [factor.partition("^") for factor in formula.split()]
    powers = [known.get(base) or float(base) for base, _, _ in factors]
    raised = (p ** int(power or 1) for p, (_, _, power) in zip(powers, factors, strict=True))
    return math.prod(raised)


@pytest.mark.parametrize(("spec", "solver"), KEPT)
def test_a_state_holds_as_many_numbers_as_it_says(spec: ttr.Spec, solver: str) -> None:
    by = BY_NAME[solver]
    x = stream(spec, tokens(spec), heads=HEADS, key_dim=SIZE, value_dim=SIZE)
    with torch.no_grad():
        _, kept = by.run(spec, x, spec.parameters(SIZE, SIZE, HEADS), None)
    held = sum(z.numel() for z in kept.values())
    assert held == HEADS * by.state_size(spec, shape_of(spec))
    assert held == value(by.state_formula(spec), spec)


# ---- what the definition of a layer needs, whatever runs it

SIZES = [(3, 2), (20, 4), (20_000, 8)]
"""Tokens and the size of keys: shorter than any memory, and longer."""
FIXED = [
    (spec, solver.name)
    for spec in TESTED
    for solver in SOLVERS[:-1]
    if solver.refusal(spec) is None
    and solver.state_size(spec, Shape(1, 1, 10**6, SIZE, SIZE, spec.feature_size(SIZE)))
    == solver.state_size(spec, Shape(1, 1, 10**7, SIZE, SIZE, spec.feature_size(SIZE)))
    and spec.weights.reach is None
]


def holds_what_is_needed(spec: ttr.Spec) -> None:
    for length, size in SIZES:
        shape = Shape(1, 1, length, size, size, spec.feature_size(size))
        needed = ttr.state_size(spec, size, size, length)
        assert ttr.packed_state_size(spec, size, size, length) <= needed
        for solver in SOLVERS:
            # The definition of a network goes on from its weights; the oracle runs it once more.
            again = solver is SOLVERS[-1] and not isinstance(spec.optimizer, Retrospective)
            if solver.refusal(spec) is None and not again:
                assert needed <= solver.state_size(spec, shape), solver.name


STARTS = ("Uniform | Linear", "Uniform | Kernel", "Gate | Linear", "Gate | Constant")


@pytest.mark.parametrize("end", ["RLS", "Exact", "Exact(ridge=0.001)", "Exact(ridge=0.0)", "SGD"])
@pytest.mark.parametrize("start", STARTS)
def test_a_sequence_goes_on_in_float32(start: str, end: str) -> None:
    """What a solver keeps in float64 it takes up again beside tokens in float32."""
    text = f"{start} | {end}"
    if (cell := ttr.cell(text)).verdict in ("undefined", "slow"):
        pytest.skip(cell.reason)
    x = stream(ttr.Spec.parse(text), 5).map(torch.Tensor.float)
    _, kept = ttr.prefill(text, x.tokens(0, 4))
    last, _ = ttr.prefill(text, x.tokens(4, 5), state=kept)
    assert last.dtype == torch.float32
    close(last, ttr.solve(text, x)[:, :, 4:], 1e-3)


@pytest.mark.parametrize("specs", by_weights(TESTED))
def test_no_solver_holds_less_than_the_definition_needs(specs: list[ttr.Spec]) -> None:
    all_pass(specs, holds_what_is_needed)


def is_what_is_needed(case: tuple[ttr.Spec, str]) -> None:
    spec, solver = case[0], BY_NAME[case[1]]
    shape = Shape(1, 1, 10**6, SIZE, SIZE, spec.feature_size(SIZE))
    needed, held = least(spec).size(shape), solver.state_size(spec, shape)
    ridge = isinstance(spec.optimizer, FadingRidge)  # which has not faded under steady weights
    if solver.name == "autograd_scan" and (ridge or isinstance(spec.optimizer, ChunkStart)):
        assert held >= needed  # the optimizer's own code, with all that it finds handy
    else:
        assert held > needed if ridge and not spec.weights.fades else held == needed
    fastest = ttr.resolve(spec)
    assert bool(ttr.describe(spec).held) == (fastest.state_formula(spec) != least(spec).formula())


@pytest.mark.parametrize("cases", by_weights(FIXED, lambda case: case[0]))
def test_a_memory_of_fixed_size_is_what_the_definition_needs(
    cases: list[tuple[ttr.Spec, str]],
) -> None:
    all_pass(cases, is_what_is_needed)


def is_said_as_a_formula(spec: ttr.Spec) -> None:
    said, state = ttr.describe(spec), least(spec)
    first = state.states[0]
    assert value(said.state_size, spec) == HEADS * first.size(shape_of(spec))
    assert value(said.packed_state_size, spec) == HEADS * first.halved.size(shape_of(spec))


@pytest.mark.parametrize("specs", by_weights(TESTED[::3]))
def test_what_is_needed_is_also_said_as_a_formula(specs: list[ttr.Spec]) -> None:
    all_pass(specs, is_said_as_a_formula)


@pytest.mark.parametrize(
    ("text", "length", "needed", "packed"),
    [
        ("Uniform | Linear(map=rebased) | Exact", 128, 3 * 32 + 3 * 3, 3 * 32 + 6),
        ("Uniform | Linear(map=rebased) | Exact", 2, 2 * (2 + 32), 2 * (2 + 32)),
        ("Gate | Linear(map=rebased) | Exact", 2, 2 * (2 + 32 + 1), 2 * (2 + 32 + 1)),
        ("Importance | Kernel | Exact", 128, 128 * (2 + 32 + 1), 128 * (2 + 32 + 1)),
        ("Gate | Kernel | SGD", 128, 128 * (2 + 32), 128 * (2 + 32)),
        ("Gate | Linear | SGD", 128, 2 * 32, 2 * 32),
        ("Gate | Linear | Momentum", 128, 2 * 2 * 32, 2 * 2 * 32),
        ("Gate | Linear | RLS", 128, 2 * 32 + 4 + 2 + 1, 2 * 32 + 3 + 2 + 1),
        ("Gate * Importance * ExpKernel | Constant | Exact", 128, 128 * 35, 128 * 35),
        ("Window(size=5) * ExpKernel | Constant | Exact", 128, 4 * 34, 4 * 34),
        ("Cosine | Linear | OneStep | readout=Normalized", 128, 2 * 2 * 33, 2 * 2 * 33),
    ],
)
def test_what_some_layers_need(text: str, length: int, needed: int, packed: int) -> None:
    assert ttr.state_size(text, 2, 32, length) == needed
    assert ttr.packed_state_size(text, 2, 32, length) == packed


def test_layers_that_are_the_same_need_the_same() -> None:
    for spec in TESTED[::9]:
        # A pseudo-inverse reaches every value of a short sequence, whatever the weights.
        for text in () if ttr.caution(spec) else ttr.describe(spec).same_as:
            other = ttr.Spec.parse(text)
            if spec.weights.per_feature == other.weights.per_feature:
                assert least(spec).size(shape_of(spec)) == least(other).size(shape_of(other)), text


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
