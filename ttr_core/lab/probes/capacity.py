"""Capacity: how many pairs a cell holds at once, over all loads and three sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...solvers import state_size
from ...space.option import option
from ...space.spec import Spec
from ..metric import Metric
from ..tasks.base import generator
from ..tasks.constants import Constants
from .asking import CANDIDATES, Questions, books, picked, units
from .base import Curves, Probe
from .measured import Measured, last_above, resampled

TUNING_SEQUENCES, TUNING_LOADS = 8, 4  # loads: pairs per key dimension
LEVEL = 0.9
SCALES = (0.5, 1.0, 2.0)
"""Sizes of keys at which pairs are counted, beside the size asked for."""


@dataclass(frozen=True)
class Capacity(Probe):
    r"""How many pairs of random unit vectors a cell holds, and how many bits per number of state.

    Every token brings a new pair, and after every token one of all pairs so far is asked for by its
    own key, so that one sequence asks at every load P = 1 to T. The answer is the nearest of 256
    values. With a(P) the share of right answers at load P: *pairs held* is the largest load with
    a >= 0.9 (of the decreasing fit of a); the *exponent* is the slope of its logarithm over that of
    the key size, at half, all and twice the size. At load P the answers tell

    $$P\,[\log_2 C - h(a) - (1 - a) \log_2 (C - 1)]$$

    bits of the values (Fano's inequality; h the binary entropy), which no number of 32 bits in the
    state can exceed. RWKV-7's count, beside it, is $P\,a$ times the bits of key *and* value.

    Example:
        a question after each token

        | token    | 0      | 1      | 2      | 3      |
        |----------|--------|--------|--------|--------|
        | written  | k0, v0 | k1, v1 | k2, v2 | k3, v3 |
        | asked    | k0     | k0     | k2     | k1     |
        | right    | v0     | v0     | v2     | v1     |

    Reference: RWKV-7 "Goose" with expressive dynamic state evolution (Peng et al., 2025)
    https://arxiv.org/abs/2503.14456 (the count with keys)

    Example:
        >>> import ttr_core as ttr
        >>> small = Capacity(dim=8, seq_len=32, sequences=4)
        >>> found = small.evaluate(ttr.Spec.parse("Uniform | Linear | Exact"))
        >>> 6 < found.metrics["pairs_held"] < 16
        True
    """

    name: ClassVar[str] = "capacity"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("pairs_held", "higher", 0.0, help="Pairs of which 90 % are right."),
        Metric("pairs_per_key", "higher", 0.0, help="The same, for each entry of a key."),
        Metric(
            "pairs_exponent", "higher", help="By which power of the key size the pairs held grow."
        ),
        Metric(
            "bits_per_number", "higher", 0.0, None, "bits",
            "Bits of the values that its answers tell, for each number of state, at the best load.",
        ),
        Metric(
            "bits_with_keys", "higher", 0.0, None, "bits",
            "The same by RWKV-7's count: right pairs times the bits of key and value.",
        ),
    )  # fmt: skip

    seq_len: int = option(128, "Pairs at most, each asked for.", low=8, high=4096)
    sequences: int = option(64, "Sequences that are measured on.", low=2, high=1024)

    def questions(
        self, dim: int, length: int, sequences: int, source: torch.Generator
    ) -> Questions:
        """Draws sequences in which every token brings a pair, and every question is about one."""
        keys, book = units((sequences, length, dim), source), books(sequences, dim, source)
        bound = torch.randint(CANDIDATES, (sequences, length), generator=source)
        share = torch.rand((sequences, length), generator=source)
        asked = (share * torch.arange(1, length + 1)).long()  # one of the pairs so far
        return Questions(
            picked(keys, asked), keys, picked(book, bound), book, bound.gather(1, asked)
        )

    def loss(self, seed: int, device: str) -> Callable[[Constants], float]:
        length = min(self.seq_len, TUNING_LOADS * self.dim)
        source = generator(seed, "validation")
        held_out = self.questions(self.dim, length, TUNING_SEQUENCES, source)
        every_octave_alike = 1 / torch.arange(1, length + 1)
        return lambda constants: held_out.missed(constants, every_octave_alike, device)

    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        source, right = generator(seed, "test"), {}
        for scale in SCALES:
            dim, length = max(2, round(scale * self.dim)), max(8, round(scale * self.seq_len))
            asked = self.questions(dim, length, self.sequences, source)
            right[dim] = (asked.chosen(constants, device)[0] == asked.labels).double()
        own = right[self.dim]
        loads, most = torch.arange(1, self.seq_len + 1), float(self.seq_len)
        sizes = torch.tensor([state_size(spec, self.dim, self.dim, int(t)) for t in loads])
        held = resampled(own, _held, most)
        per_key = resampled(own, lambda means: _held(means) / self.dim, most / self.dim)
        estimates = {
            "pairs_held": held,
            "pairs_per_key": per_key,
            "bits_per_number": resampled(own, lambda means: _best(_told(means, loads), sizes)),
            "bits_with_keys": resampled(own, lambda means: _best(_counted(means, loads), sizes)),
        }
        if exponent := _exponent(right):
            estimates["pairs_exponent"] = exponent
        return estimates, {"right": own.mean(0).tolist()}


def _held(means: Tensor) -> Tensor:
    return last_above(means, LEVEL).double()


def _octaves(length: int) -> list[tuple[int, int]]:
    """Spans of loads, half an octave each, over which shares are averaged."""
    ends = sorted({min(length, round(2 ** (i / 2))) for i in range(2 * length.bit_length() + 1)})
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _best(numbers: Tensor, sizes: Tensor) -> Tensor:
    """Returns the largest mean over half an octave, per number of state, [R, T] -> [R]."""
    per = numbers / sizes
    spans = _octaves(per.shape[-1])
    return torch.stack([per[:, a:b].mean(-1) for a, b in spans], -1).max(-1).values


def _told(means: Tensor, loads: Tensor) -> Tensor:
    """Bits of the values at every load, of the shares of half an octave around it."""
    a = _smooth(means).clamp(0, 1)
    rest = 1 - a
    entropy = -(torch.xlogy(a, a) + torch.xlogy(rest, rest)) / math.log(2)
    bits = math.log2(CANDIDATES) - entropy - rest * math.log2(CANDIDATES - 1)
    return loads * bits.clamp(min=0)


def _counted(means: Tensor, loads: Tensor) -> Tensor:
    return loads * _smooth(means) * 2 * math.log2(CANDIDATES)


def _smooth(means: Tensor) -> Tensor:
    smooth = means.clone()
    for start, stop in _octaves(means.shape[-1]):
        smooth[:, start:stop] = means[:, start:stop].mean(-1, keepdim=True)
    return smooth


def _exponent(right: dict[int, Tensor]) -> Measured | None:
    """Returns the slope of the pairs held over the key size, in logarithms; none where unknown."""
    if any(_held(x.mean(0, keepdim=True)).item() in (0.0, x.shape[-1]) for x in right.values()):
        return None
    x = torch.tensor([math.log(dim) for dim in right], dtype=torch.float64)
    x = (x - x.mean()) / (x - x.mean()).square().sum()
    lengths = [own.shape[-1] for own in right.values()]

    def slope(means: Tensor) -> Tensor:
        logs = [_held(part).clamp(min=0.5).log() for part in means.split(lengths, -1)]
        return torch.stack(logs, -1) @ x

    return resampled(torch.cat([*right.values()], -1), slope)
