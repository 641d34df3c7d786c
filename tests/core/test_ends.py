"""Numbers at the ends of their range: every solver gives what the definition gives there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from streams import RTOL32, TESTED, accepting, shorten_chunks, stream
from torch import Tensor

import ttr_core as ttr
from ttr_core.solvers.chunks import chunk_size
from ttr_core.space.functions import Network
from ttr_core.space.ingredient import REGISTRY
from ttr_core.space.optimizers import (
    DiagonalStep,
    HistorySteps,
    RankOneSteps,
    Retrospective,
    TwoStage,
)
from ttr_core.space.weights import SteadyWeights
from ttr_core.stream import Signal

LENGTH = 7
AT = [1, 4, 5]
LOG_DECAYS = (0.0, -1e4, -1e9, -math.inf)


def ends(spec: ttr.Spec, signal: Signal) -> tuple[float, ...]:
    """Returns the numbers at the ends of a signal's range; 0 for keys and values of their own."""
    least, most = signal.range
    if signal.logarithmic:
        return LOG_DECAYS
    if math.isinf(least):
        return (0.0,)
    # Of a range without an end the largest sensible number: beyond it layers themselves blow up.
    return (least, signal.high if math.isinf(most) else most)


def at_its_ends(spec: ttr.Spec) -> Iterator[tuple[str, float, ttr.Stream]]:
    """Yields the same stream with one signal at one end, or one of q, k, v at 0, at some tokens."""
    for signal in spec.signals:
        for end in ends(spec, signal):
            x = stream(spec, LENGTH, heads=1)
            moved = x.signals[signal.name].clone()
            moved[:, :, AT] = end
            yield signal.name, end, replace(x, signals={**x.signals, signal.name: moved})
    for name in ("q", "k", "v"):
        x = stream(spec, LENGTH, heads=1)
        nothing = getattr(x, name).clone()
        nothing[:, :, AT[0]] = 0.0  # at one: equal keys leave a kernel's definition without a slope
        yield name, 0.0, replace(x, **{name: nothing})


def kinds(spec: ttr.Spec) -> set[tuple[str, ...]]:
    """Every signal of every ingredient with every solver, optimizer and readout that meets it.

    And with coefficients that have no norm, which a fit without pairs leaves alone.
    """
    parts = (*spec.weights.factors(), spec.function, spec.optimizer, spec.loss, spec.readout)
    names = {(type(p).__name__, s.name) for p in parts for s in p.signals}
    kind = (str(spec.optimizer), type(spec.readout).__name__)
    free = isinstance(spec.optimizer, Retrospective) and getattr(spec.function, "intercepts", 0)
    return {(*name, *kind, f"{free} free", by) for name in names for by in accepting(spec)}


SPECS = [spec for spec in TESTED if kinds(spec)]


def worth(spec: ttr.Spec, new: int) -> tuple[bool, int, bool]:
    network = isinstance(spec.function, Network)
    return new > 0 and not network, new, spec.feature_size(3) == 3


def covering() -> set[ttr.Spec]:
    """Returns layers that together have all of these, on models of several features if possible."""
    have = {spec: kinds(spec) for spec in SPECS}
    missing, chosen = set().union(*have.values()), set()
    while missing:
        best = max(SPECS, key=lambda spec: worth(spec, len(have[spec] & missing)))
        chosen.add(best)
        missing -= have[best]
    return chosen


CHOSEN = covering()
PAIRS = [
    pytest.param(
        spec, by, id=f"{spec} by {by}", marks=() if spec in CHOSEN else pytest.mark.full_grid
    )
    for spec in SPECS
    for by in accepting(spec)
]


def amplified(spec: ttr.Spec, y: Tensor) -> float:
    """By how much a layer itself multiplies the rounding of its gradients in float32.

    Measured with the scans: 8 at norms within networks, 30 where steps of 2 on features of any
    length make outputs grow to thousands.
    """
    return 10.0 if isinstance(spec.function, Network) else y.abs().max().clamp(1, 50).item()


def has_slopes(spec: ttr.Spec) -> bool:
    """Whether gradients are promised: not by a minimum norm."""
    return getattr(spec.optimizer, "ridge", None) != 0


def parameters(spec: ttr.Spec, x: ttr.Stream, prefix: str = "") -> dict[str, Tensor]:
    """Returns a spec's parameters in the precision of a stream, without a part of their names."""
    fresh = spec.parameters(x.key_dim, x.value_dim, x.heads).items()
    own = {n.removeprefix(prefix): p.detach() for n, p in fresh if n.startswith(prefix)}
    return {n: p.to(x.k.dtype) if p.is_floating_point() else p for n, p in own.items()}


def close(a: Tensor, b: Tensor, where: str, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(
        a, b, rtol=tolerance, atol=tolerance, msg=lambda said: f"{where}: {said}"
    )


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams reach over several chunks, the last of which is cut off."""
    shorten_chunks(monkeypatch, 3)


def test_chunks_are_short() -> None:
    assert chunk_size(LENGTH) == 3


def answers(spec: ttr.Spec, x: ttr.Stream, solver: str) -> tuple[Tensor, list[Tensor]]:
    """Returns the outputs and the gradients of queries, keys, values and signals."""
    return by_others(spec, x, solver, list(range(x.length)))


def together(spec: ttr.Spec) -> tuple[list[str], ttr.Stream]:
    """Returns the names of all ends, and one sequence of a batch for each."""
    names, values, streams = zip(*at_its_ends(spec), strict=True)
    x = streams[0]
    whole = ttr.Stream(
        *(torch.cat([getattr(z, part) for z in streams]) for part in ("q", "k", "v")),
        {name: torch.cat([z.signals[name] for z in streams]) for name in x.signals},
    )
    where = [f"{name} = {end:g}" for name, end in zip(names, values, strict=True)]
    return where, whole


@lru_cache(maxsize=2)
def defined(spec: ttr.Spec) -> tuple[Tensor, list[Tensor]]:
    return answers(spec, together(spec)[1], "reference")


@pytest.mark.parametrize(("spec", "solver"), PAIRS)
def test_at_the_ends_a_solver_gives_what_is_defined(spec: ttr.Spec, solver: str) -> None:
    (ends, x), (wanted, slopes) = together(spec), defined(spec)
    y, grads = answers(spec, x, solver)
    y32, grads32 = answers(spec, x.map(lambda z: z.float()), solver)
    for case, where in enumerate(ends):
        close(y[case], wanted[case], where)
        assert (y32[case] - wanted[case]).norm() <= RTOL32 * wanted[case].norm(), where
        for slope, got, single in zip(slopes, grads, grads32, strict=True):
            if has_slopes(spec) and not (where == "k = 0" and isinstance(spec.optimizer, TwoStage)):
                close(got[case], slope[case], where, 1e-7)
                size = torch.stack([z[case].norm() for z in slopes]).norm()
                most = RTOL32 * amplified(spec, wanted[case]) * size
                assert (single[case] - slope[case]).norm() <= most, where


def test_a_key_of_0_has_the_slope_of_the_keys_near_it() -> None:
    """What runs the definition sees phi v^T alone, which shows no value at a key of 0.

    So automatic slopes are 0 there. Those of its outputs' differences are not, and they are what
    the solver that layers run gives.
    """
    spec = ttr.Spec.parse("Gate | Linear | Residual")
    solver = ttr.resolve(spec).name
    x = stream(spec, LENGTH, heads=1)
    x.k[:, :, 1] = 0.0
    _, (_, to_k, *_) = answers(spec, x, solver)
    for channel in range(x.key_dim):
        told = []
        for little in (1e-5, -1e-5):
            k = x.k.clone()
            k[:, :, 1, channel] = little
            y = ttr.solve(spec, replace(x, k=k), parameters(spec, x), solver="reference")
            told.append(float(y.sin().sum()))
        slope = float(to_k[..., 1, channel].sum())
        assert slope == pytest.approx((told[0] - told[1]) / 2e-5, rel=1e-6)


ABSENT = [0, 3, 4]


def by_weight_alone(spec: ttr.Spec) -> bool:
    """Whether a token without a weight leaves nothing: no momentum, turn or chunk goes on by it.

    What an optimizer knows of the pairs beside the memory goes on by signals of its own, a filter's
    drift or the weight of a squared key: with those at 0 too, nothing is left (`STILL`).
    """
    weighed = any(signal.name == "importance" for signal in spec.signals)
    timeless = isinstance(spec.optimizer, Retrospective | RankOneSteps | DiagonalStep)
    steady = any(isinstance(part, SteadyWeights) for part in spec.weights.factors())
    return weighed and timeless and not steady


STILL = {"importance", "drift", "squares"}
FILTERS = [  # none is listed under a weight of its own
    ttr.Spec.parse(f"Gate * Importance | Linear | {name}")
    for name, choice in REGISTRY["optimizer"].items()
    if issubclass(choice, HistorySteps)
]
WEIGHED = [p for p in PAIRS if by_weight_alone(p.values[0])]
WEIGHED += [
    pytest.param(spec, by, id=f"{spec} by {by}") for spec in FILTERS for by in accepting(spec)
]


@pytest.mark.parametrize(("spec", "solver"), WEIGHED)
def test_a_token_of_weight_0_is_as_if_it_were_absent(spec: ttr.Spec, solver: str) -> None:
    """Outputs and gradients of the others are those of a stream without it."""
    x = stream(spec, 9, heads=1)
    still = {s.name: 0.0 for s in spec.signals if s.logarithmic or s.name in STILL}
    signals = {n: s.clone() for n, s in x.signals.items()}
    for name, nothing in still.items():
        signals[name][:, :, ABSENT] = nothing
    others = [t for t in range(9) if t not in ABSENT]
    masked = replace(x, signals=signals)
    y, grads = by_others(spec, masked, solver, others)
    wanted, slopes = by_others(spec, masked.map(lambda z: z[:, :, others]), solver, list(range(6)))
    close(y[:, :, others], wanted, solver)
    close(y, ttr.solve(spec, masked, parameters(spec, x), solver="reference"), "no pair yet")
    if not has_slopes(spec):
        return
    assert all(z.isfinite().all() for z in grads)
    for a, b in zip(grads, slopes, strict=True):
        close(a[:, :, others], b, solver, 1e-7)
    for a in grads[:3]:
        assert a[:, :, ABSENT].abs().max() < 1e-25


@pytest.mark.parametrize(
    "weights", ["Gate", "ChannelGate", "Gate * Importance", "Decay", "Uniform"]
)
@pytest.mark.parametrize("log_decay", LOG_DECAYS)
def test_the_definition_is_a_plain_recurrence(weights: str, log_decay: float) -> None:
    """The definition takes its weights from where some solvers do: here is one that does not."""
    spec = ttr.Spec.parse(f"{weights} | Linear | OneStep")
    x = stream(spec, LENGTH, heads=1)
    if "decay" in x.signals:
        x.signals["decay"][:, :, AT] = log_decay
    kept, brought = spec.weights.recency(x, parameters(spec, x, "weights."))
    memory, outputs = torch.zeros(1, 1, 3, 2, dtype=torch.float64), []
    for t in range(LENGTH):
        share = 1.0 if kept is None else kept[:, :, t].exp()[..., None]
        weight = 1.0 if brought is None else brought[:, :, t, :, None]
        memory = share * memory + weight * x.k[:, :, t, :, None] * x.v[:, :, t, None]
        outputs.append(x.q[:, :, t, None] @ memory)
    close(ttr.solve(spec, x, solver="reference"), torch.cat(outputs, 2), "reference", 1e-12)


def by_others(
    spec: ttr.Spec, x: ttr.Stream, solver: str, tokens: list[int]
) -> tuple[Tensor, list[Tensor]]:
    """Returns the outputs, and the gradients of those of some tokens."""
    leaves = [z.clone().requires_grad_() for z in (x.q, x.k, x.v, *x.signals.values())]
    given = ttr.Stream(*leaves[:3], dict(zip(x.signals, leaves[3:], strict=True)))
    y = ttr.solve(spec, given, parameters(spec, x), solver=solver)
    told = y[:, :, tokens].sin().sum()
    return y.detach(), list(
        torch.autograd.grad(told, leaves, allow_unused=True, materialize_grads=True)
    )


FADING = [spec for spec in CHOSEN if any(signal.logarithmic for signal in spec.signals)]


@pytest.mark.parametrize("spec", sorted(FADING, key=str), ids=str)
def test_a_state_goes_on_over_resets(spec: ttr.Spec) -> None:
    ends, x = together(spec)
    params, state, parts = parameters(spec, x), None, []
    for start, stop in ((0, 1), (1, 2), (2, 5), (5, LENGTH)):
        y, state = ttr.prefill(spec, x.tokens(start, stop), params, state)
        parts.append(y)
    whole, found = ttr.solve(spec, x, params), torch.cat(parts, 2)
    for case, where in enumerate(ends):
        close(found[case], whole[case], where, 1e-8)
