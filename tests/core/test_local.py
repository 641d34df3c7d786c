"""What must hold for a function that is centered at the query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from streams import RTOL32, stream

import ttr_core as ttr
from ttr_core.solvers import covariances, local_dual, local_line
from ttr_core.tools.held import Watched

BLOCKS = [
    (local_line, "BLOCK", 4),
    (local_line, "FEW", 1),
    (covariances, "PART", 2),
    (local_dual, "BLOCK", 4),
]
"""Sizes at which a short stream takes the ways of a long one: several blocks, queries, parts."""
WEIGHTS = ["Uniform", "Gate", "ExpKernel", "Gate * ExpKernel"]
every_weighting = pytest.mark.parametrize("weights", WEIGHTS)


def layer(weights: str, ridge: float) -> ttr.Spec:
    return ttr.Spec.parse(f"{weights} | Affine | Exact(ridge={ridge})")


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@every_weighting
def test_a_large_ridge_leaves_the_weighted_mean(weights: str) -> None:
    spec = layer(weights, 1e6)
    x = stream(spec, 20)
    mean = ttr.solve(ttr.Spec.parse(f"{weights} | Constant | Exact"), x)
    close(ttr.solve(spec, x), mean, 1e-3)


@every_weighting
def test_affine_data_are_reproduced(weights: str) -> None:
    spec = layer(weights, 1e-8)
    x = stream(spec, 30)
    slope, constant = torch.randn(3, 2).double(), torch.randn(2).double()
    y = ttr.solve(spec, replace(x, v=x.k @ slope + constant))
    enough = slice(12, None)  # fewer pairs than coefficients leave the slope to the ridge
    close(y[:, :, enough], (x.q @ slope + constant)[:, :, enough], 1e-4)


@every_weighting
def test_equal_values_are_returned(weights: str) -> None:
    spec = layer(weights, 1.0)
    x = stream(spec, 20)
    constant = torch.ones_like(x.v) * torch.tensor([2.0, -3.0])
    close(ttr.solve(spec, replace(x, v=constant)), constant)


@pytest.mark.parametrize("weights", ["Uniform", "Gate"])  # the kernel compares directions
@pytest.mark.parametrize("shift", [1.0, 1e4])
def test_moving_queries_and_keys_together_changes_nothing(weights: str, shift: float) -> None:
    spec = layer(weights, 0.5)
    x = stream(spec, 20)
    close(ttr.solve(spec, replace(x, q=x.q + shift, k=x.k + shift)), ttr.solve(spec, x), 1e-7)


def test_the_first_output_is_the_first_value() -> None:
    for ridge in (0.0, 1e-8, 1.0):
        x = stream(layer("ExpKernel", ridge), 3)
        close(ttr.solve(layer("ExpKernel", ridge), x)[:, :, 0], x.v[:, :, 0])


def test_weights_sum_to_one_and_leave_the_convex_hull() -> None:
    spec = layer("ExpKernel", 0.1)
    weights = ttr.attention_map(spec, stream(spec, 40))
    close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert weights.min() < -0.01


def test_one_step_never_reads_its_slope() -> None:
    affine, constant = (
        ttr.Spec.parse(f"ExpKernel | {f} | OneStep") for f in ("Affine", "Constant")
    )
    x = stream(affine, 20)
    close(ttr.solve(affine, x), ttr.solve(constant, x))
    assert str(constant) in ttr.describe(affine).same_as


@pytest.mark.parametrize("logit", [-1e3, 0.0, 30.0])
def test_weights_far_from_one_do_not_overflow(logit: float) -> None:
    spec = layer("Importance * ExpKernel(scale=1.0)", 1.0)
    x = stream(spec, 12, dtype=torch.float32)
    k = x.k.clone()
    k[..., 0], q = logit, x.q.clone()
    q[..., 0] = 1.0
    y = ttr.solve(spec, replace(x, q=q, k=k))
    assert y.isfinite().all()
    if logit < 0:  # the ridge is far above every weight
        mean = ttr.Spec.parse("Importance * ExpKernel(scale=1.0) | Constant | Exact")
        close(y, ttr.solve(mean, replace(x, q=q, k=k)), 1e-4)


@pytest.mark.parametrize("ridge", [1.0, 1e-3])
@pytest.mark.parametrize(
    ("weights", "offset"),
    [("Uniform", 10.0), ("ExpKernel(scale=0.05)", 10.0), ("ExpKernel(scale=16.0)", 0.0)],
)
def test_float32_holds_far_from_the_keys(weights: str, offset: float, ridge: float) -> None:
    spec = layer(weights, ridge)
    x = stream(spec, 200, key_dim=8, dtype=torch.float32)
    unit = torch.nn.functional.normalize(x.k, dim=-1)
    x = replace(x, k=unit, q=torch.nn.functional.normalize(x.q, dim=-1) + offset / 8**0.5)
    y, wide = ttr.solve(spec, x), ttr.solve(spec, x.map(lambda z: z.double()))
    assert y.dtype == torch.float32
    assert (y - wide).norm() <= RTOL32 * wide.norm()


# ---- the solvers of lines and parabolas


@pytest.mark.parametrize("held", [0, 1 << 25], ids=["formed once more", "kept"])
@pytest.mark.parametrize("function", ["Affine", "Quadratic"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_blocks_of_queries_equal_the_definition(
    weights: str, function: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in BLOCKS:
        monkeypatch.setattr(module, name, value)
    for module in (local_line, local_dual):
        monkeypatch.setattr(module, "HELD", held)
    spec = ttr.Spec.parse(f"{weights} | {function} | Exact(ridge=0.5)")
    x = stream(spec, 13, key_dim=5)  # 20 slopes of a parabola
    (y, *grads), (wanted, *slopes) = (answered(spec, x, solver) for solver in (None, "reference"))
    close(y, wanted, 1e-8)
    for grad, slope in zip(grads, slopes, strict=True):
        close(grad, slope, 1e-6)


def answered(spec: ttr.Spec, x: ttr.Stream, solver: str | None) -> list[torch.Tensor]:
    """Returns the outputs and the gradients to all that is given."""
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    own = ttr.Stream(*leaves[:3], dict(zip(x.signals, leaves[3:], strict=True)))
    y = ttr.solve(spec, own, solver=solver)
    part = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return [y, *torch.autograd.grad((y * part).sum(), leaves)]


@pytest.mark.parametrize("queries", [6, 2])
@pytest.mark.parametrize("run", [local_line.local_line, local_dual.local_dual])
def test_gradients_by_hand_are_those_of_differences(
    run: Callable[..., tuple[torch.Tensor, bool]], queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in BLOCKS:
        monkeypatch.setattr(module, name, value)
    q, k, v = (torch.randn(1, 2, n, 3).double().requires_grad_() for n in (queries, 6, 6))
    free = torch.randn(1, 2, queries, 6).double().requires_grad_()
    later = torch.ones(queries, 6, dtype=torch.bool).triu(6 - queries + 1)

    def fitted(*given: torch.Tensor) -> torch.Tensor:
        return run(*given[:3], given[3].masked_fill(later, -torch.inf), 0.1)[0]

    assert torch.autograd.gradcheck(fitted, (q, k, v, free), fast_mode=True)


@pytest.mark.parametrize(("ridge", "flat"), [(10.0, 1.0), (1e-2, 1.0), (1e-8, 1e-8)])
def test_any_ridge_is_solved_to_what_float64_resolves(
    ridge: float, flat: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Covariances centered by subtraction, and by spread keys where that would lose a direction."""
    monkeypatch.setattr(local_line, "FEW", 0)
    spec = layer("ExpKernel(scale=1.0)", ridge)
    x = stream(spec, 20, key_dim=4)
    x.k[..., 0] = x.q[..., 0] = 20**0.5  # every weight is large
    x.k[..., 1] *= flat
    x.q[..., 1] *= flat
    y, wanted = ttr.solve(spec, x), ttr.solve(spec, x, solver="local_polynomial")
    close(y[:, :, 4:], wanted[:, :, 4:], 1e-5)


@pytest.mark.parametrize("ridge", [1.0, 1e-2])
@pytest.mark.parametrize("function", ["Affine", "Quadratic"])
def test_gradients_hold_in_float32(function: str, ridge: float) -> None:
    spec = ttr.Spec.parse(f"ExpKernel(scale=8.0) | {function} | Exact(ridge={ridge})")
    x = stream(spec, 64, key_dim=16, dtype=torch.float32)
    x = replace(
        x, k=torch.nn.functional.normalize(x.k, dim=-1), q=x.k / x.k.norm(dim=-1)[..., None]
    )
    found = answered(spec, x, None)
    for z, wide in zip(found, answered(spec, x.map(lambda z: z.double()), None), strict=True):
        assert (z - wide).norm() <= RTOL32 * wide.norm()


def test_a_line_holds_no_offset_of_every_query_from_every_key() -> None:
    """What is held grows with T (T + K^2), not with T^2 K."""
    spec, peaks = layer("ExpKernel", 1.0), []
    for length in (128, 256):
        x = stream(spec, length, heads=1, key_dim=32, dtype=torch.float32)
        with Watched() as held:
            ttr.solve(spec, x)
        peaks.append(held.peak)
    assert peaks[0] < 4 * 128 * 128 * 32 and peaks[1] < 2.5 * peaks[0]


def test_a_ridge_that_no_precision_resolves_is_refused_in_words() -> None:
    spec = layer("ExpKernel(scale=1000.0)", 1e-8)
    x = stream(spec, 6, key_dim=8)
    with pytest.raises(ttr.RequestError, match="local covariance is singular"):
        ttr.solve(spec, replace(x, q=x.k))


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
    assert "C_t^{+}" in least.update and r"|M|^2 \text{ the least" in least.objective
