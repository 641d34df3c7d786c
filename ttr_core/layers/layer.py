"""SequenceLayer: a spec in its frame, as a module from [B, T, D] to [B, T, D]."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import NoFastSolver, RequestError
from ..named import Carried, part, whole
from ..precision import HALF, automatic_casts, single
from ..solvers import caution, resolve
from ..solvers.api import run
from ..space.sharpness import LOG_SCALE
from ..space.spec import Spec
from ..stream import Stream
from .conv import ShortConv
from .frame import FRAMES, Frame, named_frame
from .gates import GATES, Site, TurnedGates
from .init import gate, linear, normal, through
from .norms import unit
from .rotary import rotated, with_extra_keys
from .shift import TokenShift

EPS = 1e-6
KEYS = 16  # over which the curvature of a pair's loss is measured
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"silu": F.silu, "sigmoid": torch.sigmoid}
OPEN = {"silu": 1.2784645, "sigmoid": 2.0}  # where they are 1 and .88


class SequenceLayer(nn.Module):
    """A regression in its frame.

    In half precision, its own or that of ``torch.autocast``, only the projections are computed in
    it: what lies between, the regression above all, and the state are in float32. Outputs are then
    within eight roundings (a relative error of 2^-5 in bfloat16, 2^-8 in float16; measured .3 to
    3 of 2^-8 and 2^-11, 6 under autocast) of those in float64 from the same weights and inputs.

    Args:
        spec: the regression, or its text.
        frame: what surrounds it, or its name: ``standard`` or ``paper``.
        d_model: D, size of its inputs and outputs.
        num_heads: H; must divide ``d_model``.
        kv_heads: heads of keys, values and signals' streams; None for H (grouped queries).
        length: T that fresh gates are spread for: half-lives from 16 tokens to T, or from 256 where
            the memory is a network.
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
        self.d_model = d_model
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
        own = self._fresh_tensors()
        self.signals = GATES[frame.gates](self._site(inputs, length, generator, own))
        self.own = nn.ParameterDict()
        for name, tensor in own.items():
            self.own[name.replace(".", "/")] = tensor
        self.skip = nn.Parameter(torch.zeros(sizes.heads)) if frame.skip == "values" else None
        self.direct = normal((d_model,), 1.0, generator) if frame.skip == "input" else None
        gains = sizes.value_dim if frame.output_norm == "rms" else sizes.inner
        self.norm = nn.Parameter(torch.ones(gains)) if frame.output_norm != "none" else None
        gated = frame.output_gate != "none"
        self.gate = self._fresh_gate(generator) if gated else None
        self.out = linear(sizes.inner, d_model, generator)

    def _site(
        self, inputs: int, length: int, generator: torch.Generator | None, own: dict[str, Tensor]
    ) -> Site:
        """Returns where the gates stand, which see so many inputs."""
        frame = self.frame
        return Site(
            self.spec,
            self.sizes,
            self.d_model,
            inputs,
            length,
            generator,
            frame.decay_link,
            frame.decay_rank,
            frame.decay_floor,
            of_channels=frame.heads == "channels",
            curvature=self._curvature(own),
        )

    def _fresh_tensors(self) -> dict[str, Tensor]:
        """Returns the spec's own tensors as they start, and the logs of scales that are learned."""
        given = self.spec.parameters(self.sizes.key_dim, self.sizes.value_dim, self.sizes.heads)
        own: dict[str, Tensor] = {n: nn.Parameter(z, z.requires_grad) for n, z in given.items()}
        scales = self._fresh_scales().items()
        return own | {f"{name}.{LOG_SCALE}": nn.Parameter(start) for name, start in scales}

    def _curvature(self, own: dict[str, Tensor]) -> Tensor | None:
        """Returns that of a fresh pair's loss, [H], where steps start by it and keys have a length.

        Keys of that length are drawn from a source of their own.
        """
        square = self.frame.key_square(self.sizes.key_dim)
        asked = any(signal.by_curvature for signal in self.spec.signals)
        if not asked or square is None or self.frame.key_scale != "none":
            return None
        source = torch.Generator().manual_seed(0)
        heads, size = self.sizes.heads, self.sizes.key_dim
        keys = torch.randn(heads, KEYS, size, generator=source, dtype=torch.float64)
        params = {n: p.detach().double() for n, p in part(own, "function").items()}
        found = self.spec.function.curvature(F.normalize(keys, dim=-1) * square**0.5, params)
        return None if found is None else 1 / (1 / found.detach()).mean(-1)

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

    def _fresh_gate(self, generator: torch.Generator | None) -> nn.Linear:
        """Returns what the output gate is projected by."""
        if self.frame.gate_start == "random":
            return linear(self.d_model, self.sizes.inner, generator)
        open_at = OPEN[self.frame.output_gate]
        return gate(self.d_model, self.sizes.inner, generator, open_at)

    def _fresh_scales(self) -> dict[str, Tensor]:
        """Returns the logs of the scales that are learned, one per head, by where they belong."""
        if self.frame.temperature != "learned":
            return {}
        size, heads, found = self.sizes.key_dim, self.sizes.heads, {}
        square = self.frame.key_square(size)
        for path, own in self.spec.comparisons().items():
            start = own.own_scale(size)
            if own.scale is None and square is not None:
                start = own.scale_start(self.spec) / square
            found[path] = torch.full((heads,), math.log(start))
        return found

    def extra_repr(self) -> str:
        name = next((name for name, known in FRAMES.items() if known == self.frame), None)
        return f"{self.spec}, frame={name or self.frame.short}"

    def forward(self, x: Tensor) -> Tensor:
        """Maps a whole sequence, [B, T, D] to [B, T, D], in the type of its inputs.

        Raises:
            RequestError: inputs of another shape, type or device.
        """
        return self.advance(x, None)[0]

    def step(self, x: Tensor, state: Carried | None = None) -> tuple[Tensor, Carried]:
        """Maps one token, [B, D] to [B, D], going on from ``state`` (None at the start)."""
        if x.dim() != 2:
            raise RequestError(
                f"A step maps one token of each sequence, [B, {self.d_model}]; this input has "
                f"shape {tuple(x.shape)}. Whole sequences go through the layer itself or advance."
            )
        y, after = self.advance(x[:, None], state)
        return y[:, 0], after

    def advance(self, x: Tensor, state: Carried | None) -> tuple[Tensor, Carried]:
        """Maps further tokens, [B, t, D], going on from ``state``; returns the state after them."""
        self._check(x)
        if state is not None:
            self._check_state(x, state)
        offset = 0 if state is None else int(state["offset"])
        mixes, last = self._mixed(x, state)
        stream, kept = self._stream(x, state, offset, mixes)
        params = self.params
        memory = None if state is None else part(state, "memory")
        y, memory = run(self.solver, self.spec, stream, params, memory)
        after = whole(memory=memory)
        after["offset"] = torch.tensor(offset + x.shape[1])
        if isinstance(self.signals, TurnedGates):
            y = self.signals.read(y, part(kept, "gates"))
        y = self._read(mixes[-1] if mixes else x, stream.v, single(y))
        return (y if self.direct is None else y + self.direct * x), after | kept | last

    @property
    def params(self) -> dict[str, Tensor]:
        """The spec's own tensors, named as `Spec.parameters` does."""
        return {name.replace("/", "."): p for name, p in self.own.items()}

    def regression(self, x: Tensor) -> tuple[Stream, dict[str, Tensor]]:
        """Returns what the regression is given for a sequence: its stream and the parameters."""
        self._check(x)
        mixes, _ = self._mixed(x, None)
        return self._stream(x, None, 0, mixes)[0], self.params

    def _check(self, x: Tensor) -> None:
        """Refuses inputs that are no batch of sequences of this layer's size, type and device."""
        weight = self.out.weight
        if x.dim() != 3 or x.shape[-1] != self.d_model:
            raise RequestError(
                f"A layer of d_model={self.d_model} maps [B, T, {self.d_model}]; this input has "
                f"shape {tuple(x.shape)}"
                + (": add the batch by x[None]." if x.dim() == 2 else ": make them agree.")
            )
        if not x.is_floating_point():
            raise RequestError(
                f"A layer maps real numbers and this input holds {x.dtype}: convert it by "
                ".float(), or embed tokens first (SequenceModel does)."
            )
        if x.device != weight.device:
            raise RequestError(
                f"The input is on {x.device} and the layer on {weight.device}: bring both to one "
                "device by .to()."
            )
        if x.dtype != weight.dtype and not automatic_casts(x.device):
            raise RequestError(
                f"The input holds {x.dtype} and the layer {weight.dtype}: convert one by .to(), or "
                "run both under torch.autocast."
            )

    def _check_state(self, x: Tensor, state: Carried) -> None:
        """Refuses a state that this layer did not return for as many sequences."""
        kept = {name for name in state if not name.startswith(("memory.", "gates."))}
        wanted: dict[str, tuple[int, ...]] = {"offset": ()}
        if self.shift is not None:
            wanted["shift"] = (x.shape[0], 1, self.d_model)
        if self.conv is not None:
            wanted["conv"] = (x.shape[0], *self.conv.tail)
        if kept != set(wanted):
            raise RequestError(
                f"The state keeps {', '.join(sorted(kept)) or 'nothing'} beside its memory; this "
                f"layer keeps {', '.join(sorted(wanted))}: give what its own step returned."
            )
        for name, shape in wanted.items():
            if tuple(state[name].shape) != shape:
                raise RequestError(
                    f"The state's {name} has shape {tuple(state[name].shape)}; this layer and "
                    f"these {x.shape[0]} sequences need {shape}: give the state of these sequences "
                    "in this layer."
                )

    def _mixed(self, x: Tensor, state: Carried | None) -> tuple[tuple[Tensor, ...], Carried]:
        """Returns what each role is projected from, nothing without a shift, and what it keeps."""
        if self.shift is None:
            return (), {}
        mixes, last = self.shift(x, None if state is None else state["shift"])
        return mixes, {"shift": single(last)}

    def _projected(self, x: Tensor, mixes: tuple[Tensor, ...]) -> Tensor:
        """Returns all projections of the input; one product unless each has a mix of its own."""
        if not mixes:
            whole: Tensor = self.qkv(x)
            return whole
        weights = self.qkv.weight.split(self.widths)
        return torch.cat([F.linear(z, w) for z, w in zip(mixes[:3], weights, strict=True)], -1)

    def _stream(
        self, x: Tensor, state: Carried | None, offset: int, mixes: tuple[Tensor, ...] = ()
    ) -> tuple[Stream, Carried]:
        """Returns queries, keys, values and signals, and what the frame keeps of these tokens."""
        projected = self._projected(x, mixes)
        z, source, after = single(projected), mixes[3] if mixes else x, {}
        if self.conv is not None:
            z, after["conv"] = self.conv(z, None if state is None else state["conv"])
        if self.qk is not None:
            source, z = z, torch.cat([single(through(self.qk, z)), z], -1)
        sizes, frame = self.sizes, self.frame
        heads = (sizes.q_heads, sizes.k_heads, sizes.v_heads)
        q, k, v = (
            part.unflatten(-1, (count, width // count)).transpose(1, 2)
            for part, count, width in zip(z.split(self.widths, -1), heads, self.widths, strict=True)
        )
        if frame.q_activation != "none":
            q = ACTIVATIONS[frame.q_activation](q)
        if frame.qk_norm == "l2":
            q, k = unit(q), unit(k)
        elif frame.qk_norm == "rms":
            q, k = F.rms_norm(q, q.shape[-1:]), F.rms_norm(k, k.shape[-1:])
        if frame.rope:
            q, k = rotated(q, offset, frame.rope), rotated(k, offset, frame.rope)
        if frame.key_scale == "root":
            k = k * sizes.key_dim**-0.5
        kept = {} if state is None else part(state, "gates")
        stream, kept = self.signals(source, Stream(q, k, v), kept)
        stream = with_extra_keys(frame, stream, offset)
        if projected.dtype in HALF and self.solver.takes_half(self.spec):
            stream = stream.map(lambda x: x.to(projected.dtype))
        return stream, after | whole(gates=kept)

    def _read(self, x: Tensor, v: Tensor, y: Tensor) -> Tensor:
        if self.skip is not None:
            shared = v.repeat_interleave(self.sizes.heads // v.shape[1], 1)
            y = y + single(self.skip)[:, None, None] * shared
        y = y.transpose(1, 2)  # (B T H V)
        if self.gate is None:
            return through(self.out, self._normalized(y).flatten(2))
        gate = ACTIVATIONS[self.frame.output_gate](single(through(self.gate, x)))
        if self.frame.gate_place == "before":
            return through(self.out, self._normalized(y * gate.view_as(y)).flatten(2))
        return through(self.out, self._normalized(y).flatten(2) * gate)

    def _normalized(self, y: Tensor) -> Tensor:
        """Normalizes the outputs of all heads, [B, T, H, V]."""
        if self.norm is None:
            return y
        gains = single(self.norm)
        if self.frame.output_norm == "rms":
            return F.rms_norm(y, y.shape[-1:], gains, EPS)
        if self.frame.output_norm == "rms_all":
            return F.rms_norm(y.flatten(2), gains.shape, gains, EPS).view_as(y)
        return F.layer_norm(y, y.shape[-1:], eps=EPS) * gains.view(y.shape[2:])


Spec.builder = SequenceLayer
