"""MAD's in-context recall, also with noise: pairs come again and again, and so do the questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...errors import RequestError
from ...space.option import option
from .base import Batch
from .mqar import repeated_in_row
from .pooled import PooledTask

TAUGHT = ("every token", "questions")


@dataclass(frozen=True)
class ContextRecall(PooledTask):
    r"""MAD's in-context recall: say the value of every key that has come before.

    Keys are the first half of the vocabulary (without the noise words), values the second. Each of
    T / 2 slots holds a key, drawn with replacement, and the value that it has in this sequence;
    where a key comes again, its value is asked. The last slot always holds a key that has come.
    With ``noise`` so many of the slots, but one at least, hold two noise words instead: noisy
    in-context recall. Training asks for every next token, most of which cannot be known.

    Example:
        ``vocab_size=8, seq_len=8``; k is of 0 to 3, v of 4 to 7

        | token | k1 | v1 | k2 | v2 | k1 | v1 | k2 | v2 |
        |-------|----|----|----|----|----|----|----|----|
        | label |    |    |    |    | v1 |    | v2 |    |

    Reference: Mechanistic Design and Scaling of Hybrid Architectures (Poli et al., 2024)
    https://arxiv.org/abs/2403.17844, its code at https://github.com/athms/mad-lab
    Deviation: training draws its ``examples`` with replacement, not in epochs; accuracy is over
    answers, not the mean over words.

    Example:
        >>> ContextRecall(vocab_size=32, noise=0.2, noise_vocab=16).keys
        8
    """

    name: ClassVar[str] = "in-context-recall"

    vocab_size: int = option(16, "Tokens: keys, values, noise.", low=4, high=65536)
    seq_len: int = option(128, "Length of a sequence in tokens (even).", low=4, high=65536)
    noise: float = option(0.0, "Share of the slots that hold noise.", low=0.0, high=0.99)
    noise_vocab: int = option(0, "Noise words among the tokens.", low=0, high=65536)
    examples: int = option(0, "Distinct training sequences (0: fresh ones).", low=0, high=10**6)
    taught_at: str = option("every token", "Where training asks.", choices=TAUGHT)

    @property
    def keys(self) -> int:
        """Number of keys."""
        return (self.vocab_size - self.noise_vocab) // 2

    def check(self) -> None:
        """Checks that there are keys, whole slots, and words where there is noise."""
        if self.seq_len % 2:
            raise RequestError(
                f"in-context-recall.seq_len is {self.seq_len}; it must be even: use "
                f"{self.seq_len + 1}."
            )
        if self.keys < 1:
            raise RequestError(
                f"in-context-recall.noise_vocab is {self.noise_vocab} of {self.vocab_size} tokens, "
                f"which leaves no keys: take {self.vocab_size - 2} or less."
            )
        if self.noise and not self.noise_vocab:
            raise RequestError(
                f"in-context-recall.noise is {self.noise:g} and there are no noise words: raise "
                "noise_vocab, and vocab_size by as much."
            )

    def drawn(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws fresh sequences, asked for every key that has come before."""
        slots, words = self.seq_len // 2, self.vocab_size - self.noise_vocab

        def whole(low: int, high: int, *shape: int) -> torch.Tensor:
            return torch.randint(low, high, shape, generator=generator, device=device)

        keys, of_key = whole(0, self.keys, count, slots), whole(self.keys, words, count, self.keys)
        noisy = torch.rand(count, slots, generator=generator, device=device) < self.noise
        noisy.scatter_(1, whole(0, slots - 1, count, 1), False)
        noisy[:, -1] = False
        come = torch.zeros(count, self.keys, device=device)
        come.scatter_add_(1, keys[:, :-1], (~noisy[:, :-1]).float())
        last = torch.multinomial((come > 0).float(), 1, generator=generator)
        keys = torch.cat([keys[:, :-1], last], 1)
        values = of_key.gather(1, keys)
        place = torch.arange(slots, device=device)
        again = repeated_in_row(torch.where(noisy, -1 - place, keys))
        tokens = torch.stack([keys, values], 2)
        if self.noise:
            filler = whole(words, self.vocab_size, count, slots, 2)
            tokens = torch.where(noisy[..., None], filler, tokens)
        return Batch(tokens.flatten(1), (2 * place).expand(count, -1), values, asked=again)

    def lessons(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws sequences that are asked for every next token, or as the test set."""
        batch = self.drawn(count, generator, device)
        return next_tokens(batch) if self.taught_at == TAUGHT[0] else batch


def next_tokens(batch: Batch) -> Batch:
    """Returns the same sequences, asked for the next token everywhere."""
    tokens = batch.tokens
    places = torch.arange(tokens.shape[1] - 1, device=tokens.device)
    return Batch(tokens, places.expand(len(tokens), -1), tokens[:, 1:])
