"""The delta family: where its members coincide, and what steps to 2 can do."""

from __future__ import annotations

from dataclasses import replace

import torch
from streams import stream
from test_properties import close

import ttr_core as ttr
from ttr_core.layers.layer import SequenceLayer


def given(spec: str, **signals: torch.Tensor) -> torch.Tensor:
    """What a spec answers on a stream of 70 tokens with some signals in place of its own."""
    x = stream(ttr.Spec.parse(spec), 70, key_dim=4, value_dim=4)
    drawn = {n: s for n, s in x.signals.items() if n not in signals}
    return ttr.solve(spec, replace(x, signals={**drawn, **signals}))


def drawn(seed: int, width: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 2, 70, width, generator=generator, dtype=torch.float64)


def test_a_decay_that_all_channels_share_is_gated_deltanets() -> None:
    step, decay = drawn(1), drawn(2).log()
    wide = given("ChannelGate | Linear | SGD", step=step, decay=decay.expand(-1, -1, -1, 4))
    close(wide, given("Gate | Linear | SGD", step=step, decay=decay))


def test_a_step_of_two_tracks_parity_and_one_of_one_forgets_it() -> None:
    """One value is written, and every bit of 1 reflects it; a step of 1 replaces it by 0."""
    bits = torch.tensor([0, 1, 1, 0, 1, 0, 1, 1, 1, 0], dtype=torch.float64)
    one = torch.ones(1, 1, 11, 1, dtype=torch.float64)
    v = torch.zeros_like(one)
    v[:, :, 0] = 1.0
    spec = ttr.Spec.parse("Uniform | Linear | SGD(link=twice_sigmoid)")
    for largest in (2.0, 1.0):
        step = torch.cat([one[:, :, :1], largest * bits.view(1, 1, -1, 1)], 2)
        y = ttr.solve(spec, ttr.Stream(one, one, v, {"step": step}))[0, 0, 1:, 0]
        close(y, (1 - largest * bits).cumprod(0))


def test_the_link_bounds_the_steps_of_a_layer() -> None:
    for link, most in (("sigmoid", 1.0), ("twice_sigmoid", 2.0)):
        spec = f"Uniform | Linear | SGD(link={link})"
        layer = SequenceLayer(spec, ttr.FRAMES["standard"], d_model=8)
        with torch.no_grad():
            layer.signals["step"].up.bias.fill_(20.0)
        steps = layer.regression(torch.randn(1, 5, 8))[0].signals["step"]
        close(steps, torch.full_like(steps, most), 1e-5)
