"""What holds a layer back is what its entry names: without it, what surrounds it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import ttr_core as ttr
from ttr_core.lab import MQAR, Finished, TrainConfig, train
from ttr_core.layers.frame import FRAMES
from ttr_core.space.maps.random import DiJiang
from ttr_core.tools.learning import ENOUGH

TASK = MQAR(pairs=8, seq_len=64, vocab_size=256)
LARGE = MQAR(pairs=32, seq_len=128, vocab_size=256)
RATE = 0.01
WITH_A_KEY = {
    "lru": (
        "LearnedDecay | Linear | Hebbian",
        {"key_dim": 64, "qk_heads": 1, "gates": "dense", "conv": 2, "conv_on": ("k",)},
    ),
    "orchid": ("LongConvolution | Linear | OneStep", {}),
}
"""Layers without a content key -> the spec, and what of their frame, that gives them one."""

LIMITED = [name for name, entry in ttr.catalog.items() if entry.limit]
ELSEWHERE = {"dijiang", "sliding-window-attention"}


def learned(
    name: str,
    spec: ttr.Spec,
    frame: ttr.Frame,
    patch: pytest.MonkeyPatch,
    rate: float = RATE,
    task: MQAR = TASK,
    steps: int = 400,
) -> float:
    patch.setattr("ttr_core.layers.model.regression", lambda layer, frame_name: (spec, frame))
    config = TrainConfig(lr=rate, steps=steps, target=0.99, eval_examples=64)
    *_, last = train(task, ttr.ModelConfig(layers=(name,), d_model=64), config)
    assert isinstance(last, Finished)
    return last.metrics["accuracy"] or 0.0


@pytest.mark.learning
@pytest.mark.parametrize("name", sorted(WITH_A_KEY))
def test_it_learns_with_a_content_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights, heads and skip are as published; a convolution without a key is not enough."""
    entry, (text, over) = ttr.catalog[name], WITH_A_KEY[name]
    assert learned(name, ttr.Spec.parse(text), replace(entry.frame, **over), monkeypatch) >= ENOUGH
    shifted = replace(entry.frame, conv=2, conv_on=("v",))
    found = learned(name, entry.spec, shifted, monkeypatch)
    assert found < 2 / TASK.pairs


@pytest.mark.learning
def test_dijiang_learns_more_without_the_sizes_of_its_random_scaling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry, drawn = ttr.catalog["dijiang"], DiJiang.parameters
    found = {}
    for sizes in (True, False):

        def parameters(
            self: DiJiang, key_dim: int, value_dim: int, heads: int, sizes: bool = sizes
        ) -> dict[str, torch.Tensor]:
            (own,) = drawn(self, key_dim, value_dim, heads).values()
            return {"diagonal": own if sizes else own.sign()}

        monkeypatch.setattr(DiJiang, "parameters", parameters)
        found[sizes] = learned("dijiang", entry.spec, entry.frame, monkeypatch, 0.003)
    assert found[True] < 0.83 and found[False] > 0.88


@pytest.mark.learning
def test_a_window_holds_back_what_lies_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers what is near enough, guesses the rest, and answers all with a window of all."""
    found, asked = {}, LARGE.held_out("test", 512)
    for size in (64, LARGE.seq_len):
        spec = ttr.Spec.parse(f"ExpKernel * Window(size={size}) | Constant | Exact")
        found[size] = learned(
            "sliding-window-attention", spec, FRAMES["standard"], monkeypatch, 0.03, LARGE, 100
        )
    near = (asked.groups["gap"] <= 64).double().mean().item()
    assert found[LARGE.seq_len] >= ENOUGH
    assert found[64] == pytest.approx(near + (1 - near) / (LARGE.vocab_size / 2), abs=0.02)


@pytest.mark.learning
def test_stick_breaking_learns_from_smaller_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for offset in (0.0, 4.0):
        spec = ttr.Spec.parse(f"StickBreaking(offset={offset}) | Constant | OneStep")
        found[offset] = learned(
            "stick-breaking", spec, FRAMES["standard"], monkeypatch, 0.01, LARGE, 200
        )
    assert ttr.catalog["stick-breaking"].spec == spec
    assert found[0.0] < 0.5 and found[4.0] >= ENOUGH


def test_every_limit_has_its_ablation() -> None:
    assert sorted(LIMITED) == sorted({*WITH_A_KEY, *ELSEWHERE})
