"""Layers and models: shapes, decoding, gradients, saving."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
import torch
from streams import LAYERS, all_pass, by_default, by_weights

import ttr_core as ttr
from ttr_core.lab import Experiment

FRAMES = [name for name, frame in ttr.FRAMES.items() if frame is not None]
CASES = [pytest.param(e.spec, e.frame, id=n) for n, e in ttr.catalog.items()] + [
    pytest.param(e.spec, ttr.FRAMES[f], id=f"{n} {f}", marks=pytest.mark.full_grid if i % 4 else ())
    for i, (n, e) in enumerate(ttr.catalog.items())
    for f in FRAMES
    if (n, f) != ("orchid", "paper")  # a convolution of keys that no one reads
]
"""Every entry in its own frame; of the shared ones the rest of every four is for the full grid."""
every_case = pytest.mark.parametrize(("spec", "frame"), CASES)


def layer(spec: ttr.Spec, frame: ttr.Frame, **sizes: int) -> ttr.SequenceLayer:
    generator = torch.Generator().manual_seed(0)
    return ttr.SequenceLayer(spec, frame, 16, 2, generator=generator, **sizes).double()


@every_case
def test_decoding_equals_the_full_pass(spec: ttr.Spec, frame: ttr.Frame) -> None:
    module, x, state, rows = layer(spec, frame), torch.randn(2, 20, 16).double(), None, []
    for t in range(20):
        y, state = module.step(x[:, t], state)
        rows.append(y)
    torch.testing.assert_close(torch.stack(rows, 1), module(x), rtol=1e-8, atol=1e-8)


@every_case
def test_every_parameter_gets_a_gradient(spec: ttr.Spec, frame: ttr.Frame) -> None:
    module = layer(spec, frame)  # some gates act from the third chunk of 16 on
    module(torch.randn(2, 34, 16).double()).square().sum().backward()
    idle = [n for n, p in module.named_parameters() if p.requires_grad and not p.grad.any()]
    assert not idle


def runs(spec: ttr.Spec) -> None:
    torch.default_generator.manual_seed(0)
    y = layer(spec, ttr.FRAMES["standard"])(torch.randn(1, 9, 16).double())
    assert y.shape == (1, 9, 16) and y.isfinite().all()
    # A norm of 3 is usual; of weights too sharp, or of queries of another size, little is left.
    assert y.norm(dim=-1).min() > 0.3


QUICK = [s for s in LAYERS if not ttr.caution(s)]


@pytest.mark.parametrize("specs", by_weights(filter(by_default, QUICK)))
def test_layers_of_the_grid_run_in_the_standard_frame(specs: list[ttr.Spec]) -> None:
    all_pass(specs, runs)


@pytest.mark.full_grid
@pytest.mark.parametrize("specs", by_weights(s for s in QUICK if not by_default(s)))
def test_every_layer_of_the_grid_runs_in_the_standard_frame(specs: list[ttr.Spec]) -> None:
    all_pass(specs, runs)


@every_case
def test_saved_weights_give_the_same_outputs(spec: ttr.Spec, frame: ttr.Frame) -> None:
    first, second, buffer = layer(spec, frame), layer(spec, frame), io.BytesIO()
    with torch.no_grad():
        for p in first.parameters():
            p.add_(0.1)
    torch.save(first.state_dict(), buffer)
    buffer.seek(0)
    second.load_state_dict(torch.load(buffer, weights_only=True))
    x = torch.randn(1, 9, 16).double()
    torch.testing.assert_close(first(x), second(x))


def test_a_slow_spec_is_refused_as_a_layer() -> None:
    with pytest.raises(ValueError, match="ridge above 0"):
        layer(ttr.Spec.parse("Uniform | Linear | Exact(ridge=0.0)"), ttr.FRAMES["standard"])


def test_the_same_generator_gives_the_same_layer() -> None:
    a, b = (layer(ttr.catalog["gla"].spec, ttr.FRAMES["standard"]) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_fresh_gates_have_half_lives_from_16_tokens_to_the_length() -> None:
    module = layer(ttr.catalog["gla"].spec, ttr.FRAMES["standard"], length=256)
    decay = module.signals["decay"](torch.zeros(1, 1, 16).double())
    half_lives = torch.log(torch.tensor(0.5)).double() / decay.detach().flatten()
    assert half_lives.min() == pytest.approx(16, rel=1e-4)
    assert half_lives.max() == pytest.approx(256, rel=1e-4)


def test_standard_frames_hold_about_as_many_parameters() -> None:
    counts = {
        name: sum(
            p.numel()
            for p in ttr.SequenceLayer(e.spec, ttr.FRAMES["standard"], 64).parameters()
            if p.requires_grad
        )
        for name, e in ttr.catalog.items()
    }
    for name, e in ttr.catalog.items():  # a learned map is part of the regression
        own = e.spec.parameters(64, 64, 1).values()
        counts[name] -= sum(p.numel() for p in own if p.requires_grad)
    # A gate per channel or span, or a second key and value, costs more.
    scalar = {
        n: c
        for n, c in counts.items()
        if all(s.width == "scalar" for s in ttr.catalog[n].spec.signals)
    }
    assert max(scalar.values()) <= 1.05 * min(scalar.values()), counts


@pytest.mark.parametrize("depth", [1, 3])
def test_a_hybrid_model_decodes_as_it_reads(depth: int) -> None:
    config = ttr.ModelConfig(
        ("gated-deltanet", "softmax-attention"), depth=depth, heads=4, kv_heads=2, d_model=16, mlp=2
    )
    model = ttr.SequenceModel(config, 50, torch.Generator().manual_seed(0)).double()
    tokens, states, rows = torch.randint(50, (2, 9)), None, []
    for t in range(9):
        logits, states = model.step(tokens[:, t], states)
        rows.append(logits)
    torch.testing.assert_close(torch.stack(rows, 1), model(tokens), rtol=1e-7, atol=1e-7)
    some = model(tokens, torch.tensor([[3, 5], [0, 8]]))
    torch.testing.assert_close(some[1, 1], model(tokens)[1, 8])
    assert model.state_size(9) > 0 and model.flops_per_token(9) > 0


@pytest.mark.parametrize("frame", ["standard", "paper", "published"])
def test_the_size_of_a_key_sets_that_of_a_memory(frame: str) -> None:
    config = ttr.ModelConfig(("deltanet",), d_model=16, heads=2, frame=frame, key_dim=3)
    model = ttr.SequenceModel(config, 50, torch.Generator().manual_seed(0))
    assert model.state_size(9) == 2 * ttr.state_size("Uniform | Linear | SGD", 3, 8, 9) == 48
    assert model(torch.zeros(1, 9, dtype=torch.long)).shape == (1, 9, 50)
    usual = dataclasses.replace(config, key_dim=0)
    assert usual.regressions()[0][1].key_dim == ttr.catalog["deltanet"].frame.key_dim == 0


def test_the_size_of_a_key_relabels_no_run_where_it_is_not_set() -> None:
    task = ttr.task("mqar")
    usual, set_ = (
        Experiment(task, ttr.ModelConfig(("deltanet",), key_dim=size)).fingerprint()
        for size in (0, 3)
    )
    assert "key_dim" not in usual["model"] and set_["model"]["key_dim"] == 3


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"layers": ("delta-net",)}, "deltanet"),
        ({"layers": ("ExpKernel | Linear | SGD",)}, "not a layer"),
        ({"heads": 3}, "must divide"),
        ({"d_model": 10**6}, "from 4 to"),
        ({"depth": 0}, "at least|from 1"),
        ({"layers": ()}, "empty"),
    ],
)
def test_a_wrong_model_says_what_to_change(settings: dict, match: str) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        ttr.SequenceModel(ttr.ModelConfig(**settings), 50)


def test_a_huge_model_is_refused_before_it_is_made() -> None:
    with pytest.raises(ttr.LimitExceeded, match="parameters"):
        ttr.SequenceModel(ttr.ModelConfig(d_model=4096, depth=64), 8192)


@pytest.mark.parametrize(
    "size",
    [{"d_model": 0}, {"d_model": -4}, {"d_model": 8.0}, {"d_model": "8"}, {"num_heads": 0},
     {"num_heads": -1}, {"num_heads": True}, {"kv_heads": -2}],
)  # fmt: skip
def test_a_size_that_is_none_is_answered_with_what_it_must_be(size: dict[str, Any]) -> None:
    ((name, _),) = size.items()
    with pytest.raises(ttr.RequestError, match=f"^{name} is .*; it must be a whole number"):
        ttr.SequenceLayer("Uniform | Linear | SGD", "paper", **{"d_model": 8, **size})
