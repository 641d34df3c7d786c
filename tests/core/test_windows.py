"""Forgetting least squares, and weights that end some tokens back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import stream
from test_properties import close
from test_steps import equals_the_definition

import ttr_core as ttr
from ttr_core.limits import MAX_BYTES, Shape
from ttr_core.solvers import chunked_rls, sliding
from ttr_core.space.functions import Linear
from ttr_core.space.optimizers.rls import RLS
from ttr_core.space.weights import RunningWeights

# ---- recursive least squares


@pytest.mark.parametrize("weights", ["Decay(gamma=0.8)", "Gate", "Gate * Importance"])
def test_forgetting_least_squares_equal_the_definition(weights: str) -> None:
    equals_the_definition(
        ttr.Spec.parse(f"{weights} | Linear | RLS(ridge=0.3, floor=0.05)"), "chunked_rls"
    )


@pytest.mark.parametrize("size", [2, 6])
def test_the_size_of_a_chunk_changes_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ttr.Spec.parse("Gate * Importance | Linear | RLS")
    x = stream(spec, 40)
    whole = ttr.solve(spec, x)
    monkeypatch.setattr(chunked_rls, "CHUNK", size)
    close(ttr.solve(spec, x), whole, 1e-9)


def by_hand(spec: ttr.Spec, x: ttr.Stream) -> torch.Tensor:
    """Sherman-Morrison token by token, the textbook's, with the two guards as further steps."""
    rule = spec.optimizer
    assert isinstance(rule, RLS)
    k, v, q = (z[0, 0] for z in (x.k, x.v, x.q))
    width = k.shape[1]
    decay = x.signals["decay"][0, 0].exp().clamp_min(rule.floor ** (1 / width))
    p = torch.eye(width, dtype=k.dtype) / rule.ridge
    s, share, rows = torch.zeros(width, v.shape[1], dtype=k.dtype), torch.ones(width), []
    for t in range(len(k)):
        p, share = p / decay[t], share * decay[t]
        axis = torch.eye(width, dtype=k.dtype)[t % width]
        lost = rule.ridge * (1 - share[t % width])
        share = share.index_fill(0, torch.tensor(t % width), 1.0)
        for key, value, weight in ((axis, 0 * v[t], lost), (k[t], v[t], 1.0)):
            gain = weight * p @ key / (1 + weight * key @ p @ key)
            s = s + torch.outer(gain, value - key @ s)
            p = p - torch.outer(gain, key @ p)
        rows.append(q[t] @ s)
    return torch.stack(rows)[None, None]


def test_it_is_the_textbook_recursion_with_an_axis_restored_at_each_token() -> None:
    spec = ttr.Spec.parse("Gate | Linear | RLS(ridge=0.5)")
    x = stream(spec, 30, heads=1)
    close(ttr.solve(spec, x), by_hand(spec, x), 1e-9)


def test_without_decay_it_is_the_exact_fit() -> None:
    for weights in ("Uniform", "Importance"):
        running, exact = (ttr.Spec.parse(f"{weights} | Linear | {o}") for o in ("RLS", "Exact"))
        x = stream(running, 150)
        close(ttr.solve(running, x), ttr.solve(exact, x), 1e-9)
        assert str(exact) in ttr.describe(running).same_as
    gate, plain = (ttr.Spec.parse(f"{w} | Linear | RLS") for w in ("Gate", "Uniform"))
    x = stream(gate, 30)
    decay = torch.zeros_like(x.signals["decay"]).requires_grad_()
    y = ttr.solve(gate, replace(x, signals={"decay": decay}))
    close(y, ttr.solve(plain, replace(x, signals={})), 1e-9)
    y.sum().backward()
    assert decay.grad is not None and decay.grad.isfinite().all() and decay.grad.any()


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_no_axis_winds_up(decay: float) -> None:
    """All keys in one plane for 3000 tokens; the textbook's inverse leaves float32 after 842."""
    spec = ttr.Spec.parse(f"Decay(gamma={decay}) | Linear | RLS")
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 1, 3000, 8, generator=generator) for _ in range(3))
    x = ttr.Stream(q, k * torch.tensor([1.0] * 2 + [0.0] * 6), v, {})
    wide = ttr.solve(spec, x.map(lambda z: z.double()))
    single, state = ttr.prefill(spec, x)
    assert (single - wide).norm() <= 1e-4 * wide.norm()
    smallest = torch.linalg.eigvalsh(state["A"].double()).min()
    assert float(smallest) >= spec.optimizer.floor * spec.optimizer.ridge


def test_the_first_key_after_a_long_silence_is_learned_with_the_whole_ridge() -> None:
    """Without the guard its gain would grow beyond any bound with the length of the silence."""
    spec = ttr.Spec.parse("Decay(gamma=0.9) | Linear | RLS(ridge=1.0)")
    k = torch.zeros(1, 1, 500, 4, dtype=torch.float64)
    k[..., 0], k[:, :, -1] = 1.0, torch.eye(4)[1].double()
    v = torch.ones(1, 1, 500, 1, dtype=torch.float64)
    y = ttr.solve(spec, ttr.Stream(k, k, v, {}))
    assert 0.5 <= float(y[0, 0, -1, 0]) <= 1 / (1 + 0.9**4)


# ---- windows over running memories

SLIDING = [
    ttr.Spec.parse(text)
    for text in (
        "Window(size=3) | Linear | SGD",
        "Window(size=3) * Gate * Importance | Linear | Momentum",
        "Window(size=4) * ChannelGate | Linear | MultiStep",
        "Window(size=3) * LearnedDecay | Linear(map=elu1) | NLMS",
        "Window(size=2) * Gate | Linear | RLS",
        "Window(size=3) | Kernel | SGD",
        "Window(size=3) * Gate | MLP | ChunkMomentum(size=2, rate=0.1)",
        "Window(size=5) * Gate | Linear | Hebbian | readout=Bonus",
        "Window(size=1) | NormLinear | SGD | loss=Huber",
    )
]


@pytest.mark.parametrize("spec", SLIDING, ids=str)
def test_a_window_is_a_pass_over_its_pairs_alone(spec: ttr.Spec) -> None:
    """By the definition of the spec without a window, on the newest pairs and nothing else."""
    assert isinstance(spec.weights, RunningWeights) and spec.weights.reach
    assert ttr.resolve(spec).name == "sliding" and ttr.cell(spec).verdict == "layer"
    x = stream(spec, 9)
    params = {n: p.detach() for n, p in spec.parameters(3, x.value_dim, 2).items()}
    alone, rows = replace(spec, weights=spec.weights.inside), []
    for t in range(1, 10):
        y = ttr.solve(alone, x.tokens(max(0, t - spec.weights.reach), t), params, "reference")
        rows.append(y[:, :, -1:])
    for solver in ("sliding", "reference"):
        close(ttr.solve(spec, x, params, solver), torch.cat(rows, 2), 1e-9)


@pytest.mark.parametrize("spec", SLIDING, ids=str)
@pytest.mark.parametrize("cut", [1, 2, 6])
def test_a_window_goes_on_from_what_it_keeps(spec: ttr.Spec, cut: int) -> None:
    x = stream(spec, 9)
    params = {n: p.detach() for n, p in spec.parameters(3, x.value_dim, 2).items()}
    whole = ttr.solve(spec, x, params)
    y, state = ttr.prefill(spec, x.tokens(0, cut), params)
    rows = [y]
    for t in range(cut, 9):
        y, state = ttr.prefill(spec, x.tokens(t, t + 1), params, state)
        rows.append(y)
    close(torch.cat(rows, 2), whole, 1e-9)
    assert state["k"].shape[2] == min(9, spec.weights.reach - 1)


def test_windows_are_the_same_however_many_are_solved_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = SLIDING[1]
    x = stream(spec, 40)
    whole = ttr.solve(spec, x)
    monkeypatch.setattr(sliding, "AT_ONCE", 7)
    close(ttr.solve(spec, x), whole, 1e-9)


def test_recursive_least_squares_in_a_window_are_the_exact_fit_to_it() -> None:
    running, exact = (ttr.Spec.parse(f"Window(size=5) | Linear | {o}") for o in ("RLS", "Exact"))
    x = stream(running, 30)
    close(ttr.solve(running, x), ttr.solve(exact, x), 1e-9)
    assert ttr.cell("Window | Linear | RLS").same_as == ("Window | Linear | Exact",)


def test_coincidences_need_more_pairs_than_any_listed_model_has_features() -> None:
    """A fit through all of few pairs is the same whatever they weigh."""
    text = "{} | Quadratic | Exact(ridge=0.0)"
    assert text.format("ExpKernel") not in ttr.cell(text.format("Uniform")).same_as


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("ChannelGate | Linear | RLS", "one number per token"),
        ("Gate | Constant | RLS", "take Exact"),
        ("Gate | Affine | RLS", "centered at each query"),
        ("ExpKernel | Linear | RLS", "memoryless"),
        ("Window * ChannelGate | Linear | RLS", "one number per token"),
        ("Window * ExpKernel | Linear | Momentum", "no running state serves all queries"),
        ("Cosine | Linear | Momentum", "another factor for each"),
        ("Gate | Linear | RLS(ridge=0)", "at least|from 1e-8"),
    ],
)
def test_what_it_cannot_do_is_said(text: str, match: str) -> None:
    with pytest.raises(ttr.RequestError, match=match):
        ttr.resolve(ttr.Spec.parse(text))


def test_the_state_is_what_it_says() -> None:
    spec = ttr.Spec.parse("Gate | Linear | RLS")
    _, state = ttr.prefill(spec, stream(spec, 9))
    assert ttr.state_size(spec, 3, 2, 9) == sum(z[0, 0].numel() for z in state.values())
    assert ttr.describe(spec).state_size == "2 d^2 / H + d + H"
    assert ttr.Spec.parse("Gate | Linear | RLS").function == Linear()


# ---- windows

WINDOWED = (
    "Window(size=3) | Constant | Exact",
    "Window(size=3) * ExpKernel | Constant | Exact",
    "Window(size=3) * Gate | Linear | OneStep",
    "Window(size=3) * Importance | Linear | Exact",
    "Window(size=3) * ExpKernel | Affine | Exact",
    "Window(size=1) | Linear | Exact",
)


@pytest.mark.parametrize("text", WINDOWED)
def test_a_window_equals_the_definition(text: str) -> None:
    spec = ttr.Spec.parse(text)
    equals_the_definition(spec, ttr.resolve(spec).name)


@pytest.mark.parametrize("text", WINDOWED)
def test_what_left_the_window_is_neither_read_nor_kept(text: str) -> None:
    spec = ttr.Spec.parse(text)
    x, other = stream(spec, 20), stream(spec, 20, seed=1)
    size = spec.weights.reach
    assert size is not None
    late = ttr.solve(spec, x.tokens(9, 20))[:, :, size - 1 :]
    close(ttr.solve(spec, x)[:, :, 8 + size :], late)
    assert not torch.allclose(ttr.solve(spec, x), ttr.solve(spec, other))
    y, state = ttr.prefill(spec, x.tokens(0, 11))
    assert state["k"].shape[2] == size - 1
    held = ttr.resolve(spec).state_size(spec, Shape(1, 1, 11, 3, 2, spec.feature_size(3)))
    assert ttr.state_size(spec, 3, 2, 11) <= held == sum(z[0, 0].numel() for z in state.values())
    rest, state = ttr.prefill(spec, x.tokens(11, 20), state=state)
    close(torch.cat([y, rest], 2), ttr.solve(spec, x))


def test_a_window_as_long_as_the_sequence_changes_nothing() -> None:
    narrow, plain = (
        ttr.Spec.parse(f"{w} | Constant | Exact") for w in ("Window * ExpKernel", "ExpKernel")
    )
    x = stream(narrow, 16)
    close(ttr.solve(narrow, x), ttr.solve(plain, x))


def test_the_shortest_of_two_windows_counts() -> None:
    both, one = (
        ttr.Spec.parse(f"{w} | Constant | Exact")
        for w in ("Window(size=3) * Window(size=5)", "Window(size=3)")
    )
    x = stream(both, 12)
    assert both.weights.reach == 3
    close(ttr.solve(both, x), ttr.solve(one, x))
    assert ttr.describe(both).forgets == "Pairs are gone once 3 tokens have passed."


HEAVY = "Window(size=4) | MLP | MirrorDescent"


def test_windows_are_held_side_by_side_only_as_far_as_memory_is_agreed_on() -> None:
    """A network's memory is large: the windows of 128 tokens alone once took tens of GiB."""
    spec = ttr.Spec.parse("Window | MLP | MirrorDescent")
    sizes = (Shape(batch, 1, 512, 64, 64, 64) for batch in (1, 32))
    held = [ttr.resolve(spec).estimate(spec, size).bytes for size in sizes]
    assert max(held) <= sliding.MOST_HELD
    refused = ttr.resolve(spec).estimate(spec, Shape(3000, 1, 512, 64, 64, 64)).bytes
    assert refused > MAX_BYTES  # one window of each sequence is the least


def test_how_many_windows_lie_side_by_side_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ttr.Spec.parse(HEAVY)
    x = stream(spec, 9, heads=1)
    runs: list[int] = []
    inner = sliding._windows
    monkeypatch.setattr(
        sliding, "_windows", lambda *given: (found := inner(*given), runs.append(len(found)))[0]
    )
    whole = ttr.solve(spec, x)
    monkeypatch.setattr(sliding, "MOST_HELD", 1)
    close(ttr.solve(spec, x), whole, 1e-10)
    assert runs == [1, 6]
