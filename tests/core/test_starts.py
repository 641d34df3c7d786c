"""Where a fresh layer starts: short convolution, output gate, decays, further steps."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import ttr_core as ttr
from ttr_core.layers.conv import NOISE, ShortConv, blended
from ttr_core.layers.layer import ACTIVATIONS

SIZES = (4, 4, 8)
WHERE = [("q", "k", "v"), ("q", "k"), ("k",), ("k", "v"), ("v",)]
GATED = [name for name, entry in ttr.catalog.items() if entry.frame.output_gate != "none"]


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
        assert 0 < apart < NOISE if name in on else apart == 0


def test_every_tap_has_some_noise_and_random_ones_have_nothing_else() -> None:
    frame = ttr.Frame(conv=4)
    blend, drawn = (
        ShortConv(replace(frame, conv_start=how), SIZES, source()).taps.detach()
        for how in ("blend", "random")
    )
    torch.testing.assert_close(blend - blended(4, SIZES), NOISE * drawn)
    assert 0.4 < drawn.abs().max() <= 0.5 and drawn.abs().min() > 0


def test_a_convolution_of_one_token_passes_it_on() -> None:
    conv = ShortConv(ttr.Frame(conv=1), SIZES, source())
    assert (conv.taps - 1).abs().max() <= NOISE


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
