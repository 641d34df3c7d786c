"""Holding: how long pairs stay while tokens pass that carry nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...space.option import option
from ...space.spec import Spec
from ..metric import Metric
from ..tasks.base import generator
from ..tasks.constants import Constants
from .asking import CANDIDATES, Questions, books, picked, units
from .base import Curves, Probe
from .measured import Measured, last_above, resampled

TUNING_SEQUENCES = 8
LEVEL = 0.9


@dataclass(frozen=True)
class Holding(Probe):
    """How many tokens pairs stay at the same load: 90 % right, while nothing new is to be kept.

    K/4 pairs are written; the tokens after them have random unit keys, and zero as their value.
    After each of them one of the pairs is asked for. Half of these tokens are tuned on.

    Example:
        two pairs

        | token    | 0      | 1      | 2     | 3     | 4     |
        |----------|--------|--------|-------|-------|-------|
        | written  | k0, v0 | k1, v1 | k2, 0 | k3, 0 | k4, 0 |
        | asked    |        |        | k1    | k0    | k1    |
        | right    |        |        | v1    | v0    | v1    |

    Example:
        >>> import ttr_core as ttr
        >>> found = Holding(dim=32, seq_len=40, sequences=4).evaluate(
        ...     ttr.Spec.parse("Uniform | Linear | Hebbian")
        ... )
        >>> found.metrics["tokens_held"]
        32.0
    """

    name: ClassVar[str] = "holding"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "tokens_held", "higher", 0.0, None, "tokens",
            "Tokens that carry nothing, after which 90 % are right.",
        ),
    )  # fmt: skip

    dim: int = option(32, "Size of keys and values.", low=2, high=256)
    seq_len: int = option(136, "Tokens, those of the pairs included.", low=8, high=4096)

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return max(1, min(self.dim // 4, self.seq_len // 2))

    def questions(self, length: int, sequences: int, source: torch.Generator) -> Questions:
        """Draws sequences of pairs, and of what comes after them."""
        n = self.pairs
        keys, book = (
            units((sequences, length, self.dim), source),
            books(sequences, self.dim, source),
        )
        values = torch.randint(CANDIDATES, (sequences, n), generator=source)
        asked = torch.randint(n, (sequences, length), generator=source)
        labels = values.gather(1, asked).masked_fill(torch.arange(length) < n, -1)
        written = torch.zeros_like(keys)
        written[:, :n] = picked(book, values)
        return Questions(picked(keys, asked), keys, written, book, labels)

    def loss(self, seed: int, device: str) -> Callable[[Constants], float]:
        length = self.pairs + (self.seq_len - self.pairs) // 2
        held_out = self.questions(length, TUNING_SEQUENCES, generator(seed, "validation"))
        since = torch.arange(1, length + 1) - self.pairs
        every_octave_alike = 1 / since.clamp(min=1)
        return lambda constants: held_out.missed(constants, every_octave_alike, device)

    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        asked = self.questions(self.seq_len, self.sequences, generator(seed, "test"))
        right = (asked.chosen(constants, device)[0] == asked.labels).double()[:, self.pairs :]

        def held(means: torch.Tensor) -> torch.Tensor:
            return last_above(means, LEVEL).double()

        estimates = {"tokens_held": resampled(right, held, float(right.shape[1]))}
        return estimates, {"right": right.mean(0).tolist()}
