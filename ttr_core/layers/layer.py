"""SequenceLayer: a spec in its frame, as a module from [B, T, D] to [B, T, D]."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import NoFastSolver, RequestError
from ..solvers import caution, resolve
from ..solvers.base import State
from ..space.spec import Spec
from ..space.weights import ExpKernel
from ..stream import Stream
from .frame import FRAMES, Frame, named_frame
from .gates import GATES, Site, TurnedGates
from .init import linear, normal
from .shift import TokenShift

EPS = 1e-6
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "sigmoid": torch.sigmoid}


class SequenceLayer(nn.Module):
    """A regression in its frame.

    Args:
        spec: the regression, or its text.
        frame: what surrounds it, or its name: ``standard`` or ``paper``.
        d_model: D, size of its inputs and outputs.
        num_heads: H; must divide ``d_model``.
        kv_heads: heads of keys, values and signals' streams; None for H (grouped queries).
        length: T that fresh gates are spread for: half-lives from 16 tokens to T.
        generator: source of the fresh parameters; None takes torch's own.

    Raises:
        NoFastSolver: the spec is defined, but too slow to be a layer.

    Example:
        >>> import torch, ttr_core as ttr
        >>> layer = ttr.catalog["gated-deltanet"].layer(d_model=16, num_heads=2)
        >>> layer(torch.randn(1, 5, 16)).shape
        torch.Size([1, 5, 16])
    """

    def __init__(
        self,
        spec: Spec | str,
        frame: Frame | str,
        d_model: int,
        num_heads: int = 1,
        kv_heads: int | None = None,
        length: int = 256,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        spec, frame = Spec.of(spec), named_frame(frame)
        if reason := caution(spec):
            raise NoFastSolver(f"{spec} cannot be a layer: {reason}.")
        self.spec, self.frame, self.solver = spec, frame, resolve(spec)
        self.sizes = sizes = frame.sizes(d_model, num_heads, kv_heads)
        wanted, from_values = sizes.qkv, frame.source == "values"
        self.widths = wanted
        self.qkv = linear(d_model, wanted[2] if from_values else sum(wanted), generator)
        self.qk = linear(wanted[2], sum(wanted[:2]), generator) if from_values else None
        self._match_keys_with_queries()
        shifted = frame.shift == "data"
        self.shift = TokenShift(d_model, frame.shift_rank, generator) if shifted else None
        on_values = (0, 0, wanted[2])
        convolved = on_values if from_values else wanted
        self.conv = ShortConv(frame, convolved, generator) if frame.conv else None
        inputs = wanted[2] if from_values else d_model
        site = Site(spec, frame, sizes, d_model, inputs, length, generator)
        self.signals = GATES[frame.gates](site)
        self.own = nn.ParameterDict()
        for name, value in spec.parameters(sizes.key_dim, sizes.value_dim, sizes.heads).items():
            self.own[name.replace(".", "/")] = nn.Parameter(value, value.requires_grad)
        self.temperature = self._fresh_temperature()
        self.skip = nn.Parameter(torch.zeros(sizes.heads)) if frame.skip == "values" else None
        self.direct = normal((d_model,), 1.0, generator) if frame.skip == "input" else None
        gains = sizes.value_dim if frame.output_norm == "rms" else sizes.inner
        self.norm = nn.Parameter(torch.ones(gains)) if frame.output_norm != "none" else None
        gated = frame.output_gate != "none"
        self.gate = linear(d_model, sizes.inner, generator) if gated else None
        self.out = linear(sizes.inner, d_model, generator)

    @torch.no_grad()
    def _match_keys_with_queries(self) -> None:
        """Starts keys from the projection of the queries, so that like tokens match at first.

        It saves a third of the steps on associative recall and builds in no answer.
        """
        queries, keys, _ = self.widths
        if not queries:
            return
        weight = self.qkv.weight if self.qk is None else self.qk.weight
        rows = weight[:queries].unflatten(0, (self.sizes.k_heads, -1, self.sizes.key_inputs))
        weight[queries : queries + keys] = rows[:, 0].flatten(0, 1)

    def _fresh_temperature(self) -> nn.Parameter | None:
        """Returns the log of what multiplies the queries of each head, if it is learned."""
        kernels = [p for p in self.spec.weights.factors() if isinstance(p, ExpKernel)]
        if not kernels or self.frame.temperature != "learned":
            return None
        start = self.frame.sharpness / kernels[0].logit_scale(self.sizes.key_dim)
        start = start if kernels[0].scale is None else 1.0
        return nn.Parameter(torch.full((self.sizes.q_heads,), math.log(start)))

    def extra_repr(self) -> str:
        name = next((name for name, known in FRAMES.items() if known == self.frame), None)
        return f"{self.spec}, frame={name or self.frame.short}"

    def forward(self, x: Tensor) -> Tensor:
        """Maps a whole sequence, [B, T, D] to [B, T, D]."""
        return self.advance(x, None)[0]

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Maps one token, [B, D] to [B, D], going on from ``state`` (None at the start)."""
        y, after = self.advance(x[:, None], state)
        return y[:, 0], after

    def advance(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Maps further tokens, [B, t, D], going on from ``state``; returns the state after them."""
        offset = 0 if state is None else int(state["offset"])
        mixes, last = self._mixed(x, state)
        stream, kept = self._stream(x, state, offset, mixes)
        params = {name.replace("/", "."): p for name, p in self.own.items()}
        memory = None if state is None else part(state, "memory.")
        y, memory = self.solver.run(self.spec, stream.expanded(), params, memory)
        after = {f"memory.{name}": s for name, s in memory.items()}
        after["offset"] = torch.tensor(offset + x.shape[1])
        if isinstance(self.signals, TurnedGates):
            y = self.signals.read(y, part(kept, "gates."))
        y = self._read(mixes[-1] if mixes else x, stream.v, y)
        return (y if self.direct is None else y + self.direct * x), after | kept | last

    def _mixed(self, x: Tensor, state: State | None) -> tuple[tuple[Tensor, ...], State]:
        """Returns what each role is projected from, nothing without a shift, and what it keeps."""
        if self.shift is None:
            return (), {}
        mixes, last = self.shift(x, None if state is None else state["shift"])
        return mixes, {"shift": last}

    def _projected(self, x: Tensor, mixes: tuple[Tensor, ...]) -> Tensor:
        """Returns all projections of the input; one product unless each has a mix of its own."""
        if not mixes:
            return self.qkv(x)
        weights = self.qkv.weight.split(self.widths)
        return torch.cat([F.linear(z, w) for z, w in zip(mixes[:3], weights, strict=True)], -1)

    def _stream(
        self, x: Tensor, state: State | None, offset: int, mixes: tuple[Tensor, ...] = ()
    ) -> tuple[Stream, State]:
        """Returns queries, keys, values and signals, and what the frame keeps of these tokens."""
        z, source, after = self._projected(x, mixes), mixes[3] if mixes else x, {}
        if self.conv is not None:
            z, after["conv"] = self.conv(z, None if state is None else state["conv"])
        if self.qk is not None:
            source, z = z, torch.cat([self.qk(z), z], -1)
        sizes, frame = self.sizes, self.frame
        heads = (sizes.q_heads, sizes.k_heads, sizes.v_heads)
        q, k, v = (
            part.unflatten(-1, (count, width // count)).transpose(1, 2)
            for part, count, width in zip(z.split(self.widths, -1), heads, self.widths, strict=True)
        )
        if frame.q_activation != "none":
            q = ACTIVATIONS[frame.q_activation](q)
        if frame.qk_norm == "l2":
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        elif frame.qk_norm == "rms":
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if frame.rope:
            q, k = rotated(q, offset, frame.rope), rotated(k, offset, frame.rope)
        if self.temperature is not None:
            q = q * self.temperature.exp()[:, None, None]
        if frame.key_scale == "root":
            k = k * sizes.key_dim**-0.5
        kept = {} if state is None else part(state, "gates.")
        stream, kept = self.signals(source, Stream(q, k, v), kept)
        stream = with_extra_keys(frame, stream, offset)
        return stream, after | {f"gates.{name}": s for name, s in kept.items()}

    def _read(self, x: Tensor, v: Tensor, y: Tensor) -> Tensor:
        if self.skip is not None:
            shared = v.repeat_interleave(self.sizes.heads // v.shape[1], 1)
            y = y + self.skip[:, None, None] * shared
        y = y.transpose(1, 2)  # (B T H V)
        if self.gate is None:
            return self.out(self._normalized(y).flatten(2))
        gate = ACTIVATIONS[self.frame.output_gate](self.gate(x))
        if self.frame.gate_place == "before":
            return self.out(self._normalized(y * gate.view_as(y)).flatten(2))
        return self.out(self._normalized(y).flatten(2) * gate)

    def _normalized(self, y: Tensor) -> Tensor:
        """Normalizes the outputs of all heads, [B, T, H, V]."""
        if self.norm is None:
            return y
        if self.frame.output_norm == "rms":
            return F.rms_norm(y, y.shape[-1:], self.norm, EPS)
        if self.frame.output_norm == "rms_all":
            return F.rms_norm(y.flatten(2), self.norm.shape, self.norm, EPS).view_as(y)
        return F.layer_norm(y, y.shape[-1:], eps=EPS) * self.norm.view(y.shape[2:])


Spec.builder = SequenceLayer


def part(state: State, prefix: str) -> State:
    """Returns the tensors of one part of a state under the names that it knows."""
    return {name[len(prefix) :]: s for name, s in state.items() if name.startswith(prefix)}


class ShortConv(nn.Module):
    """A causal depthwise convolution of some of q, k, v along time."""

    def __init__(
        self, frame: Frame, sizes: tuple[int, ...], generator: torch.Generator | None
    ) -> None:
        super().__init__()
        on = [name in frame.conv_on for name in ("q", "k", "v")]
        first = sum(sizes[: on.index(True)])
        last = sum(sizes[: 3 - on[::-1].index(True)])
        if not all(on[on.index(True) : 3 - on[::-1].index(True)]):
            raise RequestError("A convolution on q and v but not on k is not supported.")
        self.start, self.stop, self.width = first, last, frame.conv
        self.silu = frame.conv_activation == "silu"
        bound = frame.conv**-0.5
        taps = torch.rand(frame.conv, last - first, generator=generator) * 2 - 1
        self.taps = nn.Parameter(taps * bound)
        self.bias = None
        if frame.conv_bias:
            offsets = torch.rand(last - first, generator=generator) * 2 - 1
            self.bias = nn.Parameter(offsets * bound)

    def forward(self, x: Tensor, tail: Tensor | None) -> tuple[Tensor, Tensor]:
        """Convolves [B, T, D]; ``tail`` holds the tokens before it, and is returned anew."""
        own = x[..., self.start : self.stop]
        if tail is None:
            padded = F.pad(own, (0, 0, self.width - 1, 0))
        else:
            padded = torch.cat([tail, own], 1)
        length = own.shape[1]
        y = padded[:, self.width - 1 :] * self.taps[0]
        for j in range(1, self.width):
            start = self.width - 1 - j
            y = torch.addcmul(y, padded[:, start : start + length], self.taps[j])
        if self.bias is not None:
            y = y + self.bias
        if self.silu:
            y = F.silu(y)
        after = padded[:, length:]
        return torch.cat([x[..., : self.start], y, x[..., self.stop :]], -1), after


def with_extra_keys(frame: Frame, x: Stream, offset: int) -> Stream:
    """Treats further keys of a token as its own: normalized and rotated by the frame.

    Args:
        frame: whose normalization and rotation it is.
        x: a stream; without a signal ``extra_keys`` it is returned as it is.
        offset: position of the first token.
    """
    if "extra_keys" not in x.signals:
        return x
    batch, heads, length, _ = x.signals["extra_keys"].shape
    keys = x.signals["extra_keys"].view(batch, heads, length, -1, x.key_dim).transpose(2, 3)
    if frame.qk_norm == "l2":
        keys = F.normalize(keys, dim=-1)
    elif frame.qk_norm == "rms":
        keys = F.rms_norm(keys, keys.shape[-1:])
    if frame.rope:
        keys = rotated(keys.flatten(0, 1), offset, frame.rope).view_as(keys)
    keys = keys.transpose(2, 3).flatten(3)
    return replace(x, signals={**x.signals, "extra_keys": keys})


def rotated(x: Tensor, offset: int, base: float) -> Tensor:
    """Applies rotary positions to [B, H, T, K], the first token at ``offset``.

    Source: RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021)
    https://arxiv.org/abs/2104.09864
    """
    half = x.shape[-1] // 2
    rates = base ** (-torch.arange(half, device=x.device) / half)
    time = torch.arange(offset, offset + x.shape[2], device=x.device)
    angle = (time[:, None] * rates).to(x.dtype)
    a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], -1)
