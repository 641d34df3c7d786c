"""SequenceLayer: a spec in its frame, as a module from [B, T, D] to [B, T, D]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import NoFastSolver, RequestError
from .frame import Frame
from .init import before_link, linear, log_spaced
from .solvers import caution, resolve
from .solvers.base import State
from .spec import Spec
from .stream import LINKS, Signal, Stream
from .weights import ExpKernel

SHORTEST_HALF_LIFE = 16.0


class SequenceLayer(nn.Module):
    """A regression in its frame.

    Args:
        spec: the regression.
        frame: what surrounds it.
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
        spec: Spec,
        frame: Frame,
        d_model: int,
        num_heads: int = 1,
        kv_heads: int | None = None,
        length: int = 256,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if reason := caution(spec):
            raise NoFastSolver(f"{spec} cannot be a layer: {reason}.")
        shared = kv_heads or num_heads
        if d_model % num_heads or num_heads % shared:
            raise RequestError(
                f"d_model={d_model}, heads={num_heads}, kv_heads={shared}: heads must divide "
                "d_model, and kv_heads must divide heads."
            )
        self.spec, self.frame, self.solver = spec, frame, resolve(spec)
        self.heads, self.kv_heads, self.head_dim = num_heads, shared, d_model // num_heads
        dim = self.head_dim
        self.sizes = (num_heads * dim, shared * dim, shared * dim)
        self.qkv = linear(d_model, sum(self.sizes), generator)
        self._match_keys_with_queries()
        self.conv = ShortConv(frame, self.sizes, generator) if frame.conv else None
        self.signals = nn.ModuleDict(
            {
                signal.name.replace(".", "_"): SignalMap(
                    spec, frame, signal, d_model, num_heads, dim, length, generator
                )
                for signal in spec.signals
            }
        )
        self.own = nn.ParameterDict()
        for name, value in spec.parameters(dim, dim, num_heads).items():
            self.own[name.replace(".", "/")] = nn.Parameter(value, value.requires_grad)
        kernels = [p for p in spec.weights.factors() if isinstance(p, ExpKernel)]
        self.temperature = None
        if kernels and frame.temperature == "learned":
            start = frame.sharpness / kernels[0].logit_scale(dim)
            start = start if kernels[0].scale is None else 1.0
            self.temperature = nn.Parameter(torch.full((num_heads,), math.log(start)))
        self.norm = nn.Parameter(torch.ones(dim)) if frame.output_norm == "rms" else None
        gated = frame.output_gate != "none"
        self.gate = linear(d_model, d_model, generator) if gated else None
        self.out = linear(d_model, d_model, generator)

    @torch.no_grad()
    def _match_keys_with_queries(self) -> None:
        """Starts keys from the projection of the queries, so that like tokens match at first.

        It saves a third of the steps on associative recall and builds in no answer.
        """
        queries, keys = self.sizes[:2]
        rows = self.qkv.weight[:queries].unflatten(0, (self.kv_heads, -1, self.head_dim))
        self.qkv.weight[queries : queries + keys] = rows[:, 0].flatten(0, 1)

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
        stream, tail = self._stream(x, state, offset)
        params = {name.replace("/", "."): p for name, p in self.own.items()}
        memory = None
        if state is not None:
            memory = {n[7:]: s for n, s in state.items() if n.startswith("memory.")}
        y, memory = self.solver.run(self.spec, stream.expanded(), params, memory)
        after = {f"memory.{name}": s for name, s in memory.items()}
        after["offset"] = torch.tensor(offset + x.shape[1])
        if tail is not None:
            after["conv"] = tail
        return self._read(x, y), after

    def _stream(self, x: Tensor, state: State | None, offset: int) -> tuple[Stream, Tensor | None]:
        qkv, tail = self.qkv(x), None
        if self.conv is not None:
            qkv, tail = self.conv(qkv, None if state is None else state["conv"])
        q, k, v = (
            z.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for z in qkv.split(self.sizes, -1)
        )
        if self.frame.qk_norm == "l2":
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        elif self.frame.qk_norm == "rms":
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if self.frame.rope:
            q, k = rotated(q, offset, self.frame.rope), rotated(k, offset, self.frame.rope)
        if self.temperature is not None:
            q = q * self.temperature.exp()[:, None, None]
        modules = self.signals
        signals = {s.name: modules[s.name.replace(".", "_")](x) for s in self.spec.signals}
        return Stream(q, k, v, signals), tail

    def _read(self, x: Tensor, y: Tensor) -> Tensor:
        if self.norm is not None:
            y = F.rms_norm(y, y.shape[-1:], self.norm, 1e-6)
        y = y.transpose(1, 2).flatten(2)
        if self.gate is not None:
            activation = F.silu if self.frame.output_gate == "silu" else torch.sigmoid
            y = y * activation(self.gate(x))
        return self.out(y)


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
        if self.silu:
            y = F.silu(y)
        after = padded[:, length:]
        return torch.cat([x[..., : self.start], y, x[..., self.stop :]], -1), after


class SignalMap(nn.Module):
    """Projects a signal from the layer's input and starts it at a sensible value."""

    def __init__(
        self,
        spec: Spec,
        frame: Frame,
        signal: Signal,
        d_model: int,
        heads: int,
        dim: int,
        length: int,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.width = spec.signal_width(signal, dim, dim)
        decay = signal.name.startswith("decay")
        self.link = frame.decay_link if decay else signal.link
        if signal.init is None:
            longest = max(SHORTEST_HALF_LIFE, float(length))
            half_lives = log_spaced(SHORTEST_HALF_LIFE, longest, heads * self.width)
            start = torch.exp(-math.log(2.0) / half_lives)
        else:
            start = torch.full((heads * self.width,), signal.init)
        rank = frame.decay_rank if self.width > 1 else 0
        inputs = rank or d_model
        self.down = linear(d_model, rank, generator) if rank else None
        self.up = linear(inputs, heads * self.width, generator, before_link(self.link, start))
        with torch.no_grad():
            self.up.weight *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, D] to the signal after its link, [B, H, T, w]."""
        z = self.up(x if self.down is None else self.down(x))
        return LINKS[self.link](z).unflatten(-1, (self.heads, self.width)).transpose(1, 2)


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
