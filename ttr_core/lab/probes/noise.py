"""Noise: how blurred a question may be."""

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
from .asking import CANDIDATES, Questions, blurred, books, picked, units
from .base import Curves, Probe
from .measured import Measured, last_above, resampled

TUNING_SEQUENCES = 8
ROUNDS, LEVEL, LONGEST = 4, 0.9, 3.0


@dataclass(frozen=True)
class Noise(Probe):
    """How long the noise in a question may be, beside a key of length 1, for 90 % right answers.

    K/4 random unit keys come four times, always with the same value; from the second round on each
    question is a key plus noise of its own length, 0 to 3, scaled to length 1 again.

    Example:
        two keys, from the second round on; n has length 1

        | token    | 2         | 3         | 4         | 5         |
        |----------|-----------|-----------|-----------|-----------|
        | written  | k1, v1    | k0, v0    | k0, v0    | k1, v1    |
        | asked    | k0 + 0.2n | k1 + 2.1n | k0 + 1.0n | k0 + 0.4n |
        | right    | v0        | v1        | v0        | v0        |

    Example:
        >>> import ttr_core as ttr
        >>> small = Noise(dim=16, seq_len=16, sequences=4)
        >>> found = small.evaluate(ttr.Spec.parse("Uniform | Linear | Exact"))
        >>> 0.2 < found.metrics["noise_borne"] < 3
        True
    """

    name: ClassVar[str] = "noise"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "noise_borne", "higher", 0.0, LONGEST,
            help="Length of the noise beside a key of length 1 at which 90 % are right.",
        ),
    )  # fmt: skip

    dim: int = option(32, "Size of keys and values.", low=2, high=256)
    seq_len: int = option(32, "Tokens: four rounds of the pairs.", low=8, high=4096)

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return self.seq_len // ROUNDS

    def questions(self, sequences: int, source: torch.Generator) -> tuple[Questions, torch.Tensor]:
        """Draws sequences, and the place of each question in the order of their noise, [B, T]."""
        n, length = self.pairs, ROUNDS * self.pairs
        table, book = units((sequences, n, self.dim), source), books(sequences, self.dim, source)
        rounds = [torch.rand((sequences, n), generator=source).argsort(1) for _ in range(ROUNDS)]
        order = torch.cat(rounds, 1)
        values = torch.randint(CANDIDATES, (sequences, n), generator=source)
        asked = torch.randint(n, (sequences, length), generator=source)
        labels = values.gather(1, asked).masked_fill(torch.arange(length) < n, -1)
        place = torch.rand((sequences, length - n), generator=source).argsort(1)
        place = torch.cat([torch.zeros(sequences, n, dtype=torch.long), place], 1)
        q = blurred(picked(table, asked), self.lengths[place][..., None], source)
        bound = picked(book, values.gather(1, order))
        return Questions(q, picked(table, order), bound, book, labels), place

    @property
    def lengths(self) -> torch.Tensor:
        """The lengths of the noise, in order; each sequence has every one."""
        return torch.linspace(0, LONGEST, (ROUNDS - 1) * self.pairs)

    def loss(self, seed: int, device: str) -> Callable[[Constants], float]:
        held_out, _ = self.questions(TUNING_SEQUENCES, generator(seed, "validation"))
        every = torch.ones(held_out.labels.shape[1])
        return lambda constants: held_out.missed(constants, every, device)

    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        asked, place = self.questions(self.sequences, generator(seed, "test"))
        right = (asked.chosen(constants, device)[0] == asked.labels).double()[:, self.pairs :]
        ordered = torch.zeros_like(right).scatter(1, place[:, self.pairs :], right)
        lengths = torch.cat([torch.zeros(1), self.lengths]).double()

        def borne(means: torch.Tensor) -> torch.Tensor:
            return lengths[last_above(means, LEVEL)]

        estimates = {"noise_borne": resampled(ordered, borne, LONGEST)}
        return estimates, {"right": ordered.mean(0).tolist()}
