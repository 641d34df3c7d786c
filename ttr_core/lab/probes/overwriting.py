"""Overwriting: whether the newest value of a key is what is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...space.option import option
from ...space.spec import Spec
from ..metric import SHARE, Metric
from ..tasks.base import generator
from ..tasks.constants import Constants
from .asking import CANDIDATES, Questions, books, picked, units
from .base import Curves, Probe
from .measured import Measured, resampled

TUNING_SEQUENCES = 8
ROUNDS = 4


@dataclass(frozen=True)
class Overwriting(Probe):
    """Whether a key that is bound again is answered by its newest value.

    K/4 random unit keys are bound to random values four times over, in another order each time, and
    after every token one of the keys bound again in this round is asked for.

    Example:
        two keys, from the second round on

        | token    | 2      | 3      | 4      | 5      |
        |----------|--------|--------|--------|--------|
        | written  | k1, v2 | k0, v3 | k0, v4 | k1, v5 |
        | asked    | k1     | k1     | k0     | k0     |
        | right    | v2     | v2     | v4     | v4     |

    Example:
        >>> import ttr_core as ttr
        >>> small = Overwriting(dim=16, seq_len=16, sequences=4)
        >>> found = small.evaluate(ttr.Spec.parse("Uniform | Linear | SGD"))
        >>> found.metrics["overwritten"] > 0.8
        True
    """

    name: ClassVar[str] = "overwriting"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("overwritten", "higher", 0.0, 1.0, SHARE, "Answers by the newest value of a key."),
        Metric("outdated", "lower", 0.0, 1.0, SHARE, "Answers by an older value of the key."),
    )

    dim: int = option(32, "Size of keys and values.", low=2, high=256)
    seq_len: int = option(32, "Tokens: four rounds of the keys.", low=8, high=4096)

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return self.seq_len // ROUNDS

    def questions(self, sequences: int, source: torch.Generator) -> tuple[Questions, Tensor]:
        """Draws sequences, and the values that each asked key had before, [B, T, rounds]."""
        n, length = self.keys, ROUNDS * self.keys
        table, book = units((sequences, n, self.dim), source), books(sequences, self.dim, source)
        rounds = [torch.rand((sequences, n), generator=source).argsort(1) for _ in range(ROUNDS)]
        order = torch.cat(rounds, 1)  # (B T): which key is bound
        values = torch.randint(CANDIDATES, (sequences, length), generator=source)
        place = torch.arange(length)
        share = torch.rand((sequences, length), generator=source)
        when = place // n * n + (share * (place % n + 1)).long()  # a token of this round
        asked = order.gather(1, when)
        bound = torch.stack([one.argsort(1) for one in rounds], -1)  # (B N R): place in each round
        slots = bound + n * torch.arange(ROUNDS)
        per_key = values.gather(1, slots.flatten(1)).view(sequences, n, ROUNDS)
        had = per_key.gather(1, asked[..., None].expand(-1, -1, ROUNDS))
        earlier = torch.arange(ROUNDS) < (place // n)[:, None]
        had = had.masked_fill(~earlier, -2)
        labels = values.gather(1, when).masked_fill(place < n, -1)
        made = Questions(picked(table, asked), picked(table, order), picked(book, values), book,
                         labels)  # fmt: skip
        return made, had

    def loss(self, seed: int, device: str) -> Callable[[Constants], float]:
        held_out, _ = self.questions(TUNING_SEQUENCES, generator(seed, "validation"))
        every = torch.ones(held_out.labels.shape[1])
        return lambda constants: held_out.missed(constants, every, device)

    def found(
        self, constants: Constants, spec: Spec, seed: int, device: str
    ) -> tuple[dict[str, Measured], Curves]:
        asked, had = self.questions(self.sequences, generator(seed, "test"))
        chosen, _ = asked.chosen(constants, device)
        after = slice(self.keys, None)
        right = (chosen == asked.labels)[:, after].double()
        old = (chosen[..., None] == had).any(-1)[:, after].double() * (1 - right)
        estimates = {
            "overwritten": resampled(right.mean(1), lambda means: means),
            "outdated": resampled(old.mean(1), lambda means: means),
        }
        return estimates, {"overwritten": right.mean(0).tolist()}
