"""The softmax side and what it borders on: where its members coincide, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from papers import RECURRENCES
from streams import stream
from test_properties import close

import ttr_core as ttr


def test_a_bias_of_nothing_and_a_window_of_all_are_softmax_attention() -> None:
    softmax = ttr.catalog["softmax-attention"].spec
    x = stream(softmax, 20)
    for weights in ("Decay(gamma=1.0) * ExpKernel", "ExpKernel * Window(size=20)"):
        close(ttr.solve(f"{weights} | Constant | Exact", x), ttr.solve(softmax, x))


def test_the_slopes_of_a_bias_are_those_of_the_paper() -> None:
    """A geometric sequence from 2^(-8 / n) on, of that ratio (Press et al. 2021, Sec. 3)."""
    weights = ttr.catalog["alibi"].spec.weights
    slopes = -weights.parameters(4, 4, 8)["0.log_decay"]
    close(slopes, 2.0 ** -torch.arange(1.0, 9.0, dtype=torch.float64))


def test_what_a_window_has_passed_is_gone() -> None:
    spec = ttr.catalog["sliding-window-attention"].spec
    x = stream(spec, 70)
    later = replace(x, v=torch.cat([0 * x.v[:, :, :1], x.v[:, :, 1:]], 2))
    changed = (ttr.solve(spec, x) - ttr.solve(spec, later)).abs().amax((0, 1, 3)) > 0
    assert changed.tolist() == [t < 64 for t in range(70)]


def test_a_power_of_even_degree_is_retention_and_one_of_odd_degree_is_refused() -> None:
    spec = "Gate | Linear(map=polynomial(degree={})) | Hebbian | readout=Normalized"
    x = stream(ttr.Spec.parse(spec.format(4)), 20, heads=1)
    q, k, v, decay = (z[0, 0] for z in (x.q, x.k, x.v, x.signals["decay"]))
    squares = torch.stack([torch.outer(z, z).flatten() for z in (*q, *k)]).split(len(q))
    wanted = RECURRENCES["power-retention"](*squares, v, decay)
    close(ttr.solve(spec.format(4), x)[0, 0], wanted)
    with pytest.raises(ttr.IncompatibleSpec, match=r"crosses zero: to an odd power, 3, .* even"):
        ttr.resolve(spec.format(3))
    ttr.resolve(spec.format("3").replace("Normalized", "Normalized(floor=abs1)"))


def test_a_probe_that_is_solved_for_is_local_linear_attention() -> None:
    local, probed = (
        ttr.Spec.parse(t)
        for t in ("ExpKernel | Affine | Exact(ridge=0.5)", "Probed | Constant | OneStep")
    )
    x = stream(local, 20)
    wanted, rows = ttr.solve(local, x), []
    for t in range(1, 21):
        k, q = x.k[:, :, :t], x.q[:, :, t - 1 : t]
        raw = torch.exp((q @ k.mT - 1) / 3**0.5)
        p = raw / raw.sum(-1, keepdim=True)
        mean = p @ k
        spread = (k - mean).mT @ (p.mT * (k - mean))
        ridge = 0.5 / raw.sum(-1, keepdim=True) * torch.eye(3, dtype=k.dtype)
        rows.append(-torch.linalg.solve(spread + ridge, (q - mean).mT).mT)
    close(ttr.solve(probed, replace(x, signals={"probe": torch.cat(rows, 2)})), wanted)


def test_a_probe_of_nothing_and_no_turns_are_softmax_attention() -> None:
    softmax = ttr.catalog["softmax-attention"].spec
    for name, nothing in (("parallax", "probe"), ("path-attention", "turn")):
        x = stream(ttr.catalog[name].spec, 20)
        still = x.signals | {nothing: torch.zeros_like(x.signals[nothing])}
        wanted = ttr.solve(softmax, replace(x, signals={}))
        close(ttr.solve(ttr.catalog[name].spec, replace(x, signals=still)), wanted)


def test_a_path_with_a_gate_is_softmax_attention_with_one() -> None:
    path, fox = (
        ttr.Spec.parse(f"Gate * {w} | Constant | Exact") for w in ("Reflected", "ExpKernel")
    )
    x = stream(path, 20)
    signals = x.signals | {"turn": torch.zeros_like(x.signals["turn"])}
    wanted = ttr.solve(fox, replace(x, signals={"decay": signals["decay"]}))
    close(ttr.solve(path, replace(x, signals=signals)), wanted)


def test_reflections_along_one_direction_count_parity() -> None:
    """Two turns by 2 along the key leave it; one makes its opposite of it."""
    spec = ttr.Spec.parse("Reflected(scale=1.0) | Constant | Exact")
    one = torch.ones(1, 1, 3, 1, dtype=torch.float64)
    x = ttr.Stream(one, one, one, {"turn_key": one, "turn": 2 * one})
    gamma = spec.weights.log_matrix(x, {})[0, 0, 2, :, 0]
    close(gamma, torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))


def test_a_rest_of_a_stick_is_what_no_pair_took() -> None:
    spec = ttr.catalog["stick-breaking"].spec
    x = stream(spec, 12)
    gamma = ttr.attention_map(spec, x)
    rest = torch.sigmoid(4 - (x.q @ x.k.mT) / 3**0.5)
    left = [rest[:, :, t, :t].prod(-1) for t in range(12)]
    close(1 - gamma.sum(-1), torch.stack(left, -1))


def test_shares_of_a_stick_start_at_a_half_or_where_their_offset_says() -> None:
    for written, share in (
        ("", 0.5),
        ("(offset=0.0)", 0.5),
        ("(offset=4.0)", 1 / (1 + 54.598150033)),
    ):
        spec = ttr.Spec.parse(f"StickBreaking{written} | Constant | OneStep")
        x = stream(spec, 12)
        gamma = ttr.attention_map(spec, replace(x, q=0 * x.q))
        back = torch.arange(11.0, -1.0, -1.0, dtype=torch.float64)
        wanted = share * (1 - share) ** (back[:-1] - 1)
        close(gamma[..., 11, :11], wanted.expand_as(gamma[..., 11, :11]))


def test_sparse_weights_sum_to_one_and_one_step_arrives() -> None:
    step, exact = (ttr.Spec.parse(f"Sparsemax | Constant | {o}") for o in ("OneStep", "Exact"))
    x = stream(step, 12)
    x = replace(x, q=4 * x.q)
    gamma = ttr.attention_map(step, x)
    close(gamma.sum(-1), torch.ones_like(gamma[..., 0]))
    assert (gamma.tril() == 0).sum() > gamma[0].triu(1).eq(0).sum() / 2
    close(ttr.solve(step, x), ttr.solve(exact, x, solver="reference"))


def test_the_errors_of_lucid_are_those_of_a_kernel_that_takes_whole_steps() -> None:
    """Read by the kernel, and divided by what it sums to, which is softmax."""
    x = stream(ttr.catalog["lucid"].spec, 20)
    unit = torch.nn.functional.normalize(x.k, dim=-1)
    x = ttr.Stream(x.q, unit, x.v)
    memory = "Uniform | Kernel(kernel=exponential, scale=1.7) | NLMS(eps=1e-12)"
    mass = torch.exp(1.7 * (x.q @ unit.mT - 1)).tril().sum(-1, keepdim=True)
    lucid = "Decorrelated(scale=1.7, spread=1.7) | Constant | OneStep"
    close(ttr.solve(lucid, x), ttr.solve(memory, x) / mass)


def test_a_step_of_nothing_corrects_nothing() -> None:
    spec = ttr.catalog["deltaformer"].spec
    x = stream(spec, 20)
    softmax = ttr.solve(ttr.catalog["softmax-attention"].spec, replace(x, signals={}))
    still = replace(x, signals={"step": torch.zeros_like(x.signals["step"])})
    close(ttr.solve(spec, still), softmax)
    assert (ttr.solve(spec, x) - softmax).abs().max() > 0.01


def test_a_whole_step_on_a_repeated_key_replaces_its_value() -> None:
    """The second pair has what the first left wrong; together they answer with its value."""
    key = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(1, 1, 2, 2)
    v = torch.tensor([[3.0], [5.0]], dtype=torch.float64)[None, None]
    x = ttr.Stream(key, key, v, {"step": torch.ones(1, 1, 2, 1, dtype=torch.float64)})
    y = ttr.solve("SelfCorrected | Constant | OneStep", x)[0, 0, 1]
    close(y, (v[0, 0, 0] + v[0, 0, 1] - v[0, 0, 0]) / 2)


def test_spans_of_one_weight_are_gated_linear_attention() -> None:
    spec = ttr.catalog["log-linear-attention"].spec
    x = stream(spec, 20)
    alike = x.signals | {"levels": torch.ones_like(x.signals["levels"])}
    wanted = ttr.solve("Gate | Linear | Hebbian", replace(x, signals={"decay": x.signals["decay"]}))
    close(ttr.solve(spec, replace(x, signals=alike)), wanted)


def test_what_lies_beyond_the_last_level_counts_as_it() -> None:
    few, many = (f"Fenwick(levels={n}) | Linear | OneStep" for n in (3, 16))
    x = stream(ttr.Spec.parse(many), 20)
    levels = x.signals["levels"]
    capped = torch.cat([levels[..., :3], levels[..., 2:3].expand(-1, -1, -1, 13)], -1)
    close(
        ttr.solve(few, replace(x, signals={"levels": levels[..., :3]})),
        ttr.solve(many, replace(x, signals={"levels": capped})),
    )


def test_a_pair_that_is_written_once_is_gated_linear_attention() -> None:
    """Without the second write; and with both alike, whenever it is asked for later."""
    spec = ttr.Spec.parse("Gate * TwoTaps | Linear | OneStep")
    x = stream(spec, 70)
    decay, own = x.signals["decay"], x.signals["taps"][..., :1]
    once = replace(x, signals={"decay": decay, "taps": torch.cat([own, 0 * own], -1)})
    plain = replace(x, signals={"decay": decay, "importance": own})
    close(ttr.solve(spec, once), ttr.solve("Gate * Importance | Linear | Hebbian", plain))


def test_a_trapezoid_weighs_a_pair_by_its_two_ends() -> None:
    """Constant taps of one half: a pair counts one half when it is new, and one from then on."""
    spec = ttr.Spec.parse("TwoTaps | Linear | OneStep")
    x = stream(spec, 20, heads=1)
    half = replace(x, signals={"taps": torch.full_like(x.signals["taps"], 0.5)})
    gamma = spec.weights.matrix(half, {})[0, 0, ..., 0]
    close(gamma, torch.ones_like(gamma).tril() - 0.5 * torch.eye(20, dtype=gamma.dtype))


@pytest.mark.parametrize("weights", ["Importance * ", "Gate * Importance * ", "ChannelGate * "])
@pytest.mark.parametrize("rest", ["", " | readout=Normalized"])
def test_what_pairs_bring_along_weighs_both_of_their_writes(weights: str, rest: str) -> None:
    spec = f"{weights}TwoTaps | Linear | OneStep{rest}"
    x = stream(ttr.Spec.parse(spec), 9)
    assert ttr.resolve(spec).name == "chunked_taps"
    close(ttr.solve(spec, x), ttr.solve(spec, x, solver="reference"))
