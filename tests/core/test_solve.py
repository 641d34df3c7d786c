"""The public calls refuse what does not fit, in words, before they allocate."""

from __future__ import annotations

import pytest
import torch
from stories import formula
from streams import stream

import ttr_core as ttr

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
