"""Where all that is learned starts: signals, tensors and sizes, by numbers written here alone."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache

import pytest
import torch

import ttr_core as ttr
from ttr_core.layers.frame import PAPER, STANDARD
from ttr_core.space.functions import Network
from ttr_core.space.option import every
from ttr_core.space.sharpness import LOG_SCALE, Comparison

D, LENGTH = 64, 256


@cache
def fresh(name: str) -> ttr.SequenceLayer:
    source = torch.Generator().manual_seed(0)
    return ttr.catalog[name].layer(D, length=LENGTH, generator=source)


@torch.no_grad()
def signals(name: str) -> dict[str, torch.Tensor]:
    """The signals of a token that says nothing."""
    return fresh(name).regression(torch.zeros(1, 1, D))[0].signals


EVERY = pytest.mark.parametrize("name", list(ttr.catalog))
NETWORKS = [n for n, entry in ttr.catalog.items() if isinstance(entry.spec.function, Network)]

# ---- signals

STARTS = {
    "importance": 0.5, "momentum": 0.5, "push": 0.5, "erase": 0.5, "write": 0.5, "rate": 0.5,
    "squares": 0.5, "noise": math.log(2), "drift": math.log(2), "step": 0.5, "second_step": 0.5,
    "turn": 0.05, "mix": 0.5, "levels": 1.0, "delta": 1.0, "taps": 0.005, "probe": 0.0,
    "turn_key": 0.0, "mixture": 0.0, "extra_keys": 0.0, "extra_values": 0.0,
}  # fmt: skip
OTHERWISE = {
    ("longhorn-exact", "step"): 1.0, ("deltaformer", "step"): 0.05,
    ("mlstm", "importance"): 1.0,
    ("gated-deltaproduct", "step"): (0.5, 0.02), ("deltaproduct", "step"): (0.5, 0.02),
}  # fmt: skip
TIED = ("mamba", "mamba2", "rfa-gate")  # a weight that is a step, or what is forgotten


@EVERY
def test_a_signal_starts_where_it_says(name: str) -> None:
    """Every signal but decays, which have tests of their own."""
    for signal, value in signals(name).items():
        if signal.startswith("decay") or (name in TIED and signal == "importance"):
            continue
        start = torch.tensor(OTHERWISE.get((name, signal), STARTS[signal]))
        torch.testing.assert_close(value, start.expand_as(value), rtol=0.1, atol=0.0)


OWN = ("selective", "exponential", "double_exponential")  # gates whose papers say where


@pytest.mark.parametrize("name", [n for n, e in ttr.catalog.items() if e.frame.gates not in OWN])
def test_fresh_decays_span_what_is_remembered(name: str) -> None:
    layer = fresh(name)
    for signal, value in signals(name).items():
        if signal.startswith("decay"):
            lives = -math.log(2) / value
            first = layer.spec.function.shortest_half_life if lives.numel() > 1 else LENGTH
            assert lives.min().item() == pytest.approx(first, rel=0.02)
            assert lives.max().item() == pytest.approx(LENGTH, rel=0.02)


def test_decays_that_papers_set_start_there() -> None:
    assert signals("mamba2")["importance"].item() == pytest.approx(0.01, rel=1e-3)
    assert signals("mlstm")["decay"].item() == pytest.approx(-math.log1p(math.exp(-4.5)), rel=1e-3)
    place = torch.arange(D) / (D - 1)
    wanted = -torch.exp(-6 + 5 * place**0.7)
    torch.testing.assert_close(signals("rwkv6")["decay"].flatten(), wanted, rtol=1e-3, atol=0.0)
    steps = signals("mamba")["importance"].flatten()
    assert steps.tolist() not in (sorted(steps.tolist()), sorted(steps.tolist(), reverse=True))
    phases = fresh("lru").signals.theta.detach().exp()
    assert phases.min() < 0.5 and 5.8 < phases.max() <= 2 * math.pi
    fade = fresh("orchid").own["weights/fade"].detach().exp()
    lives = math.log(2) / fade
    assert (lives.min().item(), lives.max().item()) == pytest.approx((4, 1024), rel=1e-3)


@torch.no_grad()
def test_decays_of_rwkv7_end_at_the_share_that_its_paper_keeps() -> None:
    x = 1e4 * torch.randn(1, 20, D, generator=torch.Generator().manual_seed(0))
    decay = fresh("rwkv7").regression(x)[0].signals["decay"]
    ends = (decay.min().exp().item(), decay.max().exp().item())
    assert ends == pytest.approx((0.5452, 1), abs=1e-4)


# ---- tensors

SET = {
    "sigma": 1.0, "gamma": 1.0, "beta": 0.0, "b": 0.0, "b1": 0.0, "b2": 0.0, "norm": 1.0,
    "skip": 0.0, "feedback": 1.0, "center": -0.2, "share": 0.02, "mix": 1.02,
    "leak": 0.0, "peek": 0.0, "biases": 1.0, "shift": 0.0,
}  # fmt: skip
"""What multiplies starts at 1, what is added and logits at 0, but for what papers say otherwise."""


ELSEWHERE = {
    "weight", "bias", "W", "Z", "W0", "W1", "W2", "taps", "log_scale", "log_decay", "A_log",
    "nu", "theta", "gain", "direct", "first", "shares", "down", "up", "start", "u", "stretch",
    "amplitude", "fade", "rate", "phase", "rows", "diagonal",
}  # fmt: skip
"""Tensors that are drawn or spread, each held by a test of its own here, in test_starts or in
test_phases."""


@EVERY
def test_a_tensor_that_is_set_starts_there(name: str) -> None:
    for path, p in fresh(name).named_parameters():
        leaf = path.replace("/", ".").split(".")[-1]
        if leaf not in ELSEWHERE:
            assert torch.equal(p, torch.full_like(p, SET[leaf])), path


STD = {
    "ttt-linear": {"W1": 0.02}, "ttt-mlp": {"W1": 0.02, "W2": 0.02},
    "atlas": {"W1": 1.0, "W2": 0.02},
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_matrices_of_a_network_keep_the_size_of_their_inputs(name: str) -> None:
    for path, p in fresh(name).own.items():
        if re.fullmatch(r"function/W\d", path):
            size = STD.get(name, {}).get(path[-2:], p.shape[-2] ** -0.5)
            assert p.std().item() == pytest.approx(size, rel=4 * p.numel() ** -0.5), path


def test_what_is_spread_over_channels_goes_from_end_to_end() -> None:
    own, place = fresh("orchid").own, torch.arange(D) / D
    assert own["weights/amplitude"].shape == (1, 5, 16)
    assert own["weights/amplitude"].std().item() == pytest.approx(0.25, rel=0.25)
    rates = own["weights/rate"].detach().flatten()
    assert rates[[0, -1]].tolist() == pytest.approx([math.pi, math.pi / 1024], rel=1e-3)
    assert (rates[1:] / rates[:-1]).std() < 1e-3
    turns = own["weights/phase"].detach().flatten().diff()
    assert turns.mean().item() == pytest.approx(math.pi / 15) and turns.std() < 1e-3
    ramp = fresh("rwkv7").own["optimizer/stretch"].detach().flatten()
    torch.testing.assert_close(ramp, 0.71 - 0.1 * torch.linspace(0, 1, D))
    bonus = fresh("rwkv6").own["readout/u"].detach().flatten()
    assert bonus[:4].tolist() == pytest.approx([0, 0.1, -0.1, 0])
    for name in ("rwkv6", "rwkv7"):
        shift = fresh(name).shift
        assert shift is not None
        torch.testing.assert_close(shift.first.detach(), 1 - place)


@EVERY
def test_a_tensor_that_is_drawn_keeps_the_size_of_its_inputs(name: str) -> None:
    layer = fresh(name)
    for path, p in layer.named_parameters():
        if path.endswith("weight") and p.dim() == 2:
            opened = path.endswith("up.weight") or (path == "gate.weight")
            size = (0.1 if opened else 1.0) * p.shape[1] ** -0.5
            assert p.std().item() == pytest.approx(size, rel=max(0.1, 4 * p.numel() ** -0.5)), path
        if path in ("own.function/W", "own.function/Z") and name != "hedgehog":
            assert p.std().item() == pytest.approx(p.shape[-1] ** -0.5, rel=0.1), path
    if layer.direct is not None:
        assert layer.direct.std().item() == pytest.approx(1, rel=0.3)
    if name == "hedgehog":
        assert torch.equal(layer.own["function/W"][0], torch.eye(D))


@EVERY
def test_keys_start_from_the_projection_of_the_queries(name: str) -> None:
    layer = fresh(name)
    queries, keys, _ = layer.widths
    weight = layer.qkv.weight if layer.qk is None else layer.qk.weight
    assert queries == keys and torch.equal(weight[:queries], weight[queries : queries + keys])


def test_shares_of_the_token_before_fall_over_the_channels() -> None:
    shift = fresh("rwkv6").shift
    assert shift is not None
    place = torch.arange(D) / D
    wanted = torch.stack([1 - place**power for power in (0.5, 1, 1, 1, 0.5)])
    torch.testing.assert_close(shift.shares.detach(), wanted)
    for drawn, most in ((shift.down, 1e-4), (shift.up, 1e-2)):
        assert -most <= drawn.min() < -most / 2 and most / 2 < drawn.max() <= most


def test_the_further_keys_of_a_token_are_treated_as_its_own() -> None:
    layer = ttr.SequenceLayer("Uniform | Linear | MultiStep(n=3)", "standard", 16, 2)
    extra = layer.regression(torch.randn(1, 5, 16))[0].signals["extra_keys"]
    torch.testing.assert_close(extra.unflatten(-1, (2, 8)).norm(dim=-1), torch.ones(1, 2, 5, 2))


def test_logits_of_a_fresh_model_are_of_size_one() -> None:
    source = torch.Generator().manual_seed(0)
    model = ttr.SequenceModel(ttr.ModelConfig(layers=("deltanet",)), 100, source)
    tokens = torch.randint(100, (2, 20), generator=source)
    embedded = model._embedded(tokens, ("B", "T"))
    assert embedded.std().item() == pytest.approx(1, rel=0.1)
    assert model(tokens).std().item() == pytest.approx(1, rel=0.3)


SHARPNESS = {
    1: ("Whitened | Constant | Exact",),
    2: ("ExpKernel | Quadratic | Exact", "Uniform | Linear(map=favor) | Exact"),
    4: (
        "ExpKernel | Affine | Exact", "Uniform | Kernel | SGD", "Uniform | Kernel | Exact",
        "Uniform | Linear(map=nystrom) | Exact",
    ),
    8: ("ExpKernel | Constant | OneStep", "Uniform | Linear(map=silu) | Hebbian"),
    16: (
        "ExpKernel | Constant | Exact", "Sparsemax | Constant | OneStep",
        "Reflected | Constant | Exact", "Uniform | Linear(map=taylor2) | Hebbian",
    ),
    64: ("Uniform | Linear(map=elu1) | Hebbian", "Uniform | Linear(map=dijiang) | Hebbian"),
}  # fmt: skip


@pytest.mark.parametrize("scale", SHARPNESS)
def test_a_learned_scale_starts_where_it_learned_best(scale: int) -> None:
    for text in SHARPNESS[scale]:
        own = ttr.Spec.parse(text).layer(16, 1, frame=STANDARD).own
        found = [p.exp().item() for name, p in own.items() if name.endswith(LOG_SCALE)]
        assert found == pytest.approx([scale]), text


RANGES = {
    "favor": (0.01, 16), "nystrom": (0.01, 64), "Kernel": (0.01, 256), "Whitened": (0.001, 100),
}  # fmt: skip


def test_a_learned_scale_stays_where_it_was_seen_to_compute() -> None:
    """Within (.01, 1000), but for what is written here."""
    every = [c for family in ("weights", "function", "map") for c in ttr.choices(family)]
    for choice in (c for c in every if issubclass(c, Comparison)):
        assert choice.scale_range == RANGES.get(choice.name, (0.01, 1000)), choice.name


# ---- sizes


def test_the_two_frames_differ_in_their_convolution_alone() -> None:
    assert (STANDARD.conv, STANDARD.conv_on) == (4, ("q", "k", "v"))
    assert (PAPER.conv, PAPER.conv_on) == (2, ("k",))
    assert replace(PAPER, conv=4, conv_on=("q", "k", "v")) == STANDARD
    assert STANDARD.qk_norm == "l2" and STANDARD.temperature == "learned"


@EVERY
def test_a_gate_of_many_numbers_has_a_map_of_low_rank(name: str) -> None:
    layer = fresh(name)
    ranks = {
        path: p.shape[0] for path, p in layer.signals.named_parameters() if "down.weight" in path
    }
    wanted = {4} if layer.frame.heads == "channels" else {16}
    assert set(ranks.values()) <= wanted
    decay = signals(name).get("decay")
    if decay is not None and decay.shape[-1] > 1 and layer.frame.gates in ("dense", "floored"):
        assert ranks
    if layer.frame.gates in ("selective", "proximal") and layer.frame.heads == "channels":
        assert ranks


NUMBERS = {
    "titans": "expansion=4 size=16 rate=0.1", "omeganet": "expansion=4 window=8 size=16 rate=0.01",
    "moneta": "expansion=1 q=4.0 size=16 rate=0.01", "memora": "expansion=1 size=16 rate=0.01",
    "yaad": "expansion=4 size=16 rate=1.0", "ttt-mlp": "expansion=4 std=0.02 size=16 rate=1.0",
    "ttt-linear": "std=0.02 size=16 rate=1.0", "t2r-relu": "features=32",
    "performer": "features=512", "skyformer": "features=128 scale=8.0", "rfa": "frequencies=64",
    "cosformer": "length=512", "polynomial": "degree=2", "power-retention": "degree=2",
    "sliding-window-attention": "size=64", "alibi": "slope=8.0", "stick-breaking": "offset=4.0",
    "log-linear-attention": "levels=16", "gated-kalmanet": "iterations=30 ridge=0.02",
    "atlas": "expansion=1 std=1.0 std_last=0.02 window=8 size=16 rate=0.03",
    "lact": "expansion=1 size=16 rate=0.05", "residual-deltanet": "clip=1.0", "dpfp": "nu=1",
    "orchid": "basis=4",
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_an_entry_has_the_numbers_that_it_learned_with(name: str) -> None:
    """Those of its ingredients, chosen by the entry or by their defaults."""
    spec = ttr.catalog[name].spec.text(every)
    missing = [one for one in NUMBERS[name].split() if not re.search(rf"\b{one}[,)]", spec)]
    assert missing == [], spec


def test_maps_of_low_rank_have_the_ranks_of_the_papers() -> None:
    rwkv6 = fresh("rwkv6")
    assert rwkv6.shift is not None and tuple(rwkv6.shift.up.shape) == (5, 32, D)
    assert {tuple(p.shape) for n, p in rwkv6.signals.named_parameters() if n == "down"} == {(D, 64)}


SIZES = {
    "key_dim": {
        1: "lru", 2: "gateloop", 16: "based rebased mamba longhorn omeganet", 32: "atlas",
        64: "mamba2 mamba3",
    },
    "qk_heads": {1: "mamba mamba2 mamba3 longhorn"},
    "expand": {2: "mamba mamba2 mamba3 longhorn lru", 8: "gateloop"},
    "conv": {
        0: "lru rwkv6 rwkv7", 3: "orchid", 2: "softmax-attention retnet gla based gateloop",
        4: "deltanet kda mamba2 hgrn2 mlstm titans moneta memora omeganet",
    },
    "rope": {1e4: "softmax-attention sliding-window-attention retnet dijiang deltaformer lucid"},
}  # fmt: skip


@pytest.mark.parametrize("setting", SIZES)
def test_a_frame_has_the_sizes_of_its_paper(setting: str) -> None:
    for size, names in SIZES[setting].items():
        found = {name: getattr(ttr.catalog[name].frame, setting) for name in names.split()}
        assert found == dict.fromkeys(found, size)
