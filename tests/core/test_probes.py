"""Probes: cases that are known in closed form, intervals, and that each asks what it says."""

from __future__ import annotations

import math
import pkgutil
from typing import Any

import pytest
import torch

import ttr_core as ttr
from ttr_core.lab import probes
from ttr_core.lab.probes import PROBES, Measured, Probe
from ttr_core.lab.probes.asking import units
from ttr_core.lab.probes.capacity import Capacity
from ttr_core.lab.probes.holding import Holding
from ttr_core.lab.probes.measured import last_above, resampled
from ttr_core.lab.probes.overwriting import Overwriting
from ttr_core.lab.tasks import generator

APART = ("base", "asking", "measured")
SMALL: dict[str, dict[str, Any]] = {
    name: {"seq_len": 16, "dim": 8, "sequences": 4} for name in PROBES
}


def found(probe: str, spec: str, **settings: Any) -> dict[str, Measured]:
    made = ttr.task(probe, settings)
    assert isinstance(made, Probe)
    rows = made.evaluate(ttr.Spec.parse(spec)).tables["intervals"]
    return {row.pop("metric"): Measured(**row) for row in rows}


def test_a_probe_is_a_file() -> None:
    files = {module.name for module in pkgutil.iter_modules(probes.__path__)} - {*APART}
    assert files == {cls.__module__.rpartition(".")[2] for cls in PROBES.values()}
    assert all(ttr.TASKS[name] is cls for name, cls in PROBES.items())


@pytest.mark.parametrize("name", PROBES)
def test_every_number_has_an_interval_and_comes_again(name: str) -> None:
    spec = "Decay * ExpKernel | Constant | Exact" if name == "sharpness" else "Gate | Linear | SGD"
    first, again = (found(name, spec, **SMALL[name]) for _ in range(2))
    declared = {metric.name for metric in PROBES[name].metrics}
    assert {PROBES[name].main().name} <= set(first) <= declared
    for one in first.values():
        assert one.low <= one.value <= one.high and one.n > 1 and math.isfinite(one.value)
    assert name == "speed" or first == again


# ----- estimates -------------------------------------------------------------------------------


def falling_fit(x: list[float]) -> list[float]:
    """Pools neighbors that rise: the decreasing fit of least squares, by its definition."""
    blocks: list[tuple[float, int]] = []
    for number in x:
        blocks.append((number, 1))
        while len(blocks) > 1 and blocks[-2][0] <= blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return [mean for mean, n in blocks for _ in range(n)]


def test_the_level_is_crossed_where_the_falling_fit_crosses_it() -> None:
    source = torch.Generator().manual_seed(0)
    for _ in range(50):
        means = torch.rand(1, 12, generator=source) * torch.linspace(1.6, 0.4, 12)
        fit = falling_fit(means[0].tolist())
        assert last_above(means, 0.5).item() == sum(y >= 0.5 for y in fit)


def test_an_interval_covers_the_truth_in_nine_of_ten_cases() -> None:
    source = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(200):
        one = resampled(torch.rand(24, generator=source) < 0.6, lambda means: means)
        inside += one.low <= 0.6 <= one.high
    assert 0.88 <= inside / 200 <= 0.99


def test_what_the_sequences_end_before_is_said() -> None:
    every = torch.ones(4, 8)
    one = resampled(every, lambda m: last_above(m, 0.9).double(), 8.0)
    assert (one.value, one.bound) == (8.0, "at least")
    every[:, 4:] = 0
    assert resampled(every, lambda m: last_above(m, 0.9).double(), 8.0).bound == ""


# ----- cases that are known --------------------------------------------------------------------


def test_an_infinitely_sharp_softmax_holds_all() -> None:
    sharp = "ExpKernel(scale=1000.0) | Constant | Exact"
    one = found("capacity", sharp, seq_len=64, sequences=8)
    assert (one["pairs_held"].value, one["pairs_held"].bound) == (64, "at least")
    # all right: 8 bits a pair, over the 2 K numbers that it is kept in
    assert one["bits_per_number"].value == pytest.approx(8 / 32)
    assert one["bits_with_keys"].value == pytest.approx(16 / 32)


def test_linear_attention_holds_what_its_crosstalk_allows() -> None:
    r"""An answer is v + s z, one number z for each entry, with s^2 = (P - 1) / (K V)."""
    source, dim = torch.Generator().manual_seed(0), 32
    values = units((400, 256, dim), source)
    share = []
    for load in range(1, 97):
        s = math.sqrt((load - 1) / dim / dim)
        y = values[:, 0] + s * torch.randn(400, dim, generator=source)
        share.append((torch.einsum("nd,ncd->nc", y, values).argmax(-1) == 0).double().mean())
    expected = int(last_above(torch.stack(share)[None], 0.9))
    one = found("capacity", "Uniform | Linear | Hebbian", dim=dim, seq_len=96)["pairs_held"]
    assert one.value == pytest.approx(expected, rel=0.2)


def test_an_exact_fit_holds_as_many_pairs_as_a_key_has_entries() -> None:
    one = found("capacity", "Uniform | Linear | Exact(ridge=0.0001)", seq_len=32, sequences=8)
    assert 16 <= one["pairs_held"].value <= 32


def test_no_cell_tells_more_bits_than_its_numbers_have() -> None:
    for spec in ("Uniform | Linear | Exact", "Uniform | Linear | SGD", "Uniform | Constant | SGD"):
        one = found("capacity", spec, seq_len=64, sequences=8)["bits_per_number"]
        assert 0 <= one.value <= 32


def test_the_delta_rule_overwrites_and_a_sum_does_not() -> None:
    delta = found("overwriting", "Uniform | Linear | SGD")
    assert delta["overwritten"].low > 0.95 and delta["outdated"].value < 0.01
    # all values of a key count alike, in rounds 2 to 4: 1/2, 1/3, 1/4
    both = found("overwriting", "Uniform | Linear | Hebbian")
    assert both["overwritten"].value == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3, abs=0.1)
    assert both["outdated"].value + both["overwritten"].value > 0.9


def test_the_newest_value_is_the_one_written_last_under_the_key() -> None:
    asked, had = Overwriting(dim=8, seq_len=16).questions(3, generator(0, "test"))
    for b in range(3):
        for t in range(16):
            same = [i for i in range(t + 1) if torch.equal(asked.k[b, i], asked.q[b, t])]
            if t < 4:
                assert asked.labels[b, t] == -1
                continue
            book = [int((asked.book[b] == asked.v[b, i]).all(-1).nonzero()[0, 0]) for i in same]
            assert book[-1] == asked.labels[b, t]
            assert {int(x) for x in had[b, t] if x >= 0} == {*book[:-1]}


def test_a_window_holds_pairs_for_its_length_and_a_sum_for_ever() -> None:
    size, pairs = 24, Holding().pairs
    one = found("holding", f"Window(size={size}) | Linear | Hebbian")["tokens_held"]
    # the oldest pair leaves after size - pairs tokens, a tenth of the pairs a little later
    assert size - pairs <= one.value <= size - pairs + 2
    assert found("holding", "Uniform | Linear | Hebbian")["tokens_held"].bound == "at least"


def test_noise_is_borne_up_to_the_distance_of_the_keys() -> None:
    for spec in ("ExpKernel | Constant | Exact", "Uniform | Linear | Exact"):
        clean, crowded = (
            found("noise", spec, dim=32, seq_len=length)["noise_borne"].value
            for length in (16, 128)
        )
        assert 3 > clean > crowded


def test_more_pairs_need_a_sharper_kernel() -> None:
    few, many = (
        found("sharpness", "ExpKernel | Constant | Exact", seq_len=n)["sharpness_needed"].value
        for n in (8, 128)
    )
    assert 0.25 <= few < many < 64


@pytest.mark.parametrize(
    ("spec", "low", "size", "turn"),
    [
        ("Decay(gamma=0.9) | Linear | Hebbian", 0.9, 0.9, 0),
        ("Decay(gamma=0.9) | Linear | Exact", 0.9, 0.9, 0),
        ("Uniform | Linear | Hebbian", 1, 1, 0),
        ("Uniform | Linear | SGD", 0, 1, 0),
        ("Uniform | Linear | SGD(link=twice_sigmoid)", -1, 1, 0),  # a reflection
        ("Gate | Linear | SGD", 0, 1, 0),
        ("Uniform | Linear | Implicit", None, 1, 0),
    ],
)
def test_eigenvalues_are_those_of_the_transition(
    spec: str, low: float | None, size: float, turn: float
) -> None:
    one = found("spectrum", spec)
    if low is not None:
        assert one["eigenvalue_low"].value == pytest.approx(low, abs=1e-6)
    assert one["eigenvalue_size"].value == pytest.approx(size, abs=1e-6)
    assert one["eigenvalue_turn"].value == pytest.approx(turn, abs=1e-6)


def test_momentum_turns() -> None:
    assert found("spectrum", "Uniform | Linear | Momentum")["eigenvalue_turn"].value > 0.1


def test_a_small_change_fades_as_the_decay_says() -> None:
    length, gamma = 32, 0.5
    one = found("chaos", f"Decay(gamma={gamma}) | Linear | Hebbian", seq_len=length)
    assert one["horizon"].bound == "at least"
    # from the middle of the first quarter to that of the last, 24 tokens
    assert one["growth"].value == pytest.approx(0.75 * length * math.log10(gamma), abs=0.5)


def test_a_step_too_long_makes_a_small_change_large() -> None:
    wild = "Uniform | Linear(map=polynomial) | SGD(link=twice_sigmoid)"
    calm = found("chaos", "Uniform | Linear | SGD", seq_len=64)["growth"].value
    assert found("chaos", wild, seq_len=64)["growth"].value > calm


def test_adaptation_is_that_of_the_regression() -> None:
    settings = {"dim": 8, "seq_len": 32, "sequences": 8}
    one = found("adaptation", "Gate | Linear | SGD", **settings)
    task = ttr.task("regression", {"process": "linear", **settings})
    assert isinstance(task, ttr.lab.Regression)
    same = task.evaluate(ttr.Spec.parse("Gate | Linear | SGD")).metrics
    for name in ("error_before", "error_after"):
        assert one[name].value == pytest.approx(same[name], rel=1e-5)


def test_what_compares_by_no_scale_needs_none_and_what_keeps_its_pairs_multiplies_nothing() -> None:
    assert found("sharpness", "Uniform | Linear | SGD")["sharpness_needed"].value == 0
    kept = found("spectrum", "ExpKernel | Constant | Exact")
    assert [one.value for one in kept.values()] == [1, 1, 0]


def test_pairs_grow_with_the_square_of_the_size_where_values_grow_too() -> None:
    one = found("capacity", "Uniform | Linear | Hebbian", sequences=128)["pairs_exponent"]
    assert one.low <= 2.2 and one.high >= 1.8


def test_every_load_is_asked_about_the_pairs_so_far() -> None:
    asked = Capacity(dim=8, seq_len=16).questions(8, 16, 200, generator(0, "test"))
    which = (asked.q[:, :, None] == asked.k[:, None]).all(-1).long().argmax(-1)
    for t in range(16):
        assert {*which[:, t].tolist()} == {*range(t + 1)}
