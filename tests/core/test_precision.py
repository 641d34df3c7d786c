"""Half precision, automatic casts and late positions: every layer of the catalog, by measure."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from streams import TESTED, by_default, framed, stream, thinned

import ttr_core as ttr
from ttr_core.layers.rotary import rotated
from ttr_core.precision import HALF
from ttr_core.solvers.base import Solver

UNIT = {torch.bfloat16: 2**-8, torch.float16: 2**-11}
"""What one rounding changes at most, relatively."""
LAYER_UNITS, SOLVE_UNITS = 8, 2
"""The errors that the documentation states, in these."""
CASES = framed()


def made(spec: ttr.Spec, frame: ttr.Frame) -> ttr.SequenceLayer:
    return ttr.SequenceLayer(spec, frame, 16, 2, generator=torch.Generator().manual_seed(0))


def inputs() -> torch.Tensor:
    return torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(1))


def error(y: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((y.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize(("spec", "frame"), CASES)
def test_a_layer_in_half_precision(spec: ttr.Spec, frame: ttr.Frame, dtype: torch.dtype) -> None:
    layer, x = made(spec, frame).to(dtype), inputs().to(dtype).requires_grad_()
    with torch.no_grad():
        wanted = copy.deepcopy(layer).double()(x.double())
    y = layer(x)
    assert y.dtype == dtype and error(y.detach(), wanted) <= LAYER_UNITS * UNIT[dtype]
    y.float().square().mean().backward()  # a sum has gradients beyond what float16 holds
    grads = [x.grad, *(p.grad for p in layer.parameters() if p.requires_grad)]
    assert all(g is not None and g.dtype == dtype and g.isfinite().all() for g in grads)


@pytest.mark.parametrize(("spec", "frame"), CASES)
def test_decoding_in_half_precision_keeps_its_state_in_single(
    spec: ttr.Spec, frame: ttr.Frame
) -> None:
    layer, x, state, rows = made(spec, frame).bfloat16(), inputs().bfloat16(), None, []
    with torch.no_grad():
        wanted = copy.deepcopy(layer).double()(x.double())
        for t in range(x.shape[1]):
            y, state = layer.step(x[:, t], state)
            rows.append(y)
    assert not {s.dtype for s in state.values()} & set(HALF) and rows[0].dtype == torch.bfloat16
    assert error(torch.stack(rows, 1), wanted) <= LAYER_UNITS * UNIT[torch.bfloat16]


@pytest.mark.parametrize(("spec", "frame"), CASES)
def test_a_layer_under_automatic_casts(spec: ttr.Spec, frame: ttr.Frame) -> None:
    layer, x = made(spec, frame), inputs()
    with torch.no_grad():
        wanted = copy.deepcopy(layer).double()(x.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
        _, state = layer.step(x[:, 0])
        after, _ = layer.step(x[:, 1], state)
    assert error(y.detach(), wanted) <= LAYER_UNITS * UNIT[torch.bfloat16]
    assert error(after.detach(), wanted[:, 1]) <= LAYER_UNITS * UNIT[torch.bfloat16]
    y.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters() if p.requires_grad)


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("spec", thinned(s for s in TESTED if by_default(s) and not ttr.caution(s)))
def test_a_solve_in_half_precision_rounds_once(spec: ttr.Spec, dtype: torch.dtype) -> None:
    x = stream(spec, length=9, dtype=torch.float32).map(lambda z: z.to(dtype))
    params = spec.parameters(x.key_dim, x.value_dim, x.heads)
    wanted = ttr.solve(spec, x.map(lambda z: z.double()), params)
    y = ttr.solve(spec, x, params)
    assert y.dtype == dtype and error(y.detach(), wanted.detach()) <= SOLVE_UNITS * UNIT[dtype]


def test_the_regression_is_never_computed_in_half_precision() -> None:
    """A bound of one rounding is one that a running sum in half precision breaks."""
    spec = ttr.Spec.parse("Uniform | Linear | Hebbian")
    x = stream(spec, length=2000).map(lambda z: z.abs().bfloat16())
    wanted = ttr.solve(spec, x.map(lambda z: z.double()))
    memory, rows = torch.zeros_like(x.k[:, :, 0, :, None]), []
    for q, k, v in zip(x.q.unbind(2), x.k.unbind(2), x.v.unbind(2), strict=True):
        memory = memory + k[..., None] * v[..., None, :]
        rows.append((q[..., None] * memory).sum(-2))
    assert error(ttr.solve(spec, x), wanted) <= SOLVE_UNITS * UNIT[torch.bfloat16]
    assert error(torch.stack(rows, 2), wanted) > SOLVE_UNITS * UNIT[torch.bfloat16]


@pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("first", [0, 1000, 65_500, 2**24 + 1, 2**31])
def test_rotary_angles_are_precise_at_any_position(dtype: torch.dtype, first: int) -> None:
    """In half precision to what rounding cos, sin and products costs: the angles are not rounded.

    Angles that are rounded to half precision, even within one turn, are off by twice that.
    """
    x = torch.randn(1, 1, 24, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = rotated(x, first, 10_000.0)
    rows = []
    for t in range(24):
        row = x[0, 0, t].double().tolist()
        turns = [math.fmod((first + t) * 10_000.0 ** (-j / 4), 2 * math.pi) for j in range(4)]
        cos, sin = [math.cos(a) for a in turns], [math.sin(a) for a in turns]
        rows.append(
            [row[j] * cos[j] - row[4 + j] * sin[j] for j in range(4)]
            + [row[j] * sin[j] + row[4 + j] * cos[j] for j in range(4)]
        )
    counted = (1 + first) * torch.finfo(torch.float64).eps  # what float64 knows of such an angle
    roundings = 1.1 if dtype in HALF else 3
    bound = roundings * torch.finfo(dtype).eps / 2 + counted
    assert error(y[0, 0], torch.tensor(rows, dtype=torch.float64)) <= bound


ROTARY = [name for name, entry in ttr.catalog.items() if entry.frame.rope]


@pytest.mark.parametrize("name", ROTARY)
def test_a_rotary_layer_decodes_far_from_the_start_in_half_precision(name: str) -> None:
    layer = ttr.catalog[name].layer(16, 2, generator=torch.Generator().manual_seed(0)).half()
    wide, x = copy.deepcopy(layer).double(), inputs().half()
    with torch.no_grad():
        (_, state), (_, exact) = layer.step(x[:, 0]), wide.step(x[:, 0].double())
        state["offset"] = exact["offset"] = torch.tensor(2**24 + 7)
        for t in range(1, 5):
            y, state = layer.step(x[:, t], state)
            wanted, exact = wide.step(x[:, t].double(), exact)
    assert error(y, wanted) <= LAYER_UNITS * UNIT[torch.float16]


@pytest.mark.parametrize(
    ("name", "length"), [("gateloop", 3000), ("lru", 3000), ("orchid", 3000), ("cosformer", 500)]
)
def test_phases_in_half_precision_stay_right_far_from_the_start(name: str, length: int) -> None:
    layer = ttr.catalog[name].layer(8, 2, generator=torch.Generator().manual_seed(0)).half()
    x = torch.randn(1, length, 8, generator=torch.Generator().manual_seed(1)).half()
    with torch.no_grad():
        y, wanted = layer(x), copy.deepcopy(layer).double()(x.double())
    late = slice(-50, None)
    assert error(y[:, late], wanted[:, late]) <= LAYER_UNITS * UNIT[torch.float16]


@pytest.mark.parametrize("dtype", [*HALF, torch.float32], ids=str)
def test_the_phase_of_gateloop_is_summed_without_rounding(dtype: torch.dtype) -> None:
    """Against sums of its own angles that round once; in float32 they would be off by 1e-4."""
    layer, angles = ttr.catalog["gateloop"].layer(8, 2).to(dtype), []
    x = torch.randn(1, 3000, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    part = layer.signals["angle"]
    part.register_forward_hook(lambda module, given, made: angles.append(made))
    with torch.no_grad():
        part.up.bias += 30.0  # a phase that grows: its sum is large beside what counts of it
        _, state = layer.advance(x, None)
    total = [0.03 * math.fsum(row) for row in angles[0][0, :, :, 0].tolist()]
    kept = next(value for name, value in state.items() if name.endswith("angle")).flatten()
    wanted = torch.tensor(total, dtype=torch.float64)
    off = torch.stack([(kept - wanted).sin(), (kept - wanted).cos() - 1])
    torch.testing.assert_close(off, torch.zeros_like(off), rtol=0, atol=1e-9)


def test_only_one_solver_takes_half_precision_as_it_is() -> None:
    """And it is one that torch accumulates in float32 for."""
    takes = {solver.name for solver in ttr.SOLVERS for s in TESTED if solver.takes_half(s)}
    assert takes == {"attention"} and Solver.takes_half is not None


def test_waves_of_a_filter_stay_exact_in_single_precision_at_long_lags() -> None:
    weights = ttr.catalog["orchid"].spec.weights
    params = weights.parameters(4, 4, 2)
    with torch.no_grad():
        params["fade"] -= 20.0  # else nothing is left at such lags
        params["rate"] += 1e-3 * torch.randn(params["rate"].shape)
        h, wanted = (weights.filters(1 << 15, params, t) for t in (torch.float32, torch.float64))
    late = slice(-100, None)
    assert error(h[..., late], wanted[..., late]) <= 1e-5
