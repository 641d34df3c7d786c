"""The readout before the newest pair, in every solver that claims it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import RTOL32, joined, stream
from test_definition import by_every_solver, compare

import ttr_core as ttr
from ttr_core.solvers import chunks

TEXTS = (
    "Uniform | Linear | Hebbian | readout=Bonus",
    "Importance | Linear(map=elu1) | Hebbian | readout=Bonus",
    "Decay * Importance | Linear | Hebbian | readout=Bonus",
    "Gate | Linear | Hebbian | readout=Bonus",
    "ChannelGate | Linear | Hebbian | readout=Bonus",
)
SPECS = [ttr.Spec.parse(text) for text in TEXTS]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=str)
PAIRS = by_every_solver(SPECS)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_solver_equals_the_definition(spec: ttr.Spec, solver: str) -> None:
    compare(spec, solver)


def test_both_solvers_are_compared() -> None:
    assert {param.values[1] for param in PAIRS} == {"chunked_linear", "rank_one_scan"}


@every_spec
def test_the_future_does_not_reach_back(spec: ttr.Spec) -> None:
    x, other = stream(spec, 70), stream(spec, 70, seed=1)
    close(ttr.solve(spec, joined(x, other, 41))[:, :, :41], ttr.solve(spec, x)[:, :, :41])


@every_spec
def test_prefill_goes_on_where_it_left_off(spec: ttr.Spec) -> None:
    x, state, parts = stream(spec, 80), None, []
    for start, stop in ((0, 1), (1, 2), (2, 70), (70, 80)):
        y, state = ttr.prefill(spec, x.tokens(start, stop), state=state)
        parts.append(y)
    close(torch.cat(parts, 2), ttr.solve(spec, x), 1e-8)


@every_spec
def test_float32_is_as_good_as_promised(spec: ttr.Spec) -> None:
    x = stream(spec, 80)
    y, single = ttr.solve(spec, x), ttr.solve(spec, x.map(lambda z: z.float()))
    assert (single - y).norm() <= RTOL32 * y.norm()


@every_spec
def test_the_chunk_size_changes_nothing(spec: ttr.Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    x = stream(spec, 11)
    whole = ttr.solve(spec, x)
    monkeypatch.setattr(chunks, "CHUNK", 3)
    close(ttr.solve(spec, x), whole, 1e-8)


@every_spec
def test_the_attention_map_gives_the_outputs(spec: ttr.Spec) -> None:
    x = stream(spec, 12)
    weights = ttr.attention_map(spec, x)
    close(weights @ x.v, ttr.solve(spec, x), 1e-8)
    close(weights.triu(1), torch.zeros_like(weights))


@every_spec
def test_text_and_description_know_the_readout(spec: ttr.Spec) -> None:
    assert ttr.Spec.parse(str(spec)) == ttr.Spec.parse(spec.expanded) == spec
    words = ttr.describe(spec)
    assert "S_{t-1}" in words.read and r"u \circ" in words.read and "Read:" in words.words
    assert ("b_t" in words.read) == ("Importance" in str(spec))
    assert words.state_size == "d^2 / H" and words.read.count("{") == words.read.count("}")
    assert not ttr.caution(spec)


def test_a_bonus_of_one_is_read_after_the_pair_and_before_forgetting() -> None:
    bonus, plain = SPECS[0], ttr.Spec.parse("Uniform | Linear | Hebbian")
    x, one = stream(bonus, 20), torch.ones(2, 3, dtype=torch.float64)
    close(ttr.solve(bonus, x, {"readout.u": one}), ttr.solve(plain, x))


def test_the_gate_of_a_token_acts_from_the_next_one_on() -> None:
    spec = SPECS[3]
    x = stream(spec, 9)
    gate = x.signals["decay"].clone()
    gate[:, :, 5] -= 1
    y, other = ttr.solve(spec, x), ttr.solve(spec, replace(x, signals={"decay": gate}))
    close(y[:, :, :6], other[:, :, :6])
    assert (y[:, :, 6] - other[:, :, 6]).abs().max() > 1e-3


@pytest.mark.parametrize("optimizer", ["SGD", "Exact", "OneStep", "DiagonalImplicit"])
def test_a_memory_that_is_no_running_sum_is_refused_in_words(optimizer: str) -> None:
    spec = ttr.Spec.parse(f"Uniform | Linear | {optimizer} | readout=Bonus")
    with pytest.raises(
        ttr.IncompatibleSpec, match="weighted sum of the pairs, added one by one, Hebbian"
    ) as error:
        ttr.resolve(spec)
    assert "Uniform | Linear | Hebbian | readout=Bonus" in error.value.alternatives


@pytest.mark.parametrize("function", ["Constant", "Linear(map=dpfp)"])
def test_features_of_another_number_than_the_keys_are_refused(function: str) -> None:
    spec = ttr.Spec.parse(f"Uniform | {function} | Hebbian | readout=Bonus")
    with pytest.raises(ttr.IncompatibleSpec, match="one number per key channel"):
        ttr.resolve(spec)
