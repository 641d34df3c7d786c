"""solve, prefill, attention_map: what everything else calls."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import RequestError
from ..limits import MAX_FLOPS, REFERENCE_FLOPS, Shape, check
from ..space.spec import Spec
from ..stream import Stream
from .base import Solver, State
from .table import resolve

Params = Mapping[str, Tensor]


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
        RequestError: a tensor of the wrong shape, or a signal that is missing or unknown.
        LimitExceeded: the computation is too large.

    Example:
        >>> import torch, ttr_core as ttr
        >>> q = k = v = torch.eye(4)[None, None]
        >>> ttr.solve("Uniform | Linear | Hebbian", ttr.Stream(q, k, v)).shape
        torch.Size([1, 1, 4, 4])
    """
    spec = Spec.of(spec)
    return run(resolve(spec, solver), spec, stream, params, None)[0]


def prefill(
    spec: Spec | str, stream: Stream, params: Params | None = None, state: State | None = None
) -> tuple[Tensor, State]:
    """Runs a layer and returns where it left off; goes on from ``state``, one token or many.

    Args:
        spec: a layer, or its text.
        stream: the new tokens.
        params: as for `solve`.
        state: what an earlier call returned, or None at the start of a sequence.

    Returns:
        y of the new tokens, [B, H, T, V], and the state after them.
    """
    spec = Spec.of(spec)
    return run(resolve(spec), spec, stream, params, state)


def run(
    solver: Solver, spec: Spec, stream: Stream, params: Params | None, state: State | None
) -> tuple[Tensor, State]:
    """Checks a stream and runs one solver on it."""
    x = validated(spec, stream)
    shape = shape_of(spec, x)
    slow = solver.name == "reference"
    check(
        f"{spec} at {shape}", solver.estimate(spec, shape), REFERENCE_FLOPS if slow else MAX_FLOPS
    )
    if params is None:
        fresh = spec.parameters(x.key_dim, x.value_dim, x.heads)
        params = {name: p.to(x.k.device) for name, p in fresh.items()}
    half = x.k.dtype in (torch.float16, torch.bfloat16) and solver.name != "attention"
    y, after = solver.run(spec, x.map(lambda z: z.float()) if half else x, params, state)
    return (y.to(x.v.dtype) if half else y), after


def attention_map(spec: Spec | str, stream: Stream, params: Params | None = None) -> Tensor:
    r"""Returns the effective attention: how much of each value is in each output.

    Exact where the output is linear in the values, $y_t = \sum_i W_{ti} v_i$: solved once with
    the identity for values. Otherwise the average over channels of $\partial y_t / \partial v_i$.
    Further values of a token, which signals bring along, are left out.

    Args:
        spec: a layer, or its text.
        stream: the sequences.
        params: as for `solve`.

    Returns:
        W, [B, H, T, T].
    """
    spec = Spec.of(spec)
    x = validated(spec, stream)
    if not spec.linear_in_v:
        return _average_map(spec, x, params)
    shape = (*x.k.shape[:3], x.length)
    values = torch.eye(x.length, dtype=x.k.dtype, device=x.k.device).expand(shape)
    zeros = torch.zeros_like(x.v[..., :1])
    return solve(spec, _alone(spec, x, values), params) - solve(
        spec, _alone(spec, x, zeros), params
    )


def _alone(spec: Spec, x: Stream, v: Tensor) -> Stream:
    """Returns the stream with other values, and none beside them."""
    signals = dict(x.signals)
    for signal in spec.signals:
        if signal.free and signal.unit == "value":
            width = signal.count * v.shape[-1]
            signals[signal.name] = v.new_zeros(()).expand(*v.shape[:3], width)
    return Stream(x.q, x.k, v, signals)


def _average_map(spec: Spec, x: Stream, params: Params | None) -> Tensor:
    """Returns trace(dy_t / dv_i) / V, a backward pass per token and channel."""
    v = x.v.detach().requires_grad_()
    y = solve(spec, Stream(x.q, x.k, v, x.signals), params)
    rows = []
    for t in range(x.length):
        total = torch.zeros_like(v[..., 0])
        for channel in range(x.value_dim):
            (grad,) = torch.autograd.grad(y[:, :, t, channel].sum(), v, retain_graph=True)
            total = total + grad[..., channel]
        rows.append(total / x.value_dim)
    return torch.stack(rows, 2)


def state_size(spec: Spec | str, key_dim: int, value_dim: int, length: int) -> int:
    """Returns how many numbers one head's memory holds after ``length`` tokens."""
    spec = Spec.of(spec)
    shape = Shape(1, 1, length, key_dim, value_dim, spec.feature_size(key_dim))
    return resolve(spec).state_size(spec, shape)


def shape_of(spec: Spec, x: Stream) -> Shape:
    """Returns the sizes that cost estimates are made from."""
    wide = spec.feature_size(x.key_dim)
    return Shape(x.k.shape[0], x.k.shape[1], x.length, x.key_dim, x.value_dim, wide)


def validated(spec: Spec, stream: Stream) -> Stream:
    """Returns the stream with every tensor at H heads, once its shapes fit the spec.

    Raises:
        RequestError: a tensor or signal that does not fit, with the shape that would.
    """
    q, k, v = stream.q, stream.k, stream.v
    if any(z.dim() != 4 for z in (q, k, v)):
        shapes = [tuple(z.shape) for z in (q, k, v)]
        raise RequestError(f"q, k, v have shapes {shapes}; each must be [B, H, T, K or V].")
    if q.shape[-1] != k.shape[-1] or k.shape[2] != v.shape[2] or q.shape[2] > k.shape[2]:
        raise RequestError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)} do not fit: q and k share "
            "the key size, k and v the length, and there are at most as many queries as keys."
        )
    if spec.function.square and stream.key_dim != stream.value_dim:
        raise RequestError(
            f"k has size {stream.key_dim} and v size {stream.value_dim}; {spec.function} adds the "
            "key to its answer and needs them equal."
        )
    wanted = {signal.name: signal for signal in spec.signals}
    for name in (*wanted, *stream.signals):
        if name not in stream.signals:
            raise RequestError(
                f"{spec} needs signal {name!r} ({wanted[name].help}); give it in Stream.signals."
            )
        if name not in wanted:
            raise RequestError(
                f"{spec} has no signal {name!r}; its signals: {', '.join(wanted) or 'none'}."
            )
        width = spec.signal_width(wanted[name], stream.key_dim, stream.value_dim)
        tensor = stream.signals[name]
        if tensor.dim() != 4 or tensor.shape[2] != k.shape[2] or tensor.shape[-1] != width:
            raise RequestError(
                f"Signal {name!r} has shape {tuple(tensor.shape)}; {spec} needs "
                f"(B, H, {k.shape[2]}, {width}): {wanted[name].width} width."
            )
    return stream.expanded()
