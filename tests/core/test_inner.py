"""Memories trained within the layer: losses, chunks, and what the special cases are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import RTOL32, joined, stream

import ttr_core as ttr
from ttr_core.solvers import inner_loop, orthogonal_loop
from ttr_core.space.functions import MLP, LayeredModel
from ttr_core.space.optimizers import ChunkStart, OrthogonalSteps
from ttr_core.space.optimizers.orthogonal import QUINTIC, TUNED, orthogonal

SMALL = [
    "Gate * Importance | Linear(map=elu1) | ChunkSGD(size=3)",
    "Gate | NormLinear | MiniBatch(size=3)",
    "Uniform | MLP(activation=gelu_tanh, bias=true) | MiniBatch(size=4)",
    "Gate | MLP(expansion=2) | ChunkMomentum(size=3)",
    "Gate | MLP(depth=3, expansion=1) | ChunkSGD(size=4) | loss=Huber",
    "Importance | MLP(depth=1, wrapped=false) | ChunkMomentum(size=4) | loss=Lp",
    "Gate | MLP(expansion=2) | MirrorDescent(size=3, scale=2.0)",
    "Gate | MLP(expansion=1, bias=true) | MirrorDescent(geometry=lq, size=3) | loss=Lp",
    "Decay | Linear | MirrorDescent(size=2) | loss=DotProduct",
    "Gate * Importance | MLP(expansion=1, map=taylor2) | Omega(window=4, size=3) | loss=Huber",
    "Gate | Linear | Omega(window=2, size=3)",
    "Gate * Importance | MLP(bias=true, expansion=1) | ChunkMuon(window=3, size=4)",
    "Uniform | Linear(map=elu1) | ChunkMuon(window=1, size=2) | loss=Huber",
]
ALONE = [
    *SMALL[1:4],
    "Gate * Importance | MLP(bias=true, expansion=1) | ChunkMuon(window=1, size=4)",
    "Gate | MLP(map=elu1) | Omega(window=1, size=3)",
]
"""Steps on the newest pair alone, which the scan takes one by one."""
PUBLISHED = [n for n, e in ttr.catalog.items() if isinstance(e.spec.optimizer, ChunkStart)]
LOSSES = ttr.choices("loss")


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def moved(spec: ttr.Spec, size: int) -> dict[str, torch.Tensor]:
    """The spec's own tensors in float64, away from where they start."""
    own = spec.parameters(size, size, 2)
    return {n: (p + 0.1 * torch.randn(p.shape)).detach().double() for n, p in own.items()}


def answers(spec: ttr.Spec, solver: str) -> tuple:
    """Outputs and gradients, of the spec's own tensors too."""
    torch.manual_seed(0)
    x = stream(spec, 8, value_dim=3)
    params = {n: p.requires_grad_() for n, p in moved(spec, 3).items()}
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    own = ttr.Stream(*leaves[:3], dict(zip(x.signals, leaves[3:], strict=True)))
    y = ttr.solve(spec, own, params, solver)
    return y, torch.autograd.grad(y.sin().sum(), [*leaves, *params.values()])


@pytest.mark.parametrize("text", SMALL)
def test_chunks_within_the_sequence_equal_the_definition(text: str) -> None:
    spec = ttr.Spec.parse(text)
    y, gradients = answers(spec, ttr.resolve(spec).name)
    wanted, wanted_gradients = answers(spec, "reference")
    close(y, wanted, 1e-8)
    for got, want in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("text", ALONE)
def test_the_scan_equals_the_chunks(text: str) -> None:
    spec = ttr.Spec.parse(text)
    close(answers(spec, "autograd_scan")[0], answers(spec, ttr.resolve(spec).name)[0])


def test_a_corrupted_slope_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ttr.Spec.parse("Uniform | MLP | ChunkSGD(size=2)")
    wanted, right = answers(spec, "reference")[0], MLP.slope
    close(answers(spec, "inner_loop")[0], wanted, 1e-8)
    monkeypatch.setattr(MLP, "slope", lambda self, z: 1.001 * right(self, z))
    with pytest.raises(AssertionError, match="not close"):
        close(answers(spec, "inner_loop")[0], wanted, 1e-8)


@pytest.mark.parametrize("text", [*SMALL, *(str(ttr.catalog[n].spec) for n in PUBLISHED)])
def test_a_prefill_may_end_anywhere_in_a_chunk(text: str) -> None:
    spec, state, parts = ttr.Spec.parse(text), None, []
    x, params = stream(spec, 20, value_dim=3), moved(spec, 3)
    for start, stop in ((0, 5), (5, 6), (6, 16), (16, 20)):
        y, state = ttr.prefill(spec, x.tokens(start, stop), params, state)
        parts.append(y)
    close(torch.cat(parts, 2), ttr.solve(spec, x, params), 1e-8)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_memory_is_causal_and_keeps_its_promise(name: str) -> None:
    spec = ttr.catalog[name].spec
    x, other = stream(spec, 40), stream(spec, 40, seed=1)
    y = ttr.solve(spec, x)
    close(ttr.solve(spec, joined(x, other, 21))[:, :, :21], y[:, :, :21])
    single = ttr.solve(spec, x.map(lambda z: z.float()))
    assert (single - y).norm() <= RTOL32 * y.norm()


@pytest.mark.parametrize("loss", [choice() for choice in LOSSES], ids=str)
def test_the_slope_of_a_loss_is_its_gradient(loss) -> None:
    guess = torch.randn(2, 9, 4, dtype=torch.float64).requires_grad_()
    value = torch.randn(2, 9, 4, dtype=torch.float64)
    with torch.no_grad():
        guess[0, 0] = value[0, 0]  # an error of zero
    signals = {s.name: torch.rand(2, 9, 1, dtype=torch.float64) * 4 for s in loss.signals}
    (wanted,) = torch.autograd.grad(loss(guess, value, signals).sum(), guess)
    close(loss.slope(guess, value, signals), wanted)


@pytest.mark.parametrize("model", ["MLP", "MLP(activation=gelu_tanh)"])
def test_the_slope_between_matrices_is_its_derivative(model: str) -> None:
    function = ttr.Spec.parse(f"Uniform | {model} | SGD").function
    assert isinstance(function, LayeredModel)
    z = torch.linspace(-6, 6, 99, dtype=torch.float64).requires_grad_()
    close(function.slope(z), torch.autograd.grad(function.between(z).sum(), z)[0])


def same(one: str, other: str, change=lambda x: x, tolerance: float = 1e-9) -> None:
    """Two specs agree on a stream of the first, changed for the second."""
    a, b = ttr.Spec.parse(one), ttr.Spec.parse(other)
    x = stream(a, 9, value_dim=3)
    close(ttr.solve(a, x), ttr.solve(b, change(x)), tolerance)


@pytest.mark.parametrize("model", ["Linear", "MLP"])
def test_chunks_of_one_token_are_steps_on_the_newest_pair(model: str) -> None:
    same(f"Gate | {model} | ChunkSGD(size=1)", f"Gate | {model} | SGD(residual=undecayed)")
    same(f"Gate | {model} | ChunkMomentum(size=1)", f"Gate | {model} | Momentum")


def test_a_mini_batch_of_one_token_is_deltanet() -> None:
    def divided(x: ttr.Stream) -> ttr.Stream:
        return replace(x, signals={"step": 1.5 * x.signals["step"] / x.key_dim})

    same("Uniform | Linear | MiniBatch(rate=1.5, size=1)", "Uniform | Linear | SGD", divided)


def test_one_long_chunk_from_zero_is_linear_attention() -> None:
    def weighed(x: ttr.Stream) -> ttr.Stream:
        return replace(x, signals={"importance": x.signals["step"]})

    same("Uniform | Linear | ChunkSGD(size=99)", "Importance | Linear | Hebbian", weighed)


def test_a_far_threshold_and_the_second_power_are_the_squared_error() -> None:
    for loss in ("Huber(delta=1e9)", "Lp(p=2)"):
        same(f"Gate | MLP | ChunkSGD | loss={loss}", "Gate | MLP | ChunkSGD")


def test_the_dot_product_writes_as_hebb_does() -> None:
    def weighed(x: ttr.Stream) -> ttr.Stream:
        return replace(x, signals={"importance": x.signals["step"]})

    same("Uniform | Linear | SGD | loss=DotProduct", "Importance | Linear | Hebbian", weighed)


def test_the_second_norm_has_no_geometry() -> None:
    same("Gate | MLP | MirrorDescent(geometry=lq, q=2)", "Gate | MLP | ChunkSGD")


def test_an_entropic_memory_is_a_simplex_over_the_inputs() -> None:
    spec = ttr.Spec.parse("Gate | Linear | MirrorDescent(scale=2)")
    x = stream(spec, 9, value_dim=3)
    y = ttr.solve(spec, replace(x, q=torch.ones_like(x.q)))
    close(y, torch.full_like(y, 2.0))


def test_the_average_attention_is_the_trace_of_the_jacobian() -> None:
    spec = ttr.Spec.parse("Gate | NormLinear | ChunkSGD(size=3)")
    x = stream(spec, 5, heads=1)
    rows = torch.autograd.functional.jacobian(lambda v: ttr.solve(spec, replace(x, v=v)), x.v)
    wanted = rows[0, 0, :, :, 0, 0].diagonal(dim1=1, dim2=3).mean(-1)
    close(ttr.attention_map(spec, x)[0, 0], wanted)


NETWORK = "Gate | MLP(expansion=1) | ChunkSGD(size=4)"


def test_more_channels_than_gradients_at_a_time_have_the_same_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = stream(ttr.Spec.parse(NETWORK), 6, key_dim=5)
    whole = ttr.attention_map(NETWORK, x)
    monkeypatch.setattr("ttr_core.solvers.maps.BESIDE", 2)
    close(ttr.attention_map(NETWORK, x), whole)


@pytest.mark.parametrize("stretch", [1, 4])
def test_a_map_by_stretches_of_the_past_is_that_of_the_whole(
    stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = stream(ttr.Spec.parse(NETWORK), 6, key_dim=5)
    whole = ttr.attention_map(NETWORK, x)
    monkeypatch.setattr("ttr_core.solvers.maps.STRETCH", stretch)
    close(ttr.attention_map(NETWORK, x), whole)


def test_random_signs_find_the_average_attention_within_their_error() -> None:
    x = stream(ttr.Spec.parse(NETWORK), 6, key_dim=5)
    exact = ttr.attention_map(NETWORK, x)
    found = ttr.sampled_map(NETWORK, x, signs=400)
    missed = (found.weights - exact).square().mean().sqrt() / found.error.square().mean().sqrt()
    assert 0.5 < missed < 2  # 42 errors, alike where they come from the same signs
    coarse = ttr.sampled_map(NETWORK, x, signs=100)
    assert 1.6 < coarse.relative_error / found.relative_error < 2.4
    assert torch.equal(coarse.weights, ttr.sampled_map(NETWORK, x, signs=100).weights)


def test_one_sign_has_no_error_and_is_refused() -> None:
    with pytest.raises(ttr.RequestError, match="signs is 1"):
        ttr.sampled_map(NETWORK, stream(ttr.Spec.parse(NETWORK), 6), signs=1)


def test_values_of_another_size_are_refused() -> None:
    spec = ttr.Spec.parse("Uniform | NormLinear | MiniBatch")
    with pytest.raises(ttr.RequestError, match="k has size 3 and v size 2"):
        ttr.solve(spec, stream(spec, 5, value_dim=2))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("Gate | MLP | Exact", "not linear in its memory"),
        ("Gate | NormLinear | Implicit", "not linear in its memory"),
        ("Gate | Linear | Exact | loss=Huber", "not half the squared error"),
        ("Gate | Linear | NLMS | loss=Lp", "not half the squared error"),
        ("ChannelGate | MLP | ChunkSGD", "has no features"),
        ("Gate | Constant | MirrorDescent", "could never move"),
        ("ExpKernel | MLP | ChunkSGD", "no running state"),
    ],
)
def test_what_only_fits_a_quadratic_says_so(text: str, match: str) -> None:
    with pytest.raises(ttr.IncompatibleSpec, match=match) as error:
        ttr.resolve(ttr.Spec.parse(text))
    assert error.value.alternatives


@pytest.mark.parametrize("text", SMALL)
def test_what_is_computed_again_is_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of segments that the backward pass runs once more give the same, bit by bit."""
    spec, calls = ttr.Spec.parse(text), [0]
    orthogonal = isinstance(spec.optimizer, OrthogonalSteps)
    loop, group = (orthogonal_loop, "TOGETHER") if orthogonal else (inner_loop, "GROUP")
    segment = loop._segment

    def counted(*asked: object) -> object:
        calls[0] += 1
        return segment(*asked)

    monkeypatch.setattr(loop, "_segment", counted)
    monkeypatch.setattr(loop, group, 8)
    once, ran = answers(spec, loop.__name__.rpartition(".")[2]), calls[0]
    monkeypatch.setattr(loop, group, 1)
    monkeypatch.setattr(inner_loop, "MOST", 0)
    again = answers(spec, loop.__name__.rpartition(".")[2])
    assert calls[0] == 3 * ran
    torch.testing.assert_close(again, once, rtol=0, atol=0)


def test_a_window_of_one_is_a_step_on_the_newest_pair() -> None:
    same(
        "Gate * Importance | MLP | Omega(window=1, rate=1.0)", "Gate * Importance | MLP | ChunkSGD"
    )


def test_a_window_of_all_on_a_small_chunk_is_descent_on_the_whole_past() -> None:
    """Chunks of one token and a window as long as the sequence: a step on all pairs, each time."""
    spec = ttr.Spec.parse("Uniform | Linear | Omega(window=20, size=1, rate=0.1)")
    x = stream(spec, 9, heads=1)
    k, v, step = x.k[0, 0], x.v[0, 0], 0.1 * x.signals["step"][0, 0]
    S, rows = torch.zeros(3, 2, dtype=torch.float64), []
    for t in range(9):
        S = S + step[t] * k[: t + 1].mT @ (v[: t + 1] - k[: t + 1] @ S)
        rows.append(x.q[0, 0, t] @ S)
    close(ttr.solve(spec, x)[0, 0], torch.stack(rows))


def test_the_last_matrix_starts_at_a_spread_of_its_own() -> None:
    made = [MLP(std=1.0, std_last=last).parameters(16, 16, 2) for last in (0.02, None)]
    for name, sizes in {"W1": (1.0, 1.0), "W2": (0.02, 1.0)}.items():
        spreads = [float(tensors[name].detach().std()) for tensors in made]
        assert spreads == pytest.approx(sizes, rel=0.1)
    close(made[0]["W2"] * 50, made[1]["W2"], 1e-6)


def test_orthogonal_steps_have_one_size_in_every_direction() -> None:
    """The polar factor up to what five Newton-Schulz steps leave: singular values near 1."""
    x = torch.randn(2, 7, 4, dtype=torch.float64)
    for made in (orthogonal(x, QUINTIC), orthogonal(x, TUNED)):
        left, _, right = torch.linalg.svd(x, full_matrices=False)
        values = (left.mT @ made @ right.mT).diagonal(dim1=-2, dim2=-1)
        close(left * values[..., None, :] @ right, made)
        assert (values > 0.6).all() and (values < 1.3).all()
    assert not orthogonal(torch.zeros(3, 3), QUINTIC).any()


def test_a_step_of_muon_does_not_grow_with_the_error() -> None:
    """Of a loss whose gradient does not depend on the answer."""
    spec = ttr.Spec.parse("Uniform | Linear | ChunkMuon(window=3, size=4) | loss=DotProduct")
    x = stream(spec, 12)
    close(ttr.solve(spec, replace(x, v=1000 * x.v)), ttr.solve(spec, x), 1e-6)
