"""What must hold for every layer, whatever its solver."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import LAYERS, RTOL32, TESTED, by_default, joined, scaled, stream, thinned

import ttr_core as ttr
from ttr_core.solvers import chunks
from ttr_core.space.functions import Linear, Network
from ttr_core.space.optimizers import Hebbian
from ttr_core.space.spec import listed
from ttr_core.space.weights import MemorylessWeights as Memoryless

SHOWN = [
    pytest.param(
        spec,
        id=str(spec),
        marks=[] if by_default(spec) else [pytest.mark.full_grid],
    )
    for spec in TESTED
]
every_layer = pytest.mark.parametrize("spec", thinned(TESTED))
PARTS = [
    pytest.param(spec, single, id=f"{how}-{spec}", marks=marks)
    for how, single, shown in (
        ("two parts", False, thinned(TESTED)),
        ("and single tokens", True, SHOWN),
    )
    for spec, marks in ((param.values[0], param.marks) for param in shown)
]
"""One cut near the middle, and four parts, some of one token: these in every pair of axes."""


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def tokens(spec: ttr.Spec) -> int:
    """How long a sequence is: 40, or 12 where the definition itself runs, token by token."""
    return 12 if ttr.resolve(spec).name == "reference" else 40


@every_layer
def test_the_future_does_not_reach_back(spec: ttr.Spec) -> None:
    length = tokens(spec)
    at = length // 2 + 1
    x, other = stream(spec, length), stream(spec, length, seed=1)
    close(ttr.solve(spec, joined(x, other, at))[:, :, :at], ttr.solve(spec, x)[:, :, :at])


@pytest.mark.parametrize(("spec", "single"), PARTS)
def test_prefill_goes_on_where_it_left_off(spec: ttr.Spec, single: bool) -> None:
    length = tokens(spec)
    cuts = (1, 2, length - 1) if single else (length // 2 + 1,)
    x, state, parts = stream(spec, length), None, []
    for start, stop in zip((0, *cuts), (*cuts, length), strict=True):
        y, state = ttr.prefill(spec, x.tokens(start, stop), state=state)
        parts.append(y)
    # A fit of least norm is ill-conditioned by nature.
    close(torch.cat(parts, 2), ttr.solve(spec, x), 1e-6 if ttr.caution(spec) else 1e-8)


@pytest.mark.parametrize(
    "spec", thinned(spec for spec in TESTED if not ttr.caution(spec))
)  # a minimum norm is ill-conditioned by nature
def test_float32_is_as_good_as_promised(spec: ttr.Spec) -> None:
    x = stream(spec, 40)
    y, single = ttr.solve(spec, x), ttr.solve(spec, x.map(lambda z: z.float()))
    promised = RTOL32 * y.norm()
    if isinstance(spec.function, Network):
        # Decays shrink a network until its norm blows up any rounding, that of the inputs too.
        rounded = ttr.solve(spec, x.map(lambda z: z.float().double()))
        promised += 100 * (rounded - y).norm()
    assert (single - y).norm() <= promised


@every_layer
def test_the_attention_map_gives_the_outputs(spec: ttr.Spec) -> None:
    x = stream(spec, 12)
    weights = ttr.attention_map(spec, x)
    assert weights.shape == (1, 2, 12, 12)
    if spec.linear_in_v:
        close(weights @ x.v, ttr.solve(spec, scaled(spec, x, 1.0, 0.0)), 1e-7)
    close(weights.triu(1), torch.zeros_like(weights), 1e-9)


@pytest.mark.parametrize("spec", thinned(spec for spec in TESTED if spec.linear_in_v))
def test_outputs_scale_with_the_values(spec: ttr.Spec) -> None:
    x = stream(spec, 12)
    close(ttr.solve(spec, scaled(spec, x, -3.0, -3.0)), -3 * ttr.solve(spec, x), 1e-7)


@pytest.mark.parametrize(
    "spec", thinned(s for s in LAYERS if ttr.resolve(s).name.startswith(("chunked", "prefix")))
)
@pytest.mark.parametrize("size", [1, 3])
def test_the_chunk_size_changes_nothing(
    spec: ttr.Spec, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = stream(spec, 11)
    whole = ttr.solve(spec, x)
    name = ttr.resolve(spec).name
    monkeypatch.setattr(f"ttr_core.solvers.{name}.CHUNK", size)
    monkeypatch.setattr(chunks, "CHUNK", size)
    assert chunks.chunk_size(11) == size
    close(ttr.solve(spec, x), whole, 1e-8)


def test_shared_heads_are_repeated() -> None:
    spec = ttr.Spec.parse("Gate | Linear | SGD")
    x = stream(spec, 9, heads=4)
    shared = replace(x, k=x.k[:, :2], v=x.v[:, :1])
    full = replace(x, k=shared.k.repeat_interleave(2, 1), v=shared.v.repeat_interleave(4, 1))
    close(ttr.solve(spec, shared), ttr.solve(spec, full))


@pytest.mark.parametrize(
    "weights", ["Uniform", "Decay", "Gate", "ChannelGate", "Gate * Importance"]
)
def test_one_batch_step_is_the_hebbian_rule(weights: str) -> None:
    step, rule = (ttr.Spec.parse(f"{weights} | Linear | {o}") for o in ("OneStep", "Hebbian"))
    x = stream(step, 20)
    close(ttr.solve(step, x), ttr.solve(rule, x))


def test_gated_deltanet_without_forgetting_is_deltanet() -> None:
    gated, plain = (ttr.catalog[n].spec for n in ("gated-deltanet", "deltanet"))
    x = stream(gated, 20)
    open_gate = replace(x, signals=x.signals | {"decay": torch.zeros_like(x.signals["decay"])})
    step_only = replace(x, signals={"step": x.signals["step"]})
    close(ttr.solve(gated, open_gate), ttr.solve(plain, step_only))


def test_the_forgetting_transformer_without_forgetting_is_softmax() -> None:
    fox, softmax = (ttr.catalog[n].spec for n in ("forgetting-transformer", "softmax-attention"))
    x = stream(fox, 20)
    close(
        ttr.solve(fox, replace(x, signals={"decay": torch.zeros_like(x.signals["decay"])})),
        ttr.solve(softmax, replace(x, signals={})),
    )


def test_a_large_ridge_is_linear_attention_scaled() -> None:
    exact = ttr.Spec.parse("Gate | Linear | Exact(ridge=1000000.0)")
    linear = ttr.Spec.parse("Gate | Linear | Hebbian")
    x = stream(exact, 20)
    close(1e6 * ttr.solve(exact, x), ttr.solve(linear, x), 1e-4)


def test_a_large_proximal_step_on_unit_keys_is_kaczmarz() -> None:
    implicit, sgd = (ttr.Spec.parse(f"Uniform | Linear | {o}") for o in ("Implicit", "SGD"))
    x = stream(implicit, 20)
    x = replace(x, k=torch.nn.functional.normalize(x.k, dim=-1))
    far = replace(x, signals={"step": torch.full_like(x.signals["step"], 1e12)})
    one = replace(x, signals={"step": torch.ones_like(x.signals["step"])})
    close(ttr.solve(implicit, far), ttr.solve(sgd, one), 1e-8)


def test_nlms_on_unit_keys_is_sgd_with_step_one() -> None:
    nlms, sgd = (
        ttr.Spec.parse(f"Uniform | Linear | {o}") for o in ("NLMS(step=1.0, eps=1e-12)", "SGD")
    )
    x = stream(nlms, 20)
    x = replace(x, k=torch.nn.functional.normalize(x.k, dim=-1))
    one = replace(x, signals={"step": torch.ones(1, 2, 20, 1, dtype=torch.float64)})
    close(ttr.solve(nlms, x), ttr.solve(sgd, one), 1e-8)


def test_nlms_answers_the_newest_pair_whatever_the_size_of_its_key() -> None:
    spec = ttr.Spec.parse("Uniform | Linear | NLMS(eps=1e-12)")
    x = stream(spec, 9)
    large = replace(x, k=100 * x.k, q=100 * x.k)
    close(ttr.solve(spec, large), x.v)


def test_nlms_takes_an_importance_as_its_step() -> None:
    weighed, half = (
        ttr.Spec.parse(f"{w} | Linear | NLMS({o})")
        for w, o in (("Importance", "eps=1e-6"), ("Uniform", "step=0.5"))
    )
    x = stream(half, 9)
    b = torch.full((1, 2, 9, 1), 0.5, dtype=torch.float64)
    close(
        ttr.solve(weighed, replace(x, signals={"importance": b}), solver="reference"),
        ttr.solve(half, x),
    )
    nothing = ttr.solve(weighed, replace(x, signals={"importance": 0 * b}), solver="reference")
    assert (nothing.abs() < 1e-25).all()  # the oracle takes the limit of a weight that vanishes


def test_decay_to_nothing_keeps_the_last_pair_only() -> None:
    spec = ttr.Spec.parse("Gate | Linear | Hebbian")
    x = stream(spec, 9)
    gone = replace(x, signals={"decay": torch.full_like(x.signals["decay"], -1e4)})
    last = (x.q * x.k).sum(-1, keepdim=True) * x.v
    close(ttr.solve(spec, gone), last)


def test_equal_channels_are_not_a_gate_for_an_exact_fit() -> None:
    gate, channel = (ttr.Spec.parse(f"{w} | Linear | Exact") for w in ("Gate", "ChannelGate"))
    x = stream(gate, 12)
    wide = replace(x, signals={"decay": x.signals["decay"].expand(-1, -1, -1, 3)})
    assert (ttr.solve(gate, x) - ttr.solve(channel, wide)).abs().max() > 1e-3


@pytest.mark.parametrize(
    "weights", [w for w in listed("weights") if isinstance(w, Memoryless)], ids=str
)
def test_weights_that_claim_not_to_fade_do_not(weights: Memoryless) -> None:
    x = stream(ttr.Spec(weights, Linear(), Hebbian()))
    decay = weights.recency(x, weights.parameters(3, 2, 2)).log_decay
    assert weights.fades == (decay is not None and bool((decay < 0).any()))
