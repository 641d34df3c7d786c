"""solve, prefill, state_size: what everything else calls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Singular
from ..limits import MAX_FLOPS, REFERENCE_FLOPS, Shape, check
from ..named import Carried, Params
from ..precision import full_precision, single
from ..space.spec import Spec
from ..stream import Stream
from .base import AnySolver
from .least import least
from .oracle import Reference
from .pieces import in_pieces
from .requests import Layout, check_ranges, check_state, validated
from .soundness import marked, sound
from .table import resolve


def solve(
    spec: Spec | str, stream: Stream, params: Params | None = None, solver: str | None = None
) -> Tensor:
    """Runs a layer over sequences.

    Args:
        spec: a layer, or its text.
        stream: queries, keys, values and the spec's signals, [B, H, T, .] each.
        params: the spec's parameters by name; None takes fresh ones from `Spec.parameters`.
        solver: a solver's name; None takes the fastest, ``reference`` the definition.

    Returns:
        y, [B, H, T, V].

    Raises:
        IncompatibleSpec: ``spec`` is not a layer.
        RequestError: a tensor of the wrong shape, or a signal that is missing, unknown or out of
            its range.
        LimitExceeded: the computation is too large.

    Example:
        >>> import torch, ttr_core as ttr
        >>> q = k = v = torch.eye(4)[None, None]
        >>> ttr.solve("Uniform | Linear | Hebbian", ttr.Stream(q, k, v)).shape
        torch.Size([1, 1, 4, 4])
    """
    spec = Spec.of(spec)
    return _checked(resolve(spec, solver), spec, stream, params, None)[0]


def prefill(
    spec: Spec | str, stream: Stream, params: Params | None = None, state: Carried | None = None
) -> tuple[Tensor, Carried]:
    """Runs a layer and returns where it left off; goes on from ``state``, one token or many.

    Args:
        spec: a layer, or its text.
        stream: the new tokens.
        params: as for `solve`.
        state: what an earlier call returned, or None at the start of a sequence.

    Returns:
        y of the new tokens, [B, H, T, V], and the state after them.

    Example:
        >>> import torch, ttr_core as ttr
        >>> q, k, v = torch.randn(3, 1, 1, 5, 4).unbind(0)
        >>> y, state = ttr.prefill("Uniform | Linear | Hebbian", ttr.Stream(q, k, v))
        >>> y, state = ttr.prefill("Uniform | Linear | Hebbian", ttr.Stream(q, k, v), state=state)
        >>> y.shape
        torch.Size([1, 1, 5, 4])
    """
    spec = Spec.of(spec)
    return _checked(resolve(spec), spec, stream, params, state)


def _checked(
    solver: AnySolver, spec: Spec, stream: Stream, params: Params | None, state: Carried | None
) -> tuple[Tensor, Carried]:
    """As `run`, for signals that no link of a layer keeps in their range."""
    x = _admitted(solver, spec, stream, state)
    check_ranges(spec, x)
    return _solved(solver, spec, x, params, state)


def run(
    solver: AnySolver, spec: Spec, stream: Stream, params: Params | None, state: Carried | None
) -> tuple[Tensor, Carried]:
    """Runs one solver on a stream: the one door to every solve, that of layers included.

    Half precision is computed in float32, automatic casts or not, and the outputs have the values'
    type: they are within two roundings of those in float64. The state is in float32 or better.

    From the first token of a head that holds a number which is none, its outputs are NaN, and those
    before are as they would be without it.

    Args:
        solver: one that does not refuse ``spec``.
        spec: a layer.
        stream: the new tokens; none of them, or no sequences, give empty outputs.
        params: as for `solve`.
        state: what an earlier call returned; None or an empty one at the start of a sequence.

    Returns:
        y, [B, H, Tq, V], and the state after the last token.

    Raises:
        RequestError: a stream, or a state, that does not fit.
        LimitExceeded: the computation is too large.
        Singular: a system of equations has no solution in the precision it was solved in.
    """
    return _solved(solver, spec, _admitted(solver, spec, stream, state), params, state)


def _admitted(solver: AnySolver, spec: Spec, stream: Stream, state: Carried | None) -> Stream:
    """Returns the stream at H heads, once it and the state fit and the work is not too much."""
    x = validated(spec, stream)
    if not x.length or not x.k.shape[0]:
        return x
    if state and not torch.compiler.is_compiling():  # a graph holds what was checked before it
        check_state(solver, spec, x, state, layout(solver, spec, x.key_dim, x.value_dim))
    shape = shape_of(spec, x)
    most = REFERENCE_FLOPS if isinstance(solver, Reference) else MAX_FLOPS

    smaller = solver.smaller(spec, shape, "T", "B")
    check(_Asked(spec, shape), solver.estimate(spec, shape), most, smaller, x.k.device.type)
    return x


def _solved(
    solver: AnySolver, spec: Spec, x: Stream, params: Params | None, state: Carried | None
) -> tuple[Tensor, Carried]:
    queries = x.q.shape[2]
    if not x.length or not x.k.shape[0]:
        return x.v[:, :, x.length - queries :], dict(state or {})
    if params is None:
        fresh = spec.parameters(x.key_dim, x.value_dim, x.heads)
        params = {name: p.to(x.k.device) for name, p in fresh.items()}
    given = x.v.dtype
    if not (state is None and x.q.dtype == x.k.dtype == given and solver.takes_half(spec)):
        x = x.map(single)
    x, spoiled = sound(spec, _with_all_queries(x))
    params = {name: single(p) for name, p in params.items()}
    before = {name: single(s) for name, s in state.items()} if state else None
    try:
        with full_precision(x.k.device):
            y, after = in_pieces(solver, spec, x, params, before)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # it is exported
        raise Singular(
            f"{spec}: its system of equations has no solution in {x.k.dtype}: {error}. Raise the "
            "ridge, or scale the keys down."
        ) from error
    y, after = marked(y, {name: single(s) for name, s in after.items()}, spoiled)
    return y[:, :, x.length - queries :].to(given), after


@dataclass(frozen=True)
class _Asked:
    """What a solve is called where it is refused; put into words only there."""

    spec: Spec
    shape: Shape

    def __str__(self) -> str:
        return f"{self.spec} at {self.shape}"


def _with_all_queries(x: Stream) -> Stream:
    """Returns the stream with a query for every key; the given ones belong to the last tokens."""
    missing = x.length - x.q.shape[2]
    return replace(x, q=F.pad(x.q, (0, 0, missing, 0))) if missing else x


def state_size(spec: Spec | str, key_dim: int, value_dim: int, length: int) -> int:
    """Returns how many numbers one head must keep after ``length`` tokens, by its definition.

    That is the memory of an incremental optimizer and what it carries beside it; of an exact fit
    the sums that it is made from; under a kernel of the query all pairs; and never more than the
    pairs themselves, where the memory can be had from them. The solver that runs the layer may hold
    more.

    Args:
        spec: a layer, or its text.
        key_dim: K, entries of a key.
        value_dim: V, entries of a value.
        length: T, how many tokens have passed.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.state_size("Uniform | Linear | SGD", 64, 64, length=1000)
        4096
        >>> ttr.state_size("ExpKernel | Constant | Exact", 64, 64, length=1000)
        128000
    """
    spec = Spec.of(spec).check()
    return least(spec).size(_one_head(spec, key_dim, value_dim, length))


def packed_state_size(spec: Spec | str, key_dim: int, value_dim: int, length: int) -> int:
    """Returns the same with symmetric matrices counted by one half, and their diagonal.

    Args:
        spec: a layer, or its text.
        key_dim: K, entries of a key.
        value_dim: V, entries of a value.
        length: T, how many tokens have passed.

    Example:
        >>> import ttr_core as ttr
        >>> spec = "Gate | Linear | Exact"
        >>> ttr.state_size(spec, 64, 64, length=1000)
        8192
        >>> ttr.packed_state_size(spec, 64, 64, length=1000)
        6176
    """
    spec = Spec.of(spec).check()
    return least(spec).packed(_one_head(spec, key_dim, value_dim, length))


def _one_head(spec: Spec, key_dim: int, value_dim: int, length: int) -> Shape:
    return Shape(1, 1, length, key_dim, value_dim, spec.feature_size(key_dim))


def shape_of(spec: Spec, x: Stream) -> Shape:
    """Returns the sizes that cost estimates are made from."""
    wide = spec.feature_size(x.key_dim)
    return Shape(x.k.shape[0], x.k.shape[1], x.length, x.key_dim, x.value_dim, wide)


@lru_cache(maxsize=256)
def layout(solver: AnySolver, spec: Spec, key_dim: int, value_dim: int) -> Layout:
    """Returns the shape of each tensor of a head's state; None for sizes that grow with T.

    Found out by running a sequence of one token and one of two.
    """
    shapes = []
    with torch.no_grad():
        for length in (1, 2):
            k, v = torch.ones(1, 1, length, key_dim), torch.ones(1, 1, length, value_dim)
            signals = {
                s.name: torch.full((1, 1, length, spec.signal_width(s, key_dim, value_dim)), s.idle)
                for s in spec.signals
            }
            x = Stream(k, k, v, signals)
            _, after = solver.run(spec, x, spec.parameters(key_dim, value_dim, 1), None)
            shapes.append({name: tuple(s.shape[2:]) for name, s in after.items()})
    return {
        name: tuple(a if a == b else None for a, b in zip(one, shapes[1][name], strict=True))
        for name, one in shapes[0].items()
    }
