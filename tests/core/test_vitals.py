"""Vital signs: what is measured of fresh layers is what it says, and lies within bounds."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import ttr_core as ttr
from ttr_core.lab import (
    VITAL_LENGTHS,
    Experiment,
    VitalSigns,
    all_vital_signs,
    too_long,
    vital_signs,
    vitals,
)
from ttr_core.layers.model import regression
from ttr_core.solvers import horizon
from ttr_core.space.functions import Network
from ttr_core.space.readouts import Plain

BUILT = {
    regression(name, frame): (name, frame)
    for frame in reversed(ttr.FRAMES)
    for name in reversed([*ttr.catalog])
}
ENTRIES = sorted(BUILT.values())
"""Every entry in every frame; of those that build the same layer, the first: it starts alike."""

OWN = [(name, "published") for name in ttr.catalog]


def faults(signs: VitalSigns) -> list[str]:
    """What lies outside of the bounds within which a training was seen to start."""
    gradients = {**signs.input_gradient, **{-n: g for n, g in signs.parameter_gradient.items()}}
    found = [f"gradient at {n}: {g}" for n, g in gradients.items() if not 1e-3 < g < 1e3]
    if not 0.01 < signs.scale < 4:  # mamba3, which writes each pair twice, learns from 3.3 to .998
        found.append(f"outputs of size {signs.scale}")
    if signs.step_low is not None and not 0.01 <= signs.step_low <= (signs.step_high or 0) <= 2:
        found.append(f"steps from {signs.step_low} to {signs.step_high}")
    if signs.parts is not None:
        found.append(f"float32 and float64 part at {signs.parts}")
    return found


@pytest.mark.parametrize(("name", "frame"), OWN)
def test_a_fresh_layer_is_well(name: str, frame: str) -> None:
    assert faults(vital_signs(name, frame, lengths=(32,))) == []


OUTLIVED = {"cosformer": 512}
"""Entries that are well up to a length of their own; the test of their reason stands below."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frame"), ENTRIES)
def test_a_fresh_layer_is_well_at_every_length(name: str, frame: str) -> None:
    most = OUTLIVED.get(name) if frame == "published" else None
    lengths = tuple(n for n in (*VITAL_LENGTHS, most or 1) if 1 < n <= (most or 4096))
    assert faults(vital_signs(name, frame, lengths)) == []


@pytest.mark.parametrize(("length", "floored"), [(512, True), (4096, False)])
def test_cosformer_grows_where_its_divisor_crosses_zero(length: int, floored: bool) -> None:
    """Weights cos(pi (t - i) / 2M) are negative beyond M, so that their sum crosses zero.

    From there on the floor 1e-6 is the divisor, and a gradient 1e8. The paper's M is the length of
    the sequence: with it nothing grows.
    """
    entry = ttr.catalog["cosformer"]
    weights = ttr.Spec.parse(f"Cosine(length={length}) | Linear | OneStep").weights
    spec, draw = replace(entry.spec, weights=weights), torch.Generator().manual_seed(0)
    layer = ttr.SequenceLayer(spec, entry.frame, 64, generator=draw)
    x = torch.randn(1, 4096, 64, generator=draw)
    with torch.no_grad():
        stream, own = layer.regression(x)
        ones = replace(stream, v=torch.ones_like(stream.v[..., :1]))
        divisor = ttr.solve(replace(spec, readout=Plain()), ones, own)[0, 0, :, 0]
    assert divisor[:512].min() > 1 and bool((divisor < 1e-6).any()) == floored
    assert max(vitals._gradients(layer, x[:, :512], draw)) < 10
    grown = max(vitals._gradients(layer, x, draw))
    assert grown > 1e6 if floored else grown < 10


# ---- what is measured is what it says


def test_a_decay_of_one_half_has_a_half_life_of_one_token() -> None:
    signs = vital_signs("Decay(gamma=0.5) | Linear | Hebbian", "standard", (16,))
    assert signs.half_life_low == signs.half_life_high == pytest.approx(1.0)
    two = vital_signs("Decay(gamma=0.25) * Decay(gamma=0.5) | Linear | Hebbian", "standard", (16,))
    assert (two.half_life_low, two.half_life_high) == pytest.approx((0.5, 1.0))


def test_what_has_no_decay_or_no_step_has_none() -> None:
    signs = vital_signs("linear-attention", "standard", (16,))
    assert signs.half_life_low is signs.half_life_high is signs.step_low is signs.step_high is None
    assert vital_signs("deltanet", "standard", (16,)).step_low == pytest.approx(0.5, abs=0.02)


def test_an_exact_fit_answers_what_was_written_and_a_mean_does_not() -> None:
    exact = vital_signs("Uniform | Linear | Exact(ridge=0.001)", "standard", (16,))
    mean = vital_signs("Uniform | Constant | Exact", "standard", (16,))
    assert exact.match > 0.99 and mean.match < 0.5


def test_gradients_are_those_of_finite_differences() -> None:
    layer = ttr.catalog["deltanet"].layer(8, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    to_x, to_p = vitals._gradients(layer, x, torch.Generator().manual_seed(1))
    shape = layer(x).shape
    mix = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    mix = mix / math.sqrt(mix.numel())

    def mixed(z: torch.Tensor) -> float:
        return float((layer(z) * mix).sum().detach())

    slopes = []
    for i in range(x.numel()):
        e = torch.zeros_like(x).view(-1)
        e[i] = 1e-6
        slopes.append((mixed(x + e.view_as(x)) - mixed(x - e.view_as(x))) / 2e-6)
    assert to_x == pytest.approx(math.hypot(*slopes), rel=1e-5)
    assert to_p > 0


def test_parting_is_the_first_token_beyond_one_percent_of_the_size() -> None:
    wide = torch.ones(1, 5, 4)
    narrow = wide.clone()
    narrow[0, 2] *= 1.009
    assert vitals._parting(narrow, wide) is None
    narrow[0, 3] *= 1.02
    assert vitals._parting(narrow, wide) == 4
    narrow[0, 1] = math.nan
    assert vitals._parting(narrow, wide) == 2


def test_a_slow_layer_is_measured_over_fewer_tokens() -> None:
    signs = vital_signs("local-quadratic-attention", "published", (16, 4096))
    assert signs.longest == 16 and list(signs.input_gradient) == [16]


def test_rows_have_a_column_for_each_length_and_what_is_wrong_is_said_first() -> None:
    told: list[str] = []
    (row,) = (
        one.to_dict()
        for one in all_vital_signs(
            ["gla"], ["paper"], (8, 16), lambda done, total, what: told.append(what)
        )
    )
    assert {"input_gradient_8", "parameter_gradient_16", "longest"} < set(row)
    assert told == ["gla in the paper frame", "done"] and max(VITAL_LENGTHS) == 4096
    with pytest.raises(ttr.UnknownName, match="deltanet"):
        next(iter(all_vital_signs(["gla", "delta-net"])))
    with pytest.raises(ttr.UnknownName, match="frame"):
        next(iter(all_vital_signs(["gla"], ["papr"])))


def test_a_fault_is_seen() -> None:
    well = vital_signs("deltanet", "published", (16,))
    assert faults(well) == []
    for sick in (
        replace(well, scale=0.0), replace(well, scale=math.nan), replace(well, parts=7),
        replace(well, step_low=0.0), replace(well, input_gradient={64: math.inf}),
        replace(well, parameter_gradient={64: 1e-5}),
    ):  # fmt: skip
        assert faults(sick)


# ---- who amplifies rounding


def test_what_amplifies_rounding_says_so_with_the_bound() -> None:
    for entry in ttr.catalog.values():
        tokens, told = horizon(entry.spec), ttr.describe(entry.spec).caution
        assert (tokens is None) == (told == "") and (tokens is None or f"{tokens} tokens" in told)
    steady = (horizon("Gate | Linear | ChunkSGD"), horizon("Uniform | MLP | MiniBatch"))
    assert steady == (None, None)
    assert horizon(ttr.catalog["titans"].spec) is not None


def test_a_layer_asked_for_more_tokens_than_its_bound_is_told() -> None:
    def said(layer: str, seq_len: int) -> tuple[str, ...]:
        task = ttr.task("mqar", {"seq_len": seq_len, "pairs": 8})
        return too_long(Experiment(task, ttr.ModelConfig(layers=(layer,), depth=2)))

    bound = horizon(ttr.catalog["titans"].spec)
    assert bound is not None and said("titans", bound // 2 * 2) == ()
    (sentence,) = said("titans", 2 * bound)
    assert f"{2 * bound} tokens" in sentence and f"task.seq_len={bound}" in sentence
    assert said("deltanet", 4096) == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [n for n, e in ttr.catalog.items() if horizon(e.spec)])
def test_within_its_bound_a_layer_computes_alike(name: str, seed: int) -> None:
    source, entry = torch.Generator().manual_seed(seed), ttr.catalog[name]
    layer = entry.layer(256, 4, length=4096, generator=source)
    x = torch.randn(1, horizon(entry.spec) or 0, 256, generator=source)
    with torch.no_grad():
        narrow, wide = layer(x).double(), copy.deepcopy(layer).double()(x.double())
    assert vitals._parting(narrow, wide) is None


NETWORKS = [n for n, e in ttr.catalog.items() if isinstance(e.spec.function, Network)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_through_a_network_stay_finite(name: str, seed: int) -> None:
    """In four heads of 64, whose gates are spread over all tokens; a gradient of 1 changes none."""
    source = torch.Generator().manual_seed(seed)
    layer = ttr.catalog[name].layer(256, 4, length=4096, generator=source)
    x = torch.randn(1, 4096, 256, generator=source)
    to_x, to_p = vitals._gradients(layer, x, source)
    most = 2e3 if name == "moneta" else 5  # its mirror divides by the memory's size, squared
    assert to_x < most and to_p < 20 * most


def test_fresh_gates_of_a_network_forget_slowly() -> None:
    for name in ("titans", "gated-deltanet"):
        layer = ttr.catalog[name].layer(16, 4, length=1024)
        halves = -math.log(2) / F.logsigmoid(layer.signals["decay"].up.bias.detach())
        shortest = 256 if name == "titans" else 16
        assert halves.min() == pytest.approx(shortest, rel=1e-3)
        assert halves.max() == pytest.approx(1024, rel=1e-3)
