"""What must hold for functions of a kernel space, and for local quadratics in the dual."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest
import torch
from streams import LAYERS, RTOL32, joined, stream
from test_definition import compare

import ttr_core as ttr
from ttr_core.solvers import SOLVERS, dual, local_dual, local_polynomial
from ttr_core.space.functions import Kernel
from ttr_core.space.functions.quadratic import Quadratic
from ttr_core.space.maps import Identity

STEPS = ["Hebbian", "SGD", "SGD(residual=undecayed)", "Implicit", "NLMS"]
KERNELS = [
    "Kernel",
    "Kernel(kernel=exponential, scale=none)",
    "Kernel(kernel=polynomial, scale=1.0)",  # of rank 10 for keys of size 3
    "Kernel(kernel=linear, scale=1.0)",  # of rank 3
]


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def solved(text: str, x: ttr.Stream, solver: str | None = None) -> torch.Tensor:
    return ttr.solve(ttr.Spec.parse(text), x, solver=solver)


# ---- kernels


@pytest.mark.parametrize("function", KERNELS[1:])
@pytest.mark.parametrize(
    "rest",
    ["Importance | {} | Exact(ridge=0.2)", "Gate | {} | Exact", "Gate | {} | Implicit",
     "Importance | {} | Hebbian | readout=Normalized(floor=abs1)"],
)  # fmt: skip
def test_every_kernel_equals_the_definition(function: str, rest: str) -> None:
    spec = ttr.Spec.parse(rest.format(function))
    for solver in SOLVERS[:-1]:
        if solver.refusal(spec) is None:
            compare(spec, solver.name)


@pytest.mark.parametrize("weights", ["Uniform", "Importance", "Gate", "ExpKernel"])
def test_a_linear_kernel_is_ridge_regression(weights: str) -> None:
    x = stream(ttr.Spec.parse(f"{weights} | Linear | Exact"), 20)
    kernel = solved(f"{weights} | Kernel(kernel=linear, scale=1.0) | Exact(ridge=0.3)", x)
    close(kernel, solved(f"{weights} | Linear | Exact(ridge=0.3)", x))


def test_a_polynomial_of_degree_one_is_ridge_regression_with_a_column_of_ones() -> None:
    x = stream(ttr.Spec.parse("Uniform | Linear | Exact"), 20)
    ones = torch.ones_like(x.k[..., :1])
    wide = replace(x, q=torch.cat([ones, x.q], -1), k=torch.cat([ones, x.k], -1))
    kernel = "Uniform | Kernel(kernel=polynomial, scale=1.0, degree=1) | Exact"
    close(solved(kernel, x), solved("Uniform | Linear | Exact", wide))


@pytest.mark.parametrize("optimizer", STEPS)
def test_a_linear_kernel_takes_the_steps_of_a_linear_model(optimizer: str) -> None:
    x = stream(ttr.Spec.parse(f"Gate * Importance | Linear | {optimizer}"), 20)
    kernel = solved(f"Gate * Importance | Kernel(kernel=linear, scale=1.0) | {optimizer}", x)
    close(kernel, solved(f"Gate * Importance | Linear | {optimizer}", x))


def test_an_exponential_step_divided_is_softmax_attention() -> None:
    x = stream(ttr.Spec.parse("ExpKernel | Constant | Exact"), 20)
    step = "Uniform | Kernel(kernel=exponential, scale=none) | OneStep | readout=Normalized"
    close(solved(step, x), solved("ExpKernel | Constant | Exact", x), 1e-5)  # 1e-6 below


@pytest.mark.parametrize("weights", ["Uniform", "Gate"])
@pytest.mark.parametrize("optimizer", ["Exact(ridge=0.001)", "SGD", "OneStep"])
def test_repeated_keys_do_no_harm(weights: str, optimizer: str) -> None:
    spec = ttr.Spec.parse(f"{weights} | Kernel | {optimizer}")
    x = stream(spec, 6)
    k = x.k[:, :, [0, 1, 0, 0, 2, 1]]
    x = replace(x, k=k, q=k)
    close(ttr.solve(spec, x), ttr.solve(spec, x, solver="reference"), 1e-7)


def test_the_newest_of_repeated_pairs_is_what_a_full_step_remembers() -> None:
    spec = ttr.Spec.parse("Uniform | Kernel | SGD")
    x = stream(spec, 6)
    k = x.k[:, :, :1].expand_as(x.k)
    close(ttr.solve(spec, replace(x, k=k, q=k, signals={"step": torch.ones_like(k[..., :1])})), x.v)


def test_a_small_ridge_answers_every_seen_key() -> None:
    spec = ttr.Spec.parse("Uniform | Kernel | Exact(ridge=1e-8)")
    x = stream(spec, 12)
    seen = torch.randint(12, (12,)).minimum(torch.arange(12))
    close(ttr.solve(spec, replace(x, q=x.k[:, :, seen])), x.v[:, :, seen], 1e-4)


@pytest.mark.parametrize("weights", ["Uniform", "ExpKernel(scale=16.0)"])
def test_many_alike_keys_are_solved_in_float32(weights: str) -> None:
    spec = ttr.Spec.parse(f"{weights} | Kernel(scale=0.1) | Exact(ridge=0.1)")
    x = stream(spec, 100, key_dim=4, dtype=torch.float32)
    x = replace(x, q=torch.nn.functional.normalize(x.q, dim=-1))
    x = replace(x, k=torch.nn.functional.normalize(x.k, dim=-1))
    y, wide = ttr.solve(spec, x), ttr.solve(spec, x.map(lambda z: z.double()))
    assert y.dtype == torch.float32
    assert (y - wide).norm() <= RTOL32 * wide.norm()


@pytest.mark.parametrize(
    "spec",
    [s for s in LAYERS if isinstance(s.function, Kernel) and str(s.weights) == "Gate"],
    ids=str,
)
def test_the_features_of_keys_to_come_reach_no_answer(spec: ttr.Spec) -> None:
    x, other = stream(spec, 6, heads=1), stream(spec, 6, seed=1, heads=1)
    mixed = ttr.solve(spec, joined(x, other, 4), solver="reference")
    close(mixed[:, :, :4], ttr.solve(spec, x, solver="reference")[:, :, :4])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("ChannelGate | Kernel | Exact", "forgets feature by feature; Kernel has no features"),
        ("ChannelGate | Kernel | SGD", "forgets feature by feature; Kernel has no features"),
        ("ExpKernel | Kernel | SGD", "no running state serves all queries"),
        ("Uniform | Kernel | Exact(ridge=0.0)", "passes through every pair.*at least 1e-08"),
        ("Uniform | Kernel | MultiStep", "spanned by the keys.*brings keys of its own"),
        ("Uniform | Kernel | MirrorDescent", "determined up to a rotation only"),
        ("Uniform | Quadratic | SGD", "Quadratic is centered at each query"),
        ("ChannelGate | Quadratic | Exact", "the features of Quadratic move with the query"),
        ("Uniform | Quadratic | OneStep | readout=Normalized", "linear in features of the key"),
    ],
)
def test_what_has_no_meaning_says_why(text: str, match: str) -> None:
    with pytest.raises(ttr.IncompatibleSpec, match=match):
        ttr.resolve(ttr.Spec.parse(text))


def test_a_kernel_is_described() -> None:
    words = ttr.describe(ttr.Spec.parse("Uniform | Kernel | Exact(ridge=0.5)"))
    assert r"\exp(-4 |a - b|^2 / 2)" in words.objective and "0.5 I" in words.update
    assert words.read == r"y_t = \sum_{i \le t} \alpha_i \kappa(k_i, q_t)"
    assert words.state_size == "2 T d" and words.held == "T^2 H + 2 T d + T H"
    local = ttr.describe(ttr.Spec.parse("ExpKernel | Quadratic | Exact"))
    assert r"a^\top b + (a^\top b)^2" in local.objective and r"\bar \psi_t" in local.update


# ---- linear models with inner products in closed form


@pytest.mark.parametrize(
    ("weights", "solver"),
    [("Importance", "kernel_ridge"), ("Gate", "dual_normal_equations"),
     ("ExpKernel", "dual_normal_equations")],
)  # fmt: skip
def test_wide_features_are_solved_in_the_dual(weights: str, solver: str) -> None:
    wide = ttr.Spec.parse(f"{weights} | Linear(map=taylor2) | Exact(ridge=0.5)")
    assert ttr.resolve(wide).name == solver
    names = [s.name for s in SOLVERS[:-1] if s.refusal(wide) is None]
    assert len(names) >= 2
    x = stream(wide, 12)
    for name in names:
        close(ttr.solve(wide, x, solver=name), ttr.solve(wide, x, solver=names[0]))


def test_narrow_features_keep_their_solvers() -> None:
    assert Identity().width(64) == 64
    for weights, name in (("Uniform", "prefix_cholesky"), ("Gate", "normal_equations")):
        assert ttr.resolve(ttr.Spec.parse(f"{weights} | Linear | Exact")).name == name


# ---- local quadratics


def test_the_slopes_have_their_inner_product_in_closed_form() -> None:
    a, b = torch.randn(2, 5, 4).double().unbind(0)
    f = Quadratic()
    assert f.slopes(a).shape[-1] == f.width(4) - 1
    close((f.slopes(a) * f.slopes(b)).sum(-1), f.inner((a * b).sum(-1)))


@pytest.mark.parametrize("weights", ["Uniform", "Gate", "Importance * ExpKernel"])
def test_the_dual_equals_the_primal(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ttr.Spec.parse(f"{weights} | Quadratic | Exact(ridge=0.5)")
    x = stream(spec, 60, key_dim=10)  # 65 slopes
    fast = ttr.solve(spec, x)
    monkeypatch.setattr(local_polynomial._Fit, "dual", False)
    close(fast, ttr.solve(spec, x))


@pytest.mark.parametrize(
    ("module", "bound", "function"),
    [(local_dual, "TOGETHER", "Quadratic"), (dual, "HELD", "Kernel")],
)
def test_the_size_of_a_block_changes_nothing(
    module: ModuleType, bound: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ttr.Spec.parse(f"ExpKernel | {function} | Exact")
    x = stream(spec, 9)
    whole = ttr.solve(spec, x)
    monkeypatch.setattr(module, bound, 1)
    close(ttr.solve(spec, x), whole)


def test_a_large_ridge_leaves_softmax_attention() -> None:
    x = stream(ttr.Spec.parse("ExpKernel | Constant | Exact"), 20, key_dim=6)
    close(
        solved("ExpKernel | Quadratic | Exact(ridge=1000000.0)", x),
        solved("ExpKernel | Constant | Exact", x),
        1e-3,
    )


def test_quadratic_data_are_reproduced() -> None:
    spec = ttr.Spec.parse("ExpKernel | Quadratic | Exact(ridge=1e-8)")
    x = stream(spec, 40)
    bend = torch.randn(3, 3, 2).double()

    def f(z: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bhti,ijv,bhtj->bhtv", z, bend, z) + z[..., :2] + 1

    y = ttr.solve(spec, replace(x, v=f(x.k)))
    close(y[:, :, 20:], f(x.q)[:, :, 20:], 1e-4)  # 10 coefficients


@pytest.mark.parametrize("ridge", [1.0, 1e-3])
@pytest.mark.parametrize("scale", [1.0, 16.0])
def test_the_dual_holds_in_float32(ridge: float, scale: float) -> None:
    spec = ttr.Spec.parse(f"ExpKernel(scale={scale}) | Quadratic | Exact(ridge={ridge})")
    x = stream(spec, 60, key_dim=12, dtype=torch.float32)
    x = replace(x, q=torch.nn.functional.normalize(x.q, dim=-1))
    x = replace(x, k=torch.nn.functional.normalize(x.k, dim=-1))
    y, wide = ttr.solve(spec, x), ttr.solve(spec, x.map(lambda z: z.double()))
    assert y.dtype == torch.float32
    assert (y - wide).norm() <= RTOL32 * wide.norm()


# ---- whitened weights


@pytest.mark.parametrize("moment", ["mean", "sum"])
@pytest.mark.parametrize("rest", ["Constant | Exact", "Affine | Exact", "Kernel | OneStep"])
def test_whitened_weights_equal_the_definition(moment: str, rest: str) -> None:
    spec = ttr.Spec.parse(f"Gate * Whitened(ridge=0.5, moment={moment}) | {rest}")
    compare(spec, ttr.resolve(spec).name)
    x = stream(spec, 40)
    y, state = ttr.prefill(spec, x.tokens(0, 21))
    later, _ = ttr.prefill(spec, x.tokens(21, 40), state=state)
    close(torch.cat([y, later], 2), ttr.solve(spec, x))


def test_whitening_by_a_large_ridge_is_a_plain_kernel() -> None:
    x = stream(ttr.Spec.parse("ExpKernel | Constant | Exact"), 20)
    whitened = solved("Whitened(ridge=1e5, scale=1000.0) | Constant | Exact", x)
    close(whitened, solved("ExpKernel(scale=0.01) | Constant | Exact", x), 1e-4)


def test_whitening_undoes_any_linear_change_of_the_keys() -> None:
    x = stream(ttr.Spec.parse("ExpKernel | Constant | Exact"), 30, key_dim=3)
    turn = torch.randn(3, 3).double() + 2 * torch.eye(3).double()
    moved = replace(x, k=x.k @ turn, q=x.q @ turn)
    for text in ("Whitened(ridge=1e-6) | Constant | Exact",):
        close(solved(text, moved)[:, :, 5:], solved(text, x)[:, :, 5:], 1e-3)


def test_whitened_weights_are_wide_where_the_ridge_is_small() -> None:
    x = stream(ttr.Spec.parse("ExpKernel | Constant | Exact"), 200, key_dim=8, dtype=torch.float32)
    text = "Whitened(ridge=0.0001) | Constant | Exact"
    flat = replace(x, k=x.k * torch.tensor([1.0] * 3 + [1e-3] * 5))
    y, wide = solved(text, flat), solved(text, flat.map(lambda z: z.double()))
    assert (y - wide).norm() <= 1e-4 * wide.norm()
