"""The read-outs: division by the normalizer, in every solver that claims it."""

from __future__ import annotations

import pytest
import torch
from streams import stream
from test_definition import by_every_solver, compare

import ttr_core as ttr

TEXTS = (
    "Uniform | Linear(map=elu1) | Hebbian | readout=Normalized",
    "Uniform | Linear(map=elu1) | OneStep | readout=Normalized(floor=clamp)",
    "Gate * Importance | Linear(map=elu1) | Hebbian | readout=Normalized(eps=0.1)",
    "ChannelGate | Linear(map=elu1) | Hebbian | readout=Normalized",
    "Gate | Linear | Hebbian | readout=Normalized(floor=abs1)",
    "Gate | Linear | OneStep | readout=Normalized(floor=clamp, eps=0.5)",
    "Importance | Constant | Hebbian | readout=Normalized",
    "ExpKernel | Linear(map=elu1) | OneStep | readout=Normalized",
    "Gate * ExpKernel | Constant | OneStep | readout=Normalized",
)
SPECS = [ttr.Spec.parse(text) for text in TEXTS]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)
PAIRS = by_every_solver(SPECS)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_solver_equals_the_definition(spec: ttr.Spec, solver: str) -> None:
    compare(spec, solver)


@every_spec
def test_no_listed_spec_is_slow(spec: ttr.Spec) -> None:
    assert not ttr.caution(spec)


@every_spec
def test_prefill_goes_on_where_it_left_off(spec: ttr.Spec) -> None:
    x, state, parts = stream(spec, 80), None, []
    for start, stop in ((0, 1), (1, 70), (70, 80)):
        y, state = ttr.prefill(spec, x.tokens(start, stop), state=state)
        parts.append(y)
    close(torch.cat(parts, 2), ttr.solve(spec, x), 1e-8)


@every_spec
def test_the_attention_map_gives_the_outputs(spec: ttr.Spec) -> None:
    x = stream(spec, 12)
    close(ttr.attention_map(spec, x) @ x.v, ttr.solve(spec, x), 1e-8)


@every_spec
def test_the_state_is_as_large_as_said(spec: ttr.Spec) -> None:
    x = stream(spec, 12, heads=1)
    _, state = ttr.prefill(spec, x)
    held = sum(z.numel() for z in state.values())
    assert ttr.state_size(spec, x.key_dim, x.value_dim, x.length) == held


@every_spec
def test_text_and_description_know_the_readout(spec: ttr.Spec) -> None:
    assert ttr.Spec.parse(str(spec)) == ttr.Spec.parse(spec.expanded) == spec
    words = ttr.describe(spec)
    assert r"\frac" in words.read and "z_t" in words.read and "Read:" in words.words
    assert words.read.count("{") == words.read.count("}") and "$" not in words.read


def test_a_normalized_state_holds_a_column_more() -> None:
    plain, normalized = (
        ttr.Spec.parse(f"Uniform | Linear | Hebbian | readout={r}") for r in ("Plain", "Normalized")
    )
    assert ttr.state_size(normalized, 4, 6, 9) == ttr.state_size(plain, 4, 6, 9) + 4
    assert ttr.describe(normalized).state_size == "d^2 / H + d"
    assert any("Plain for Normalized" in what for _, what in ttr.describe(normalized).neighbors)


@pytest.mark.parametrize("weights", ["Importance", "Gate", "ExpKernel", "Gate * ExpKernel"])
def test_a_normalized_batch_step_on_a_constant_is_the_weighted_mean(weights: str) -> None:
    step = ttr.Spec.parse(f"{weights} | Constant | OneStep | readout=Normalized(eps=0)")
    exact = ttr.Spec.parse(f"{weights} | Constant | Exact")
    x = stream(step, 20)
    close(ttr.solve(step, x), ttr.solve(exact, x))


def test_normalized_linear_attention_is_a_kernel_mean() -> None:
    spec = ttr.catalog["linear-attention-elu"].spec
    x = stream(spec, 20)
    q, k = (torch.nn.functional.elu(z) + 1 for z in (x.q, x.k))
    kernel = (q @ k.mT).tril()
    close(ttr.solve(spec, x), kernel / kernel.sum(-1, keepdim=True) @ x.v, 1e-4)


def test_normalized_rows_of_positive_features_sum_to_one() -> None:
    spec = ttr.Spec.parse("Gate | Linear(map=elu1) | Hebbian | readout=Normalized(eps=0)")
    weights = ttr.attention_map(spec, stream(spec, 20))
    close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert (weights >= -1e-12).all()


def test_the_divisor_never_falls_below_its_floor() -> None:
    plain, floored = (
        ttr.Spec.parse(f"Uniform | Linear | Hebbian | readout={r}")
        for r in ("Plain", "Normalized(floor=abs1)")
    )
    x = stream(plain, 20)
    assert (ttr.solve(floored, x).abs() <= ttr.solve(plain, x).abs() + 1e-12).all()


@pytest.mark.parametrize("optimizer", ["SGD", "Exact", "Implicit", "NLMS"])
def test_a_memory_that_is_no_sum_is_refused_in_words(optimizer: str) -> None:
    spec = ttr.Spec.parse(f"Uniform | Linear | {optimizer} | readout=Normalized")
    with pytest.raises(
        ttr.IncompatibleSpec, match="weighted sum of the pairs, OneStep or Hebbian"
    ) as e:
        ttr.resolve(spec)
    assert any("Hebbian" in text for text in e.value.alternatives)
    assert f"Uniform | Linear | {optimizer}" in e.value.alternatives  # read plainly


def test_a_wrong_floor_is_refused() -> None:
    with pytest.raises(ttr.UnknownName, match="abs1"):
        ttr.Spec.parse("Uniform | Linear | Hebbian | readout=Normalized(floor=abs)")
