"""The public calls refuse what does not fit, in words, before they allocate."""

from __future__ import annotations

import math
import re

import pytest
import torch
from stories import formula
from streams import TESTED, stream

import ttr_core as ttr
from ttr_core.lab import Experiment, Regression, check_sizes
from ttr_core.solvers.api import _admitted
from ttr_core.stream import LINKS, RANGES

SPEC = ttr.Spec.parse("Gate | Linear | SGD")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"signals": {}}, "needs signal 'decay'"),
        ({"signals": {"decay": torch.zeros(1, 2, 7, 3), "step": torch.ones(1, 2, 7, 1)}}, "shape"),
        ({"k": torch.zeros(1, 2, 7, 4)}, "do not fit"),
        ({"q": torch.zeros(2, 7, 3)}, r"\[B, H, T, K or V\]"),
        ({"v": torch.zeros(1, 2, 6, 2)}, "do not fit"),
        ({"k": torch.zeros(1, 5, 7, 3)}, "must divide"),
    ],
)
def test_a_stream_that_does_not_fit_is_refused(change: dict, match: str) -> None:
    x = stream(SPEC)
    parts = {"q": x.q, "k": x.k, "v": x.v, "signals": x.signals} | change
    with pytest.raises(ttr.RequestError, match=match):
        ttr.solve(SPEC, ttr.Stream(**parts))


def test_a_signal_too_many_is_refused() -> None:
    x = stream(SPEC)
    with pytest.raises(ttr.RequestError, match="has no signal 'momentum'"):
        ttr.solve(SPEC, ttr.Stream(x.q, x.k, x.v, {**x.signals, "momentum": x.signals["step"]}))


@pytest.mark.parametrize(
    ("spec", "signal", "number", "match"),
    [
        ("Uniform | Linear | SGD", "step", -0.5, r"holds -0.5 at \[0, 1, 4, 0\].* from 0 on"),
        ("Uniform | Linear | SGD", "step", math.inf, "holds inf.* take a finite number"),
        ("Uniform | Linear | SGD", "step", math.nan, "holds NaN, which is no number"),
        ("Gate | Linear | Hebbian", "decay", 0.1, r"holds 0.1 .* -inf to 0 .* give log\(share\)"),
        (
            "Gate | Linear | Momentum",
            "momentum",
            1.5,
            "holds 1.5 .* 0 to 1 .* sigmoid returns",
        ),
        ("Gate * Importance | Linear | Hebbian", "importance", -1.0, "holds -1 .* from 0 on"),
    ],
)
def test_a_signal_outside_its_range_is_refused(
    spec: str, signal: str, number: float, match: str
) -> None:
    x = stream(ttr.Spec.parse(spec))
    x.signals[signal][0, 1, 4, 0] = number
    for call in (ttr.solve, ttr.prefill, ttr.attention_map):
        with pytest.raises(ttr.RequestError, match=match):
            call(spec, x)


def test_the_ends_of_every_range_are_within_it() -> None:
    for spec in TESTED:
        for signal in spec.signals:
            least, most = signal.range
            start = signal.idle if signal.init is None else signal.init
            assert all(least <= n <= most for n in (signal.low, signal.high, signal.idle, start))
            assert set(LINKS) == set(RANGES)
            given = LINKS[signal.link](torch.linspace(-200.0, 200.0, 101))
            assert least <= given.min() and given.max() <= most, f"{spec}: {signal.name}"


def test_too_large_is_refused_before_anything_is_allocated() -> None:
    shape = (4096, 64, 1 << 20, 64)
    huge = torch.empty(1, 1, 1, 1).expand(shape)  # no memory behind it
    spec = ttr.Spec.parse("Gate * ExpKernel | Constant | Exact")
    decay = torch.empty(1, 1, 1, 1).expand(*shape[:3], 1)
    with pytest.raises(ttr.LimitExceeded, match="limit"):
        ttr.solve(spec, ttr.Stream(huge, huge, huge, {"decay": decay}))


def test_the_reference_is_for_small_inputs_only() -> None:
    spec = ttr.Spec.parse("Uniform | Linear | Exact")
    x = torch.zeros(1, 1, 64, 64)
    with pytest.raises(ttr.LimitExceeded):
        ttr.solve(spec, ttr.Stream(x, x, x), solver="reference")


def test_the_nearest_size_named_is_the_largest_that_is_not_refused() -> None:
    spec = ttr.Spec.parse("ExpKernel | Constant | Exact")
    none = torch.empty(1, 1, 1, 1)  # no memory behind what is expanded

    def stream(batch: int, length: int) -> ttr.Stream:
        return ttr.Stream(*[none.expand(batch, 4, length, 64)] * 3)

    solver = ttr.resolve("Gate * ExpKernel | Constant | Exact")
    with pytest.raises(ttr.LimitExceeded) as refused:
        _admitted(solver, spec, stream(512, 1 << 18), None)
    length, batch = (int(n) for n in re.findall(r"[TB]=(\d+)", str(refused.value).split(". ")[-1]))
    for fits, larger in (
        (stream(512, length), stream(512, length + 1)),
        (stream(batch, 1 << 18), stream(batch + 1, 1 << 18)),
    ):
        _admitted(solver, spec, fits, None)
        with pytest.raises(ttr.LimitExceeded):
            _admitted(solver, spec, larger, None)


@pytest.mark.parametrize("text", ["local-quadratic-attention", "local-linear-attention"])
def test_who_waits_is_refused_before_anything_is_drawn(text: str) -> None:
    spec = ttr.catalog[text].spec

    def asked(**sizes: int) -> Experiment:
        return Experiment(Regression(**sizes), ttr.ModelConfig(layers=(str(spec),)))

    most, sizes = 2e11, {"seq_len": 1024, "dim": 128, "sequences": 64}
    check_sizes(asked(), most)
    with pytest.raises(ttr.LimitExceeded, match="the limit is 2e") as refused:
        check_sizes(asked(**sizes), most)
    nearest = dict(re.findall(r"task\.(\w+)=(\d+)", str(refused.value)))
    assert "seq_len" in nearest
    for name, size in nearest.items():
        check_sizes(asked(**{**sizes, name: int(size)}), most)
        with pytest.raises(ttr.LimitExceeded):
            check_sizes(asked(**{**sizes, name: int(size) + 1}), most)


def test_no_size_is_named_that_is_none() -> None:
    with pytest.raises(ttr.LimitExceeded) as refused:
        layer = ttr.ModelConfig(layers=("ExpKernel | Quadratic | Exact(ridge=0.0)",))
        check_sizes(Experiment(Regression(), layer), 2e11)
    found = str(refused.value)
    assert "seq_len" not in found and "sequences=1" not in found and "task.dim=" in found


def test_an_unknown_solver_and_one_that_refuses() -> None:
    with pytest.raises(ttr.UnknownName, match="chunked_delta"):
        ttr.solve(SPEC, stream(SPEC), solver="chunked-delta")
    with pytest.raises(ttr.UnknownName, match="prefix_cholesky needs"):
        ttr.solve(SPEC, stream(SPEC), solver="prefix_cholesky")


def test_every_solver_explains_itself() -> None:
    reasons = ttr.explain(SPEC)
    assert set(reasons) == {solver.name for solver in ttr.SOLVERS}
    assert reasons["chunked_delta"] is None and "memoryless" not in (reasons["attention"] or "")


def test_half_precision_is_accumulated_in_single() -> None:
    x = stream(SPEC, 70, dtype=torch.float32)
    y = ttr.solve(SPEC, x.map(lambda z: z.bfloat16()))
    assert y.dtype == torch.bfloat16
    wide = ttr.solve(SPEC, x.map(lambda z: z.bfloat16().float()))
    torch.testing.assert_close(y, wide.bfloat16())


@pytest.mark.parametrize("family", ["weights", "function", "optimizer", "loss", "readout", "map"])
def test_every_choice_documents_itself(family: str) -> None:
    for choice in ttr.choices(family):
        made = choice()
        assert choice.summary() and formula(made) and str(made) == choice.name
        assert hash(made) == hash(choice()) and made == choice()
        assert all(option.help for option in choice.options())
