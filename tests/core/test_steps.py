"""Several steps per token, momentum, forgetting least squares, windows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from streams import stream
from test_definition import outputs_and_gradients
from test_properties import close

import ttr_core as ttr
from ttr_core.stream import Signal

WEIGHTS = ("Uniform", "Gate * Importance", "ChannelGate")


def equals_the_definition(spec: ttr.Spec, solver: str, length: int = 7) -> None:
    y, gradients = outputs_and_gradients(spec, solver, length)
    wanted, slopes = outputs_and_gradients(spec, "reference", length)
    close(y, wanted, 1e-8)
    for got, want in zip(gradients, slopes, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


# ---- several steps


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("n", [1, 3])
def test_any_number_of_steps_equals_the_definition(weights: str, n: int) -> None:
    equals_the_definition(ttr.Spec.parse(f"{weights} | Linear | MultiStep(n={n})"), "chunked_delta")


def test_one_step_per_token_is_the_delta_rule() -> None:
    one, sgd = (ttr.Spec.parse(f"Gate | Linear | {o}") for o in ("MultiStep(n=1)", "SGD"))
    x = stream(sgd, 30)
    close(ttr.solve(one, x), ttr.solve(sgd, x))
    bounded = ttr.Spec.parse("Gate | Linear | MultiStep(n=1, link=sigmoid)")
    assert "Gate | Linear | SGD" in ttr.describe(bounded).same_as


def test_steps_of_size_zero_leave_the_first_one() -> None:
    two, sgd = (ttr.Spec.parse(f"Gate | Linear | {o}") for o in ("MultiStep", "SGD"))
    x = stream(two, 30)
    steps = x.signals["step"] * torch.tensor([1.0, 0.0])
    once = {"decay": x.signals["decay"], "step": steps[..., :1]}
    close(
        ttr.solve(two, replace(x, signals={**x.signals, "step": steps})),
        ttr.solve(sgd, replace(x, signals=once)),
    )


def test_two_reflections_turn_the_memory_and_one_does_not() -> None:
    """Steps of 2 on unit keys at an angle of 30 degrees: twelve tokens are a turn by 720."""
    spec = ttr.Spec.parse("Uniform | Linear | MultiStep")
    turn = torch.tensor(torch.pi / 6, dtype=torch.float64)
    first, second = torch.eye(2, dtype=torch.float64)[0], torch.stack([turn.cos(), turn.sin()])

    def spread(z: torch.Tensor) -> torch.Tensor:
        return z.expand(1, 1, 13, -1)

    step = spread(torch.full((2,), 2.0, dtype=torch.float64)).clone()
    v = torch.zeros(1, 1, 13, 1, dtype=torch.float64)
    v[:, :, 0] = 1.0  # written by the first step of the first token, whose second step is 0
    step[:, :, 0] = torch.tensor([1.0, 0.0])
    signals = {"step": step, "extra_keys": spread(second), "extra_values": 0 * v}
    x = ttr.Stream(spread(first), spread(first), v, signals)
    y = ttr.solve(spec, x)[0, 0, :, 0]
    angles = torch.arange(13, dtype=torch.float64) * 2 * turn
    close(y, angles.cos())


def test_a_width_may_be_several_units() -> None:
    spec = ttr.Spec.parse("Uniform | Linear | MultiStep(n=3)")
    widths = {s.name: (s.width, spec.signal_width(s, 5, 7)) for s in spec.signals}
    assert widths == {
        "step": ("3*scalar", 3),
        "extra_keys": ("2*key", 10),
        "extra_values": ("2*value", 14),
    }
    for wrong in ("keys", "0*key", "x*key", "2*", "-1*key"):
        with pytest.raises(ttr.RequestError, match="such as '2\\*key'"):
            Signal("step", wrong, "identity", 0.0, 0.0, 1.0, "")
    x = stream(spec, 5)
    short = replace(x, signals={**x.signals, "extra_keys": x.k})
    with pytest.raises(ttr.RequestError, match="2\\*key width"):
        ttr.solve(spec, short)


def test_constants_stand_for_further_pairs() -> None:
    from ttr_core.lab.tasks.constants import Constants

    spec = ttr.Spec.parse("Uniform | Linear | MultiStep(n=3)")
    x = stream(spec, 5)
    made = Constants.fresh(spec).stream(x.q, x.k, x.v)
    close(made.signals["extra_keys"], torch.cat([x.k, x.k], -1))
    close(made.signals["extra_values"], torch.cat([x.v, x.v], -1))


def test_the_frame_treats_further_keys_as_keys() -> None:
    frame = replace(ttr.FRAMES["standard"], rope=100.0)
    spec = ttr.Spec.parse("Uniform | Linear | MultiStep(n=3)")
    layer = ttr.SequenceLayer(spec, frame, 16, 2).double()
    x = torch.randn(2, 6, 16).double()
    made, _ = layer._stream(x, None, 0)
    keys = made.signals["extra_keys"].unflatten(-1, (2, 8))
    close(keys.norm(dim=-1), torch.ones(2, 2, 6, 2).double())
    state, rows = None, []
    for t in range(6):
        y, state = layer.step(x[:, t], state)
        rows.append(y)
    close(torch.stack(rows, 1), layer(x), 1e-8)


# ---- momentum


@pytest.mark.parametrize("weights", ["Decay", "Gate * Importance"])
def test_the_decayed_gradient_equals_the_definition(weights: str) -> None:
    spec = ttr.Spec.parse(f"{weights} | Linear | Momentum(residual=decayed)")
    equals_the_definition(spec, "chunked_momentum")


@pytest.mark.parametrize("residual", ["decayed", "undecayed"])
def test_without_momentum_it_is_the_delta_rule(residual: str) -> None:
    heavy, sgd = (
        ttr.Spec.parse(f"Gate | Linear | {o}(residual={residual})") for o in ("Momentum", "SGD")
    )
    x = stream(heavy, 80)
    still = replace(
        x, signals={**x.signals, "momentum": torch.zeros_like(x.signals["momentum"])}
    ).map(lambda z: z.clone().requires_grad_())
    without = replace(still, signals={n: s for n, s in still.signals.items() if n != "momentum"})
    y, wanted = ttr.solve(heavy, still), ttr.solve(sgd, without)
    close(y, wanted)
    leaves = (still.q, still.k, still.v, *without.signals.values())
    got, want = (torch.autograd.grad(z.sin().sum(), leaves) for z in (y, wanted))
    for a, b in zip(got, want, strict=True):
        close(a, b, 1e-7)


def test_a_momentum_of_zero_still_has_a_slope() -> None:
    spec = ttr.Spec.parse("Gate | Linear | Momentum")
    x = stream(spec, 6)
    slopes = []
    for solver in ("chunked_momentum", "reference"):
        eta = torch.zeros_like(x.signals["momentum"]).requires_grad_()
        y = ttr.solve(spec, replace(x, signals={**x.signals, "momentum": eta}), solver=solver)
        slopes.append(torch.autograd.grad(y.sin().sum(), eta)[0])
    close(*slopes, 1e-8)
    assert slopes[0].abs().max() > 1e-3


def test_momentum_without_forgetting_writes_a_pair_bit_by_bit() -> None:
    """One pair, then silence: its share in the memory is theta (1 - eta^t) / (1 - eta)."""
    spec = ttr.Spec.parse("Uniform | Constant | Momentum")
    one = torch.ones(1, 1, 8, 1, dtype=torch.float64)
    theta = 0.1 * one
    theta[:, :, 1:] = 0.0
    x = ttr.Stream(one, one, one, {"step": theta, "momentum": 0.5 * one})
    wanted = 0.1 * (1 - 0.5 ** torch.arange(1, 9, dtype=torch.float64)) / 0.5
    close(ttr.solve(spec, x)[0, 0, :, 0], wanted)


def test_a_momentum_per_head_survives_the_end_of_a_chunk() -> None:
    spec = ttr.Spec.parse("Gate | Linear | Momentum")
    x = stream(spec, 150)
    y, state = ttr.prefill(spec, x.tokens(0, 70))
    rest, _ = ttr.prefill(spec, x.tokens(70, 150), state=state)
    close(torch.cat([y, rest], 2), ttr.solve(spec, x), 1e-8)
    assert ttr.state_size(spec, 3, 2, 150) == sum(z[0, 0].numel() for z in state.values())
