"""What must hold for a function that is centered at the query."""

from __future__ import annotations

import pytest

import ttr_core as ttr


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("Uniform | Affine | SGD", "SGD carries one memory.*Affine is centered at each query"),
        ("Gate | Affine | Hebbian", "a memory fitted around one query means nothing"),
        ("ChannelGate | Affine | Exact", "the features of Affine move with the query"),
        ("ExpKernel | Affine | SGD", "no running state serves all queries"),
    ],
)
def test_what_cannot_be_centered_says_why(text: str, match: str) -> None:
    with pytest.raises(ttr.IncompatibleSpec, match=match):
        ttr.resolve(ttr.Spec.parse(text))


def test_a_local_fit_is_described() -> None:
    words = ttr.describe(ttr.Spec.parse("ExpKernel | Affine | Exact(ridge=0.5)"))
    assert r"|v_i - c - M (k_i - q_t)|^2 + \tfrac{0.5}{2} |M|^2" in words.objective
    assert r"c_t = \bar v_t + M_t (q_t - \bar k_t)" in words.update and "0.5 I" in words.update
    assert words.read == "y_t = m_t(q_t) = c_t"
    assert "around the query" in words.words and words.state_size == "2 T d"
    step = ttr.describe(ttr.Spec.parse("ExpKernel | Affine | OneStep"))
    assert r"M_t = \sum_{i \le t} \gamma_i^{(t)} v_i (k_i - q_t)^\top" in step.update
    least = ttr.describe(ttr.Spec.parse("Uniform | Affine | Exact(ridge=0.0)"))
    assert r"\Big)^{+}" in least.update and "|M|" not in least.objective
