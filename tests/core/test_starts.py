"""Where a fresh layer starts: short convolution, output gate, decays, further steps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import ttr_core as ttr
from ttr_core.lab import Experiment
from ttr_core.layers.conv import ShortConv, blended
from ttr_core.layers.layer import ACTIVATIONS

SIZES = (4, 4, 8)
WHERE = [("q", "k", "v"), ("q", "k"), ("k",), ("k", "v"), ("v",)]
GATED = [name for name, entry in ttr.catalog.items() if entry.frame.output_gate != "none"]
SHIFTED = [name for name, entry in ttr.catalog.items() if entry.original is not None]


def source() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("on", WHERE, ids="".join)
def test_a_convolution_starts_by_passing_on_and_gives_keys_the_token_before(
    on: tuple[str, ...], width: int
) -> None:
    conv = ShortConv(ttr.Frame(conv=width, conv_on=on), SIZES, source())
    x = torch.randn(2, 9, sum(SIZES))
    y, _ = conv(x, None)
    before = F.pad(x, (0, 0, 1, 0))[:, :-1]
    keys = (x + before) / math.sqrt(2) if "k" in on else x
    for name, part, want in zip("qkv", y.split(SIZES, -1), (x, keys, x), strict=True):
        wanted = want.split(SIZES, -1)["qkv".index(name)]
        apart = (part - wanted).square().mean().sqrt()
        assert 0 < apart < 0.1 if name in on else apart == 0


def test_values_that_keys_are_projected_from_hold_the_token_before() -> None:
    conv = ShortConv(ttr.Frame(conv=4, conv_on=("v",), source="values"), (0, 0, 8), source())
    x = torch.randn(2, 9, 8)
    wanted = (x + F.pad(x, (0, 0, 1, 0))[:, :-1]) / math.sqrt(2)
    assert 0 < (conv(x, None)[0] - wanted).square().mean().sqrt() < 0.1


def test_every_tap_has_some_noise_and_random_ones_have_nothing_else() -> None:
    frame = ttr.Frame(conv=4)
    blend, drawn = (
        ShortConv(replace(frame, conv_start=how), SIZES, source()).taps.detach()
        for how in ("blend", "random")
    )
    torch.testing.assert_close(blend - blended(frame, SIZES), 0.1 * drawn)
    assert 0.4 < drawn.abs().max() <= 0.5 and drawn.abs().min() > 0


def test_a_convolution_of_one_token_passes_it_on() -> None:
    conv = ShortConv(ttr.Frame(conv=1), SIZES, source())
    assert (conv.taps - 1).abs().max() <= 0.1


@pytest.mark.parametrize("name", GATED)
def test_an_output_gate_starts_open(name: str) -> None:
    layer = ttr.catalog[name].layer(64, generator=source())
    assert layer.gate is not None
    gate = ACTIVATIONS[layer.frame.output_gate](layer.gate(torch.randn(100, 64))).detach()
    assert float(gate.mean()) == pytest.approx(1, abs=0.15) and 0.005 < gate.std() < 0.2


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_an_output_gate_without_its_bias_is_the_papers(activation: str) -> None:
    frame = ttr.Frame(output_gate=activation)
    ours = ttr.SequenceLayer("Uniform | Linear | Hebbian", frame, 16, generator=source())
    papers = ttr.SequenceLayer(
        "Uniform | Linear | Hebbian", replace(frame, gate_start="random"), 16, generator=source()
    )
    assert ours.gate is not None and papers.gate is not None and papers.gate.bias is None
    with torch.no_grad():
        ours.gate.bias.zero_()
        ours.gate.weight.mul_(10)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(ours(x), papers(x))


def test_a_lone_decay_is_the_longest_of_retnets_eight_heads() -> None:
    weights = ttr.Spec.parse("Decay | Linear | Hebbian").weights
    (eight, two, one) = (weights.parameters(4, 4, heads)["log_decay"].exp() for heads in (8, 2, 1))
    assert eight.tolist() == pytest.approx([1 - 2 ** (-5 - h) for h in range(8)])
    assert two.tolist() == eight[:2].tolist() and one.tolist() == eight[-1:].tolist()


@pytest.mark.parametrize("heads", [1, 2])
def test_the_further_steps_of_a_token_start_near_nothing(heads: int) -> None:
    layer = ttr.SequenceLayer("Uniform | Linear | MultiStep(n=3)", "standard", 16, heads)
    stream, _ = layer.regression(torch.zeros(1, 1, 16))
    for head in stream.signals["step"][0, :, 0].tolist():
        assert head == pytest.approx([0.5, 0.02, 0.02])


# ---- steps by the curvature of a pair's loss


STEPPED = ("SGD", "Momentum", "MultiStep(n=3)", "ClosedLoop", "GradientFlow", "Implicit")
LONG = ("NormLinear", "MLP", "Linear(map=elu1)", "Linear(map=taylor2)", "Kernel(kernel=polynomial)")


@torch.no_grad()
def first_step(spec: str) -> float:
    """The share of its error that the first pair of a fresh layer takes away, to first order."""
    layer = ttr.SequenceLayer(spec, "standard", 64, generator=source()).double()
    stream, params = layer.regression(torch.zeros(64, 1, 64, dtype=torch.float64))
    draw = torch.Generator().manual_seed(1)
    k, v = torch.randn(2, 64, 1, 1, 64, dtype=torch.float64, generator=draw)
    k = F.normalize(k, dim=-1)

    def answers(share: float) -> torch.Tensor:
        signals = {n: s * share if n == "step" else s for n, s in stream.signals.items()}
        return ttr.solve(layer.spec, ttr.Stream(k, k, v, signals), params)

    before, little = answers(1e-12), 1e-5
    moved, error = (answers(little) - before) / little, v - before
    return float((moved * error).sum() / error.square().sum())


def is_layer(text: str) -> bool:
    """Whether three ingredients make a layer that trains as it is."""
    spec = ttr.Spec.parse(text)
    return not spec.objections() and not ttr.caution(spec)


@pytest.mark.parametrize(
    ("function", "optimizer"),
    [(f, o) for f in LONG for o in STEPPED if is_layer(f"Uniform | {f} | {o}")],
)
def test_a_fresh_step_takes_away_as_much_of_an_error_as_on_unit_keys(
    function: str, optimizer: str
) -> None:
    unit = first_step(f"Uniform | Linear | {optimizer}")
    found = first_step(f"Uniform | {function} | {optimizer}")
    assert 0.4 * unit < found < 1.1 * unit  # behind a norm half of an error is out of reach


@pytest.mark.parametrize("optimizer", STEPPED)
def test_on_unit_keys_a_step_starts_where_it_is_written(optimizer: str) -> None:
    layer = ttr.SequenceLayer(f"Uniform | Linear | {optimizer}", "standard", 16)
    step = layer.regression(torch.zeros(1, 1, 16))[0].signals["step"][0, 0, 0, 0].detach()
    (written,) = (signal.init for signal in layer.spec.signals if signal.name == "step")
    assert float(step) == pytest.approx(written, rel=1e-6)


def test_gates_that_erase_and_write_start_by_the_curvature_too() -> None:
    layer = ttr.SequenceLayer("Uniform | Linear(map=elu1) | EraseWrite", "standard", 64)
    signals = layer.regression(torch.zeros(1, 1, 64))[0].signals
    for name in ("erase", "write"):
        assert 0 < float(signals[name].detach().max()) < 0.005


def test_elu_starts_sharper_under_steps_than_in_a_sum() -> None:
    """A step for one key must not undo what is known of another."""
    overlap = {}
    for optimizer in ("Hebbian", "SGD"):
        layer = ttr.SequenceLayer(f"Uniform | Linear(map=elu1) | {optimizer}", "standard", 64)
        keys = F.normalize(torch.randn(200, 64, generator=source()), dim=-1)[None]
        model, own = layer.spec.function, {"log_scale": layer.params["function.log_scale"].detach()}
        phi = F.normalize(model.features(keys, own)[0], dim=-1)
        overlap[optimizer] = float(((phi @ phi.T).sum() - 200) / (200 * 199))
    assert overlap["Hebbian"] == pytest.approx(0.69, abs=0.02)
    assert overlap["SGD"] == pytest.approx(0.41, abs=0.02)


def test_what_starts_by_the_curvature_is_a_run_of_its_own_and_nothing_else_is() -> None:
    """No entry of the catalog computes otherwise than before there was this start."""
    own = [name for name, entry in ttr.catalog.items() if entry.spec.starts_by_steps]
    assert own == []
    for text in ("Uniform | MLP | SGD", "Gate | Linear(map=elu1) | NLMS"):
        assert ttr.Spec.parse(text).starts_by_steps
    assert not ttr.Spec.parse("Gate | Linear(map=elu1) | Hebbian").starts_by_steps
    run = Experiment(ttr.task("mqar"), ttr.ModelConfig(layers=("Uniform | MLP | SGD",)))
    assert run.config()["revisions"]["start/steps"] == 2


# ---- what has no shift cannot bind


@torch.no_grad()
def seen(name: str, frame: ttr.Frame) -> float:
    """How much the ratio of two weights changes with the token before the earlier of them."""
    layer = ttr.SequenceLayer(ttr.catalog[name].spec, frame, 16, generator=source()).double()
    x = torch.randn(1, 9, 16, dtype=torch.float64)
    other = x.clone()
    other[:, 3] = torch.randn(16)
    shares = []
    for z in (x, other):
        stream, _ = layer.regression(z)
        row = ttr.attention_map(layer.spec, stream)[0, 0, -1]
        shares.append(row[4] / row[5])
    return float((shares[0] / shares[1] - 1).abs())


@pytest.mark.parametrize("name", SHIFTED)
def test_without_a_shift_no_weight_sees_the_token_before(name: str) -> None:
    """So one layer cannot know which key a value stood behind: 1 / pairs is all it can reach."""
    entry = ttr.catalog[name]
    assert entry.original is not None and entry.original.conv == 0
    assert seen(name, entry.original) < 1e-6
    assert seen(name, entry.frame) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIFTED)
def test_without_a_shift_one_layer_only_copies(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many steps as teach it all of four pairs with the shift."""
    entry, pairs = ttr.catalog[name], 4
    task = ttr.task("mqar", {"pairs": pairs, "seq_len": 32, "vocab_size": 64})
    config = ttr.TrainConfig(steps=150, target=None, lr=0.01)

    def learned(frame: ttr.Frame | None) -> float:
        monkeypatch.setattr(
            "ttr_core.layers.model.regression", lambda layer, named: (entry.spec, frame)
        )
        *_, end = ttr.train(task, ttr.ModelConfig(layers=(name,), d_model=32), config)
        accuracy: float = end.metrics["accuracy"]
        return accuracy

    asked, chance = 4 * config.eval_examples * pairs, 1 / pairs
    most = chance + 3 * math.sqrt(chance * (1 - chance) / asked)
    assert 0 < learned(entry.original) <= most
    assert learned(entry.frame) > 0.95


@pytest.mark.parametrize("name", list(ttr.catalog))
def test_starts_that_are_not_the_papers_are_told(name: str) -> None:
    entry = ttr.catalog[name]
    assert ("conv_start=random" in entry.deviations) == bool(entry.frame.conv)
    assert ("gate_start=random" in entry.deviations) == (name in GATED)
    assert ("original has" in entry.deviations) == (name in SHIFTED)
    own = replace(entry.frame, conv_start="random", gate_start="random")
    assert own.starts == ()
