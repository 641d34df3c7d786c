"""The delta family: where its members coincide, and what steps to 2 can do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import stream
from test_properties import close

import ttr_core as ttr
from ttr_core.layers.layer import SequenceLayer
from ttr_core.space.optimizers.recurrences import faded_sums, variances

FAMILY = (
    "kda", "gated-deltanet-2", "fg2-gdn", "gated-deltaproduct", "rwkv7", "comba", "efla",
    "kaczmarz-linear-attention", "momentum-deltanet", "preconditioned-deltanet",
    "preconditioned-kda", "iso-kdn", "diag-kdn", "residual-deltanet",
)  # fmt: skip


def test_the_family_is_there_and_each_says_what_it_adds_to_another() -> None:
    for name in FAMILY:
        assert any(other in ttr.catalog[name].summary for other in ("DeltaNet", "KDA")), name


def given(
    spec: str,
    own: dict[str, torch.Tensor] | None = None,
    unit: bool = False,
    **signals: torch.Tensor,
) -> torch.Tensor:
    """What a spec answers on a stream of 70 tokens with these signals in place of its own."""
    x = stream(ttr.Spec.parse(spec), 70, key_dim=4, value_dim=4)
    k = torch.nn.functional.normalize(x.k, dim=-1) if unit else x.k
    return ttr.solve(
        spec, replace(x, k=k, signals={n: signals.get(n, s) for n, s in x.signals.items()}), own
    )


def drawn(seed: int, width: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 2, 70, width, generator=generator, dtype=torch.float64)


def test_a_decay_that_all_channels_share_is_gated_deltanets() -> None:
    step, decay = drawn(1), drawn(2).log()
    wide = given("ChannelGate | Linear | SGD", step=step, decay=decay.expand(-1, -1, -1, 4))
    close(wide, given("Gate | Linear | SGD", step=step, decay=decay))


def test_a_step_of_two_tracks_parity_and_one_of_one_forgets_it() -> None:
    """One value is written, and every bit of 1 reflects it; a step of 1 replaces it by 0."""
    bits = torch.tensor([0, 1, 1, 0, 1, 0, 1, 1, 1, 0], dtype=torch.float64)
    one = torch.ones(1, 1, 11, 1, dtype=torch.float64)
    v = torch.zeros_like(one)
    v[:, :, 0] = 1.0
    spec = ttr.Spec.parse("Uniform | Linear | SGD(link=twice_sigmoid)")
    for largest in (2.0, 1.0):
        step = torch.cat([one[:, :, :1], largest * bits.view(1, 1, -1, 1)], 2)
        y = ttr.solve(spec, ttr.Stream(one, one, v, {"step": step}))[0, 0, 1:, 0]
        close(y, (1 - largest * bits).cumprod(0))


def test_the_link_bounds_the_steps_of_a_layer() -> None:
    for link, most in (("sigmoid", 1.0), ("twice_sigmoid", 2.0)):
        spec = f"Uniform | Linear | SGD(link={link})"
        layer = SequenceLayer(spec, ttr.FRAMES["standard"], d_model=8)
        with torch.no_grad():
            layer.signals["step"].up.bias.fill_(20.0)
        steps = layer.regression(torch.randn(1, 5, 8))[0].signals["step"]
        close(steps, torch.full_like(steps, most), 1e-5)


# ---- where a member is another


@pytest.mark.parametrize("optimizer", ["EraseWrite", "ChannelSGD"])
def test_gates_that_are_one_number_are_a_step(optimizer: str) -> None:
    gate = drawn(3)
    wide = gate.expand(-1, -1, -1, 4)
    apart = given(f"ChannelGate | Linear | {optimizer}", erase=wide, write=wide)
    close(apart, given("ChannelGate | Linear | SGD", step=gate))


def test_a_flow_on_unit_keys_is_a_step_of_another_size() -> None:
    time = 3 * drawn(4)
    flow = given("Gate | Linear | GradientFlow", unit=True, step=time)
    close(flow, given("Gate | Linear | SGD", unit=True, step=-torch.expm1(-time)))


def test_a_loop_is_a_sum_while_it_is_open_and_the_delta_rule_when_it_is_closed() -> None:
    step = drawn(5)
    for feedback, other in ((40.0, "SGD"), (-60.0, "Hebbian")):
        own = {"optimizer.feedback": torch.full((2,), feedback, dtype=torch.float64)}
        wanted = given(
            f"Importance | Linear | {other}", importance=step, step=torch.ones_like(step)
        )
        close(given("Uniform | Linear | ClosedLoop", own, step=step), wanted)


def test_a_filter_that_nothing_unsettles_takes_the_mean() -> None:
    """With unit keys that are all alike: a step of 1 / (t + r), r the noise over the prior."""
    one = torch.ones(1, 1, 20, 1, dtype=torch.float64)
    v = torch.randn(1, 1, 20, 3, dtype=torch.float64)
    signals = {"noise": 0.99 * one, "drift": 0 * one}
    for optimizer in ("Kalman", "DiagonalKalman"):
        y = ttr.solve(f"Uniform | Linear | {optimizer}", ttr.Stream(one, one, v, signals))
        close(y, v.cumsum(2) / (1 + one.cumsum(2)))


def test_a_preconditioner_of_base_one_is_none_and_one_beyond_two_is_refused() -> None:
    step, own = drawn(6), {"optimizer.center": torch.zeros(2)}
    close(
        given("Gate | Linear | Preconditioned(base=1)", own, step=step),
        given("Gate | Linear | SGD", step=step),
    )
    with pytest.raises(ttr.RequestError, match="2"):
        ttr.Spec.parse("Gate | Linear | Preconditioned(base=2.5)")


def test_a_momentum_pushed_by_all_of_it_is_titans() -> None:
    step, momentum = drawn(7), 0.5 * drawn(8)
    pushed = given(
        "Gate | Linear | Momentum(push_by=token)",
        step=step, momentum=momentum, push=torch.ones_like(step),
    )  # fmt: skip
    close(pushed, given("Gate | Linear | Momentum", step=step, momentum=momentum))


def test_a_second_memory_that_takes_no_step_leaves_the_delta_rule() -> None:
    step = drawn(9)
    second = torch.zeros_like(step)
    close(
        given("Gate | Linear | Residual", step=step, second_step=second),
        given("Gate | Linear | SGD", step=step),
    )
    assert (
        given("Gate | Linear | Residual", step=step) - given("Gate | Linear | SGD", step=step)
    ).abs().max() > 0.01


# ---- recurrences beside the memory


def test_variances_in_float32_are_those_of_float64_over_thousands_of_tokens() -> None:
    generator = torch.Generator().manual_seed(13)
    a, w, u = torch.rand(3, 1, 1, 4096, 8, generator=generator, dtype=torch.float64)
    start = torch.ones_like(a[:, :, 0])
    exact = variances(a, 1e-3 * w, 1e4 * u, start)
    single = variances(a.float(), 1e-3 * w.float(), 1e4 * u.float(), start.float())
    assert (single / exact - 1).abs().max() < 1e-5


def test_recurrences_of_all_tokens_at_once_are_those_of_one_after_another() -> None:
    a, w, u = drawn(10, 3), drawn(11, 3), 100 * drawn(12, 3)
    a = torch.where(a < 0.1, 0.0, a)
    log_decay, sums, p = a[..., :1].log(), torch.zeros_like(a[:, :, 0]), torch.ones_like(a[:, :, 0])
    summed, variance = faded_sums(w, log_decay, sums), variances(a, w, u, p)
    for t in range(70):
        sums = a[:, :, t, :1] * sums + w[:, :, t]
        z = a[:, :, t] * p + w[:, :, t]
        p = z / (1 + u[:, :, t] * z)
        close(summed[:, :, t], sums)
        close(variance[:, :, t], p)
