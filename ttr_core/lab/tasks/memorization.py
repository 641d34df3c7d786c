"""MAD's memorization: a fixed table from keys to values, which only the weights can hold."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import RequestError
from ...space.option import option
from .base import Batch
from .pooled import PooledTask


@dataclass(frozen=True)
class Memorization(PooledTask):
    r"""MAD's memorization: say the value of a key that is the same in all sequences.

    Half of the vocabulary are keys, half values, and a fixed random table gives every key a value
    of its own. A sequence is keys, drawn with replacement, each before the insert token, at which
    its value is asked. Nothing in the sequence tells it: the weights hold it, not the memory.

    Example:
        ``vocab_size=5, seq_len=6``; the insert token is 4

        | token | 0 | 4 | 1 | 4 | 0 | 4 |
        |-------|---|---|---|---|---|---|
        | label |   | 2 |   | 3 |   | 2 |

    Reference: Mechanistic Design and Scaling of Hybrid Architectures (Poli et al., 2024)
    https://arxiv.org/abs/2403.17844, its code at https://github.com/athms/mad-lab
    Deviation: training draws its ``examples`` with replacement, not in epochs; accuracy is over
    answers, not the mean over words.

    Example:
        >>> Memorization(vocab_size=256).keys
        127
    """

    name: ClassVar[str] = "memorization"

    vocab_size: int = option(256, "Tokens: keys, values, the insert token.", low=3, high=131072)
    seq_len: int = option(32, "Length of a sequence in tokens (even).", low=2, high=65536)
    examples: int = option(0, "Distinct training sequences (0: fresh ones).", low=0, high=10**6)

    @property
    def keys(self) -> int:
        """Number of keys."""
        return (self.vocab_size - 1) // 2

    def check(self) -> None:
        """Checks that keys and insert tokens come in pairs."""
        if self.seq_len % 2:
            raise RequestError(
                f"memorization.seq_len is {self.seq_len}; it must be even: use {self.seq_len + 1}."
            )

    def drawn(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws fresh sequences; the table is the same in all."""
        shape = (count, self.seq_len // 2)
        keys = torch.randint(self.keys, shape, generator=generator, device=device)
        tokens = torch.stack([keys, torch.full_like(keys, self.vocab_size - 1)], 2).flatten(1)
        positions = torch.arange(1, self.seq_len, 2, device=device).expand(count, -1)
        table = memorized(self.keys, self.vocab_size - 1).to(device)
        return Batch(tokens, positions, table[keys])

    def lessons(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws sequences with the questions of the test set."""
        return self.drawn(count, generator, device)


@functools.cache
def memorized(keys: int, words: int) -> Tensor:
    """Returns the value of every key, different ones of [keys, words), the same for every run."""
    order = torch.randperm(words - keys, generator=torch.Generator().manual_seed(12345))
    return keys + order[:keys]
