"""Gates: how a frame makes the signals of a spec from the tokens.

Most signals are a projection of the input behind a link (`Dense`). Where a paper ties them, to one
another (Mamba's step size), or to the keys (HGRN2), a class of its own says how, by the name that
`Frame.gates` takes.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...errors import RequestError
from ...named import Carried
from ...precision import single
from ...solvers.soundness import marked, sound
from ...space.spec import Spec
from ...stream import LINKS, Signal, Stream
from ..heads import Sizes
from ..init import before_link, linear, log_spaced, through

CHANNELS_PER_RANK = 16  # of the projection to a gate per channel: Mamba's and Longhorn's d / 16


GATES: dict[str, type[Gates]] = {}
"""name -> class, filled as classes are defined."""


@dataclass(frozen=True)
class Site:
    """Where gates stand: all that their projections are made from.

    Args:
        spec: the regression.
        sizes: of its heads.
        d_model: D, size of the layer's inputs.
        inputs: size of what the gates are projected from.
        length: T that fresh decays are spread for.
        generator: source of the fresh parameters.
        decay_link: what turns a projection into a log decay.
        decay_rank: rank of the projection of a decay per feature; 0 for full.
        decay_floor: least share kept, of gates that have one.
        of_channels: whether each channel of the values is a head, so that projections need a low
            rank.
        curvature: of the loss of a fresh pair, [H]; None where keys may have any length.
    """

    spec: Spec
    sizes: Sizes
    d_model: int
    inputs: int
    length: int
    generator: torch.Generator | None
    decay_link: str
    decay_rank: int
    decay_floor: float
    of_channels: bool
    curvature: Tensor | None = None

    def width(self, signal: Signal) -> int:
        """Returns how many numbers per token and head a signal has."""
        return self.spec.signal_width(signal, self.sizes.key_dim, self.sizes.value_dim)

    def signal(self, name: str) -> Signal:
        """Returns the spec's signal of this name."""
        return next(signal for signal in self.spec.signals if signal.name == name)

    def fresh_decays(self, count: int) -> Tensor:
        """Returns shares kept per token, of half-lives spread from the model's shortest to T.

        A lone decay has the longest: what fades before the question is asked is not learned.
        """
        shortest = self.spec.function.shortest_half_life
        longest = max(shortest, float(self.length))
        return torch.exp(-math.log(2.0) / log_spaced(shortest, longest, count))


class Gates(nn.ModuleDict, abc.ABC):
    """A way to make signals: the projections by the signal's name, and what ties them.

    Every signal that is not tied is made by a `SignalMap` of its own.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1  # raised when it computes otherwise under the same settings
    ties: ClassVar[tuple[str, ...]] = ()  # the signals that are not made by a map of their own

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in vars(cls):
            GATES[cls.name] = cls

    def __init__(self, site: Site) -> None:
        super().__init__()
        signals = {signal.name: signal for signal in site.spec.signals}
        if missing := [name for name in self.ties if name not in signals]:
            raise RequestError(
                f"gates={self.name} sets {' and '.join(self.ties)}, and {site.spec} has no signal "
                f"{' or '.join(missing)}: choose other weights, or the frame's gates=dense."
            )
        self.free = tuple(name for name in signals if name not in self.ties)
        for name in self.free:
            self[name.replace(".", "_")] = signal_map(site, signals[name])

    @classmethod
    def key_inputs(cls, key_dim: int) -> int:
        """Returns how many projected numbers per head a query and a key of size K start from."""
        return key_dim

    def forward(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        """Adds the signals to a stream.

        Args:
            source: what gates are projected from, [B, T, inputs].
            stream: queries, keys and values so far, without signals.
            state: what the ties keep from token to token; empty at the start of a sequence.

        Returns:
            The stream, and the state after its last token.
        """
        signals = {name: self[name.replace(".", "_")](source) for name in self.free}
        return self.tie(source, replace(stream, signals=signals), state)

    @abc.abstractmethod
    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        """Adds the tied signals; may change queries, keys and values that depend on them."""


class TurnedGates(Gates):
    """Trait: what is read from the memory is turned before it leaves the regression."""

    @abc.abstractmethod
    def read(self, y: Tensor, state: Carried) -> Tensor:
        """Returns the outputs, [B, H, T, V]; ``state`` is the one after their last token."""


class MadePairs(Gates):
    """Trait: what is regressed on what is made here, from the frame's queries, keys and values."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.spec, self.heads = site.spec, site.sizes.heads

    @abc.abstractmethod
    def pairs(self, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        """Returns what is regressed; every head has its own, finite numbers, one token at least."""

    def tie(self, source: Tensor, stream: Stream, state: Carried) -> tuple[Stream, Carried]:
        if not stream.length:
            return stream, state
        each = (stream.q, stream.k, stream.v)
        q, k, v = (z.repeat_interleave(self.heads // z.shape[1], 1) for z in each)
        found, spoiled = sound(self.spec, replace(stream, q=q, k=k, v=v))
        made, after = self.pairs(found, state)
        if spoiled is None:
            return made, after
        q, k, v = (z.masked_fill(spoiled[..., None], math.nan) for z in (made.q, made.k, made.v))
        return replace(made, q=q, k=k, v=v), marked(v, after, spoiled)[1]


class SignalMap(nn.Module):
    """A projection behind a link, which starts at a sensible value.

    Args:
        site: where it stands.
        width: w, numbers per token and head.
        link: what turns the projection into a valid value.
        start: the values after the link that it starts from, [H w]; decays as the share kept.
        rank: rank of the projection; 0 for full.
    """

    def __init__(self, site: Site, width: int, link: str, start: Tensor, rank: int) -> None:
        super().__init__()
        self.heads, self.width, self.link = site.sizes.heads, width, link
        inputs, generator = rank or site.inputs, site.generator
        self.down = linear(site.inputs, rank, generator) if rank else None
        self.up = linear(inputs, self.heads * width, generator, before_link(link, start))
        with torch.no_grad():
            self.up.weight *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, D] to the signal after its link, [B, H, T, w]."""
        z = single(through(self.up, x if self.down is None else through(self.down, x)))
        signal: Tensor = LINKS[self.link](z).unflatten(-1, (self.heads, self.width)).transpose(1, 2)
        return signal


def signal_map(site: Site, signal: Signal) -> SignalMap:
    """Returns the map of a signal with the link, the start and the rank that it asks for."""
    decay, width = signal.name.startswith("decay"), site.width(signal)
    link = site.decay_link if decay else signal.link
    count = site.sizes.heads * width
    if signal.init is None:
        start = site.fresh_decays(count)
    else:
        start = torch.full((count,), signal.init)
        if signal.further is not None:
            start.view(site.sizes.heads, signal.count, -1)[:, 1:] = signal.further
        if signal.by_curvature and site.curvature is not None:
            least = site.curvature.clamp_min(1)[:, None]  # on unit keys it is as it is written
            start = (start.view(site.sizes.heads, -1) / least).flatten().to(start)
    low = rank(site, width) if decay or site.of_channels else 0
    return SignalMap(site, width, link, start, low)


def rank(site: Site, width: int) -> int:
    """Returns the rank of a gate's projection: low where there are many numbers per token."""
    if site.of_channels:
        return -(-site.d_model // CHANNELS_PER_RANK)
    return site.decay_rank if width > 1 else 0
