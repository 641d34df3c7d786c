"""MAD's selective copying: repeat the data tokens of a sequence that is mostly blank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...errors import RequestError, how_many
from ...space.option import option
from .base import Batch
from .pooled import PooledTask


@dataclass(frozen=True)
class SelectiveCopying(PooledTask):
    r"""MAD's selective copying: after the copy token, say the data tokens in their order.

    ``copied`` data tokens, drawn with replacement, stand among blanks, each blank before one of
    them at random; then comes the copy token, and then so many blanks, at each of which the next
    data token is asked.

    Example:
        ``vocab_size=4, copied=2, seq_len=8``; 2 is the blank, 3 the copy token

        | token | 2 | 0 | 2 | 2 | 1 | 3 | 2 | 2 |
        |-------|---|---|---|---|---|---|---|---|
        | label |   |   |   |   |   |   | 0 | 1 |

    Reference: Mechanistic Design and Scaling of Hybrid Architectures (Poli et al., 2024)
    https://arxiv.org/abs/2403.17844, its code at https://github.com/athms/mad-lab
    Deviation: training draws its ``examples`` with replacement, not in epochs; accuracy is over
    answers, not the mean over words.

    Example:
        >>> SelectiveCopying(copied=16, seq_len=256).blanks
        223
    """

    name: ClassVar[str] = "selective-copying"

    vocab_size: int = option(16, "Tokens: data, blank, copy token.", low=3, high=131072)
    seq_len: int = option(256, "Length of a sequence in tokens.", low=4, high=65536)
    copied: int = option(16, "Data tokens of a sequence.", low=1, high=16384)
    examples: int = option(0, "Distinct training sequences (0: fresh ones).", low=0, high=10**6)

    @property
    def blanks(self) -> int:
        """Number of blanks among the data tokens."""
        return self.seq_len - 2 * self.copied - 1

    def check(self) -> None:
        """Checks that data, copy token and answers fit the length."""
        if self.blanks < 0:
            raise RequestError(
                f"selective-copying with {how_many(self.copied, 'token')} to copy needs seq_len of "
                f"at least {2 * self.copied + 1}, but seq_len is {self.seq_len}: raise it, or take "
                f"copied={(self.seq_len - 1) // 2}."
            )

    def drawn(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws fresh sequences."""
        n, words = self.copied, self.vocab_size - 2
        data = torch.randint(words, (count, n), generator=generator, device=device)
        shape = (count, self.blanks)
        before = torch.randint(n, shape, generator=generator, device=device)
        counts = torch.zeros_like(data).scatter_add_(1, before, torch.ones_like(before))
        order = torch.arange(n, device=device)
        tokens = data.new_full((count, self.seq_len), words)
        tokens.scatter_(1, order + counts.cumsum(1), data)
        tokens[:, n + self.blanks] = words + 1
        return Batch(tokens, (self.seq_len - n + order).expand(count, -1), data)

    def lessons(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws sequences with the questions of the test set."""
        return self.drawn(count, generator, device)
