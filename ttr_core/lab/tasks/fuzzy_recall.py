"""MAD's fuzzy in-context recall: keys and values are motifs of several tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ...errors import RequestError
from ...space.option import option
from .base import Batch
from .context_recall import TAUGHT
from .pooled import PooledTask

Motif = tuple[int, ...]


@dataclass(frozen=True)
class FuzzyRecall(PooledTask):
    r"""MAD's fuzzy in-context recall: say the value of a key, where both are several tokens.

    A key is a motif of up to ``key_motif`` different tokens of the first half of the vocabulary, a
    value one of up to ``value_motif`` of the second; sizes and motifs are uniform. Motifs follow
    each other without a mark between; where a key comes again, every token of its value is asked.
    At the end comes a key that has come before. Sequences are filled up at their start. The test
    set has the longest keys only. Training asks for every next token.

    Example:
        ``vocab_size=8, seq_len=16``, filler 7; keys are of 0 to 2, values of 3 to 6

        | token | 7 | .. | 0 | 2 | 5 | 3 | 1 | 0 | 2 | 4 | 0 | 2 | 5 | 3 |
        |-------|---|----|---|---|---|---|---|---|---|---|---|---|---|---|
        | label |   |    |   |   |   |   |   |   |   |   |   | 5 | 3 |   |

    Reference: Mechanistic Design and Scaling of Hybrid Architectures (Poli et al., 2024)
    https://arxiv.org/abs/2403.17844, its code at https://github.com/athms/mad-lab
    Deviation: training draws its ``examples`` with replacement, not in epochs; accuracy is over
    answers, not the mean over words; the key at the end has always come before (there it may not).

    Example:
        >>> FuzzyRecall(vocab_size=16).halves
        (7, 15)
    """

    name: ClassVar[str] = "fuzzy-recall"

    vocab_size: int = option(16, "Tokens: keys, values and a filler.", low=4, high=65536)
    seq_len: int = option(128, "Length of a sequence in tokens.", low=8, high=8192)
    key_motif: int = option(3, "Tokens of a key, at most.", low=1, high=16)
    value_motif: int = option(3, "Tokens of a value, at most.", low=1, high=16)
    examples: int = option(0, "Distinct training sequences (0: fresh ones).", low=0, high=10**6)
    taught_at: str = option("every token", "Where training asks.", choices=TAUGHT)

    @property
    def halves(self) -> tuple[int, int]:
        """The first value and the filler: keys lie below, values between."""
        return (self.vocab_size - 1) // 2, self.vocab_size - 1

    @property
    def longest(self) -> int:
        """Tokens of a pair, at most."""
        return self.key_motif + self.value_motif

    def check(self) -> None:
        """Checks that motifs fit the vocabulary and pairs the length."""
        first, filler = self.halves
        needed = 1 + max(2 * self.key_motif, 2 * self.value_motif - 1)
        if self.key_motif > first or self.value_motif > filler - first:
            raise RequestError(
                f"fuzzy-recall has motifs of up to {self.key_motif} and {self.value_motif} "
                f"different tokens: raise vocab_size to {needed} at least, or shorten the motifs."
            )
        if self.seq_len < 3 * self.longest:
            raise RequestError(
                f"fuzzy-recall.seq_len is {self.seq_len}; pairs of {self.longest} tokens need "
                f"{3 * self.longest}: raise it, or shorten the motifs."
            )

    def drawn(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws fresh sequences whose keys are all of the longest kind."""
        return self._batch(count, generator, device, self.key_motif)

    def lessons(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws sequences with keys of all sizes."""
        batch = self._batch(count, generator, device, 1)
        return replace(batch, asked=None) if self.taught_at == TAUGHT[0] else batch

    def _batch(self, count: int, generator: torch.Generator, device: str, least: int) -> Batch:
        draws = (self.longest + 2) * (self.seq_len // 2 + 2)
        made = []
        for _ in range(count):
            drawn = torch.rand(draws, generator=generator, device=device)
            made.append(self._sequence(iter(drawn.tolist()), least))
        tokens = torch.tensor([row for row, _ in made], device=device)
        asked = torch.tensor([row for _, row in made], device=device)
        places = torch.arange(self.seq_len, device=device).expand(count, -1)
        return Batch(tokens[:, :-1], places, tokens[:, 1:], asked=asked[:, 1:])

    def _sequence(self, draws: Iterator[float], least: int) -> tuple[list[int], list[bool]]:
        """Returns T + 1 tokens and which of them are asked, keys of ``least`` tokens or more."""
        first, filler = self.halves

        def key() -> Motif:
            return motif(least, self.key_motif, 0, first, draws)

        def value() -> Motif:
            return motif(1, self.value_motif, first, filler, draws)

        last, answer = key(), value()
        size = len(last) + len(answer)
        room = self.seq_len - size - self.longest
        shown_at = int(next(draws) * min(room, self.seq_len - 2 * size))
        known: dict[Motif, Motif] = {}
        tokens: list[int] = []
        asked: list[bool] = []
        while len(tokens) < room:
            due = len(tokens) >= shown_at and last not in known
            here, fresh = (last, answer) if due else (key(), value())
            told = known.get(here, answer if here == last else fresh)
            tokens += [*here, *told]
            asked += [False] * len(here) + [here in known] * len(told)
            known[here] = told
        tokens += [*last, *answer]
        asked += [False] * len(last) + [True] * len(answer)
        missing = self.seq_len + 1 - len(tokens)
        return [filler] * missing + tokens, [False] * missing + asked


def motif(least: int, most: int, low: int, high: int, draws: Iterator[float]) -> Motif:
    """Returns different tokens of [low, high), of a size and in an order that are uniform.

    Args:
        least: tokens, at least.
        most: tokens, at most.
        low: the first token that may be drawn.
        high: the first that may not.
        draws: uniform numbers of [0, 1), of which 1 + ``most`` are taken at most.

    Example:
        >>> motif(2, 3, 0, 4, iter([0.9, 0.5, 0.5, 0.0]))
        (2, 1, 0)
    """
    chosen: list[int] = []
    for taken in range(least + int(next(draws) * (most - least + 1))):
        token = low + int(next(draws) * (high - low - taken))
        for earlier in sorted(chosen):
            token += token >= earlier
        chosen.append(token)
    return tuple(chosen)
