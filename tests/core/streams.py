"""Small valid inputs for any spec, drawn from its own signals."""

from __future__ import annotations

import torch

from ttr_core import Spec, Stream
from ttr_core.spec import triples
from ttr_core.stream import LINKS

LAYERS = [spec for spec in triples() if not spec.objections()]
UNDEFINED = [spec for spec in triples() if spec.objections()]


def stream(
    spec: Spec,
    length: int = 7,
    seed: int = 0,
    heads: int = 2,
    key_dim: int = 3,
    value_dim: int = 2,
    dtype: torch.dtype = torch.float64,
) -> Stream:
    """Generic queries, keys, values and signals, [1, H, T, .]."""
    generator = torch.Generator().manual_seed(seed)

    def draw(width: int) -> torch.Tensor:
        return torch.randn(1, heads, length, width, generator=generator, dtype=torch.float64)

    q, k, v = draw(key_dim), draw(key_dim) * 0.7, draw(value_dim)
    signals = {
        s.name: LINKS[s.link](draw(spec.signal_width(s, key_dim, value_dim))) for s in spec.signals
    }
    return Stream(q, k, v, signals).map(lambda x: x.to(dtype))


def joined(first: Stream, second: Stream, at: int) -> Stream:
    """The first stream up to a token, the second from there on."""

    def mix(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.cat([a[:, :, :at], b[:, :, at:]], 2)

    signals = {name: mix(s, second.signals[name]) for name, s in first.signals.items()}
    return Stream(mix(first.q, second.q), mix(first.k, second.k), mix(first.v, second.v), signals)


def shard(items: list, part: int = 4) -> list:
    """Every fourth item always, by a fixed rule: the rest belongs to the full grid."""
    return [item for i, item in enumerate(items) if i % part == 0]
