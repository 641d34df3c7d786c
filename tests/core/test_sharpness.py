"""Sharpness: the scale belongs to whoever compares, and nothing else sees it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from streams import LAYERS, stream
from test_definition import by_every_solver

import ttr_core as ttr
from ttr_core.solvers import caution
from ttr_core.space.ingredient import REGISTRY
from ttr_core.space.sharpness import LOG_SCALE, Comparison

WRITTEN = [
    f"Gate | Linear(map={name}) | {how}"
    for name, cls in REGISTRY["map"].items()
    if issubclass(cls, Comparison)
    for how in ("Hebbian", "SGD", "Exact(ridge=0.5)")
] + [
    f"{weights} | Kernel(kernel={kernel}, scale=0.7) | {how}"
    for kernel in ("gaussian", "exponential", "polynomial")
    for weights, how in (
        ("Importance", "Exact(ridge=0.5)"), ("Gate", "Exact(ridge=0.5)"), ("Gate", "SGD"),
        ("Gate", "NLMS"), ("ExpKernel", "OneStep"),
    )
] + [
    "Gate * Whitened(ridge=0.5) | Constant | Exact",
    "Whitened(ridge=0.5) | Affine | Exact",
    "Reflected | Constant | Exact",
    *(
        f"{weights} | Constant | OneStep"
        for weights in ("Sparsemax", "StickBreaking", "Probed", "SelfCorrected", "Decorrelated")
    ),
]  # fmt: skip
"""Each comparison where another solver computes it."""

COMPARING = [*map(ttr.Spec.parse, WRITTEN), *(s for s in LAYERS if not caution(s))]


def kinds(spec: ttr.Spec) -> tuple[str, ...]:
    return tuple(f"{path} {type(c).__name__}" for path, c in spec.comparisons().items())


FOUND = by_every_solver([s for s in COMPARING if s.comparisons()])
FIRST = {(kinds(p.values[0]), p.values[1]): p.id for p in reversed(FOUND)}
PAIRS = [
    pytest.param(*p.values, id=p.id, marks=[] if p.id in kept else [pytest.mark.full_grid])
    for kept in [{*FIRST.values(), *(p.id for p in FOUND if str(p.values[0]) in WRITTEN)}]
    for p in FOUND
]
"""Each way to compare by each solver; the rest of the grid repeats them."""


def scales(spec: ttr.Spec, heads: int, of: float = 1.0) -> dict[str, torch.Tensor]:
    """The logs of a scale for each head, all different."""
    logs = torch.linspace(-0.5, 0.4, heads, dtype=torch.float64) + math.log(of)
    return {f"{path}.{LOG_SCALE}": logs + 0.1 * i for i, path in enumerate(spec.comparisons())}


def given(spec: ttr.Spec, heads: int = 2) -> dict[str, torch.Tensor]:
    size = 3 if spec.function.square else 2
    own = spec.parameters(3, size, heads)
    wide = {n: p.detach().double() if p.is_floating_point() else p for n, p in own.items()}
    return {**wide, **scales(spec, heads)}


def outputs_and_slopes(spec: ttr.Spec, solver: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
    params = given(spec)
    learned = {n: p.requires_grad_() for n, p in params.items() if n.endswith(LOG_SCALE)}
    y = ttr.solve(spec, stream(spec), params, solver=solver)
    return y.detach(), list(torch.autograd.grad(y.sin().sum(), list(learned.values())))


@lru_cache(maxsize=2)
def oracle(spec: ttr.Spec) -> tuple[torch.Tensor, list[torch.Tensor]]:
    return outputs_and_slopes(spec, "reference")


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_every_solver_learns_the_scale_of_the_definition(spec: ttr.Spec, solver: str) -> None:
    y, slopes = outputs_and_slopes(spec, solver)
    wanted, wanted_slopes = oracle(spec)
    torch.testing.assert_close(y, wanted, rtol=1e-8, atol=1e-8)
    for got, want in zip(slopes, wanted_slopes, strict=True):
        assert want.any()
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


def test_every_comparison_is_tested() -> None:
    known = {c for found in REGISTRY.values() for c in found.values() if issubclass(c, Comparison)}
    tested = {type(c) for param in PAIRS for c in param.values[0].comparisons().values()}
    assert tested == known
    assert known == {
        c for found in REGISTRY.values() for c in found.values()
        if any(o.name == "scale" and "sharpness" in o.help for o in c.options())
    }  # fmt: skip


def written(spec: ttr.Spec, scale: float) -> ttr.Spec:
    """The spec with one scale written into whatever compares."""
    function, weights = spec.function, spec.weights
    if isinstance(weights, Comparison):
        weights = replace(weights, scale=scale)
    if isinstance(function, Comparison):
        function = replace(function, scale=scale)
    elif isinstance(getattr(function, "map", None), Comparison):
        function = replace(function, map=replace(function.map, scale=scale))
    return replace(spec, weights=weights, function=function)


ALONE = [s for s in map(ttr.Spec.parse, WRITTEN) if len(s.weights.factors()) == 1]


@pytest.mark.parametrize("spec", ALONE, ids=str)
def test_a_learned_scale_is_the_written_one(spec: ttr.Spec) -> None:
    x = stream(spec)
    one = {f"{p}.{LOG_SCALE}": torch.full((2,), math.log(1.7)) for p in spec.comparisons()}
    own = {**spec.parameters(3, 2, 2), **{n: p.double() for n, p in one.items()}}
    got = ttr.solve(spec, x, own)
    torch.testing.assert_close(got, ttr.solve(written(spec, 1.7), x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spec", ALONE, ids=str)
def test_a_scale_is_its_root_on_queries_and_keys(spec: ttr.Spec) -> None:
    """The features and kernels of s are those of 1 on both arguments times the root of s."""
    a, b = torch.randn(2, 1, 2, 4, 3).double().unbind(0)
    parts = [c for c in spec.comparisons().values() if c.family == "map"]
    for part in parts:
        own = part.parameters(3, 2, 2)
        if "Z" in own:  # inducing points are keys, too
            own = {"Z": own["Z"] * 3**0.5}
        wide = {n: p.double() for n, p in own.items()}
        narrow = {n: p / 3**0.5 if n == "Z" else p for n, p in wide.items()}
        at = {LOG_SCALE: torch.full((2,), math.log(3.0)).double()}
        one = {LOG_SCALE: torch.zeros(2).double()}
        sharp = part(a, {**narrow, **at}) @ part(b, {**narrow, **at}).mT
        plain = part(3**0.5 * a, {**wide, **one}) @ part(3**0.5 * b, {**wide, **one}).mT
        torch.testing.assert_close(sharp, plain)


# ---- within its range


def test_a_scale_stays_in_its_range_and_may_come_back() -> None:
    spec = ttr.Spec.parse("ExpKernel | Constant | Exact")
    kernel, x = spec.weights, torch.ones(1, 1, 1, 4)
    low, high = kernel.scale_range
    for log, end, back in ((-20.0, low, -1.0), (20.0, high, 1.0)):
        learned = torch.tensor([log], requires_grad=True)
        s = kernel.sharpness(x, {LOG_SCALE: learned})
        assert s.item() == pytest.approx(end, rel=1e-5)
        (inward,) = torch.autograd.grad((back * s).sum(), learned, retain_graph=True)
        (outward,) = torch.autograd.grad((-back * s).sum(), learned)
        assert inward.item() * back > 0 and outward.item() == 0


# ---- in a layer

LEARNED = [ttr.Spec.parse(t) for t in (
    "ExpKernel | Affine | Exact", "Gate * ExpKernel | Kernel | Exact",
    "Uniform | Linear(map=taylor2) | Hebbian | readout=Normalized",
)]  # fmt: skip


@pytest.mark.parametrize("spec", LEARNED, ids=str)
def test_nothing_but_the_comparison_sees_a_learned_scale(spec: ttr.Spec) -> None:
    module, x = spec.layer(16, 2).double(), torch.randn(1, 9, 16).double()
    before, _ = module._stream(x, None, 0)
    with torch.no_grad():
        for name, p in module.own.items():
            if name.endswith(LOG_SCALE):
                p += 1
    after, _ = module._stream(x, None, 0)
    assert torch.equal(before.q, after.q) and torch.equal(before.k, after.k)
    torch.testing.assert_close(after.q.norm(dim=-1), torch.ones(1, 2, 9).double())


def starts(text: str, **frame: object) -> list[float]:
    own = ttr.Spec.parse(text).layer(16, 1, frame=replace(ttr.FRAMES["standard"], **frame)).own
    return [round(p.exp().item(), 4) for name, p in own.items() if name.endswith(LOG_SCALE)]


def test_a_scale_starts_as_its_kind_says_or_as_it_is_written() -> None:
    assert starts("ExpKernel | Constant | Exact") == [16]
    assert starts("ExpKernel | Affine | Exact") == [4]
    assert starts("ExpKernel | Quadratic | Exact") == [2]
    assert starts("Gate * ExpKernel | Kernel | Exact") == [4, 4]
    assert starts("ExpKernel | Constant | OneStep") == [8]
    assert starts("ExpKernel(scale=3) | Affine | Exact") == [3]
    assert starts("ExpKernel | Constant | Exact", qk_norm="rms") == [1]  # |q| |k| = 16
    assert starts("ExpKernel | Constant | Exact", qk_norm="none") == [0.25]  # 1 / sqrt(16)
    assert starts("ExpKernel | Constant | Exact", temperature="fixed") == []
    assert starts("ExpKernel(scale=0) | Constant | Exact") == []  # all weights are 1
    assert starts("Uniform | Kernel(kernel=linear) | Exact") == []


def test_a_learned_scale_has_no_weight_decay() -> None:
    module = ttr.Spec.parse("ExpKernel | Constant | Exact").layer(16, 2)
    (learned,) = (p for name, p in module.own.items() if name.endswith(LOG_SCALE))
    assert learned.shape == (2,)  # matrices alone decay
