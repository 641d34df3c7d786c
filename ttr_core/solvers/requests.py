"""What a solve may be asked: streams and states that fit the spec, or sentences on what would."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import RequestError
from ..named import Carried
from ..precision import accumulated, readable
from ..space.spec import Spec
from ..stream import Signal, Stream
from .base import AnySolver

Layout = dict[str, tuple[int | None, ...]]
"""The shape of each tensor of a head's state; None for sizes that grow with T."""


def validated(spec: Spec, stream: Stream) -> Stream:
    """Returns the stream with every tensor at H heads, once it fits the spec.

    Raises:
        RequestError: a tensor or signal that does not fit, with what would.
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
    _check_signals(spec, stream)
    x = stream.expanded()
    _check_kinds(x)
    return x


def _check_signals(spec: Spec, stream: Stream) -> None:
    wanted = {signal.name: signal for signal in spec.signals}
    for name in wanted | dict(stream.signals):
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
        if tensor.dim() != 4 or tensor.shape[2] != stream.length or tensor.shape[-1] != width:
            raise RequestError(
                f"Signal {name!r} has shape {tuple(tensor.shape)}; {spec} needs "
                f"(B, H, {stream.length}, {width}): {wanted[name].width} width."
            )


def check_ranges(spec: Spec, stream: Stream) -> None:
    """Refuses signals outside their range, where the link of a layer does not see to it.

    On the CPU alone: an accelerator would have to be waited for.

    Raises:
        RequestError: with the number, where it stands, the range and what to change.
    """
    for signal in spec.signals:
        s = stream.signals.get(signal.name)
        least, most = signal.range
        if s is None or (math.isinf(least) and math.isinf(most)) or not s.numel():
            continue
        if not s.is_floating_point() or not readable(s):
            continue
        lowest, highest = (z.item() for z in s.detach().aminmax())
        infinite = not signal.logarithmic and (lowest == -math.inf or highest == math.inf)
        if least <= lowest and highest <= most and not infinite:
            continue
        wrong = ~((s >= least) & (s <= most)) | (s.isinf() & (not signal.logarithmic))
        place = wrong.nonzero()[0].tolist()
        raise RequestError(_out_of_range(spec, signal, s[tuple(place)].item(), place))


def _out_of_range(spec: Spec, signal: Signal, number: float, place: list[int]) -> str:
    said = "NaN, which is no number," if math.isnan(number) else f"{number:g}"
    least, most = signal.range
    asked = f"finite numbers from {least:g} on" if math.isinf(most) else f"{least:g} to {most:g}"
    if math.isnan(number):
        change = "find where it comes from: 0 / 0, or the logarithm of a negative number"
    elif signal.logarithmic:
        change = "it is the logarithm of the share that is kept, 0 for all of it: give log(share)"
    elif math.isinf(number):
        change = "take a finite number"
    else:
        change = f"clamp it, or give what {signal.link} returns"
    return (
        f"Signal {signal.name!r} holds {said} at {place}; {spec} takes {asked} ({signal.help}): "
        f"{change}."
    )


def _tensors(stream: Stream) -> Iterator[tuple[str, Tensor]]:
    yield from (("k", stream.k), ("q", stream.q), ("v", stream.v))
    yield from ((f"signal {name!r}", s) for name, s in stream.signals.items())


def _check_kinds(stream: Stream) -> None:
    """Refuses tensors of several batches, types or devices, and such as hold no real numbers."""
    first = stream.k
    kind = accumulated(first.dtype)
    for name, z in _tensors(stream):
        if not z.is_floating_point():
            raise RequestError(
                f"{name} holds {z.dtype}; a stream holds real numbers: convert it by .float()."
            )
        if z.shape[0] != first.shape[0]:
            raise RequestError(
                f"{name} has a batch of {z.shape[0]} beside {first.shape[0]} of k: every tensor "
                "must have the same; repeat it by .expand()."
            )
        if z.device != first.device:
            raise RequestError(
                f"{name} is on {z.device} and k on {first.device}: bring all tensors to one device "
                "by .to()."
            )
        if z.dtype != kind and accumulated(z.dtype) != kind:
            raise RequestError(
                f"{name} holds {z.dtype} and k {first.dtype}; a stream has one precision (half and "
                "float32 go together): convert it by .to()."
            )


def check_state(solver: AnySolver, spec: Spec, x: Stream, state: Carried, wanted: Layout) -> None:
    """Refuses a state that this solver cannot go on from.

    Raises:
        RequestError: tensors of other names or shapes than the solver's own, with those.
    """
    if set(state) != set(wanted):
        raise RequestError(
            f"The state holds {', '.join(sorted(state))}; {spec} by {solver.name} goes on from "
            f"{', '.join(sorted(wanted))}: give what its own prefill or step returned."
        )
    for name, sizes in wanted.items():
        shape = tuple(state[name].shape)
        rest = zip(shape[2:], sizes, strict=False)
        fits = len(shape) == 2 + len(sizes) and shape[:2] == tuple(x.k.shape[:2])
        if not fits or any(size not in (None, has) for has, size in rest):
            asked = ", ".join(
                map(str, (*x.k.shape[:2], *("any" if n is None else n for n in sizes)))
            )
            raise RequestError(
                f"The state's {name} has shape {shape}; {spec} with keys of size {x.key_dim} and "
                f"values of size {x.value_dim} needs ({asked}), batch and heads first: give the "
                "state of these sequences in this layer."
            )
        if not state[name].is_floating_point():
            continue
        held = accumulated(state[name].dtype)
        finer = held == torch.float64 and solver.finer(solver.narrowed(spec))
        if held != accumulated(x.k.dtype) and not finer:
            raise RequestError(
                f"The state's {name} holds {state[name].dtype} and the new tokens {x.k.dtype}: a "
                "sequence goes on in one precision; convert one by .to()."
            )
        if state[name].device != x.k.device:
            raise RequestError(
                f"The state's {name} is on {state[name].device} and the new tokens on "
                f"{x.k.device}: bring both to one device by .to()."
            )
