"""Multi-query associative recall: bind keys to values, then ask for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import RequestError, how_many
from ...space.option import option
from .base import Batch, TrainedTask
from .labeled import LabeledTask

VARIANTS = ("standard", "repeat", "overwrite")


@dataclass(frozen=True)
class MQAR(LabeledTask):
    r"""Multi-query associative recall: bind keys to values, then ask for them (Zoology's task).

    Keys come from the first half of the vocabulary (token 0 is the blank), values from the second.
    All three variants ask every key once; chance is 1 / (number of values in the vocabulary), and
    a model that merely copies some value it has seen reaches 1 / pairs.

    - ``standard``: k1 v1 ... kP vP, then every key once, in one of the two-token slots that
      follow; slot j is drawn with weight j^(power - 1), so most questions come soon.
    - ``repeat``: no filler. Pairs are shown again and again, in a fresh order each time, up to the
      length; the last time round each key is a question. Load, not length, is what is hard.
    - ``overwrite``: a share of the keys is bound a second time; the latest value counts.

    Example:
        ``pairs=2, seq_len=8, variant=standard`` (``.`` is filler):

        | position | 0  | 1  | 2  | 3  | 4  | 5 | 6  | 7 |
        |----------|----|----|----|----|----|---|----|---|
        | token    | k1 | v1 | k2 | v2 | k2 | . | k1 | . |
        | label    |    |    |    |    | v2 |   | v1 |   |

    Reference: Zoology: Measuring and Improving Recall in Efficient Language Models (Arora et al.,
    2023) https://arxiv.org/abs/2312.04927
    Deviation: random filler never repeats a key of its own sequence, so that every label is
    unambiguous; batches are drawn on the fly.

    Example:
        >>> MQAR(pairs=16).bindings
        16
    """

    name: ClassVar[str] = "mqar"

    pairs: int = option(8, "Keys bound in each sequence, each asked once.", low=1, high=16384)
    seq_len: int = option(64, "Length of a sequence in tokens (even).", low=4, high=65536)
    vocab_size: int = option(8192, "Tokens: half keys, half values.", low=4, high=131072)
    variant: str = option("standard", "How pairs and questions are laid out.", choices=VARIANTS)
    power: float = option(
        0.01, "Exponent of the gaps: near 0 most questions come soon, 1 is even.", low=0.001, high=4
    )
    rebound: float = option(
        0.5, "Share of the keys bound a second time (variant overwrite).", low=0.0, high=1.0
    )
    filler: str = option(
        "random", "What stands between the questions.", choices=("random", "blank")
    )

    @property
    def bindings(self) -> int:
        """Number of distinct values in a sequence."""
        extra = round(self.rebound * self.pairs) if self.variant == "overwrite" else 0
        return self.pairs + extra

    def check(self) -> None:
        """Checks that pairs, length and vocabulary fit each other."""
        half = self.vocab_size // 2
        if self.seq_len % 2:
            raise RequestError(
                f"mqar.seq_len is {self.seq_len}; it must be even: use {self.seq_len + 1}."
            )
        needed = 2 * self.bindings + 2 * self.pairs
        if needed > self.seq_len:
            raise RequestError(
                f"mqar with {how_many(self.pairs, 'pair')} ({self.variant}) needs seq_len of at "
                f"least {needed} (two tokens for each of {self.bindings} bindings and {self.pairs} "
                f"questions), but seq_len is {self.seq_len}: raise seq_len or lower pairs."
            )
        if self.pairs > half - 1 or self.bindings > self.vocab_size - half:
            wanted = 2 * max(self.pairs + 1, self.bindings)
            raise RequestError(
                f"mqar with {how_many(self.pairs, 'pair')} needs vocab_size of at least {wanted} "
                f"(keys from the first half but token 0, values from the second), but vocab_size "
                f"is {self.vocab_size}: raise vocab_size or lower pairs."
            )

    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws a batch; see the class for the layout."""
        half = self.vocab_size // 2
        keys = distinct(batch_size, self.pairs, 1, half, generator, device)
        values = distinct(batch_size, self.bindings, half, self.vocab_size, generator, device)
        if self.variant == "repeat":
            return self._repeated(keys, values, generator)
        owner, latest = self._owners(batch_size, generator, device)
        shown = keys if self.variant == "standard" else keys.gather(1, owner)
        context = torch.stack([shown, values], 2).flatten(1)
        slots = self._slots(batch_size, generator, device)
        positions = context.shape[1] + 2 * slots
        tokens = torch.cat([context, self._filler(keys, context.shape[1], generator)], 1)
        tokens.scatter_(1, positions, keys)
        groups = {"gap": positions - 2 * latest}
        if self.variant == "overwrite":
            groups["bound"] = (
                1 + (torch.arange(self.pairs, device=device) < self._again) + 0 * slots
            )
        return Batch(tokens, positions, values.gather(1, latest), groups)

    def guess(self) -> float:
        """Returns how often one of the values that were shown is right, whatever the key."""
        return 1 / self.pairs

    def variants(self) -> tuple[TrainedTask, ...]:
        """Returns longer sequences at the same load, and other loads where they fit."""
        loads = [max(1, self.pairs // 2), 2 * self.pairs, 4 * self.pairs]
        asked = [(self.pairs, 2 * self.seq_len), (self.pairs, 4 * self.seq_len)]
        asked += [(pairs, max(self.seq_len, 8 * pairs)) for pairs in loads]
        return tuple(
            v for pairs, length in asked if (v := self._resized(pairs, length)) is not None
        )

    def _resized(self, pairs: int, seq_len: int) -> MQAR | None:
        try:
            return replace(self, pairs=pairs, seq_len=seq_len)
        except RequestError:
            return None

    @property
    def _again(self) -> int:
        return self.bindings - self.pairs

    def _owners(self, batch: int, generator: torch.Generator, device: str) -> tuple[Tensor, Tensor]:
        """Returns which key each binding is for [B, N], and each key's latest binding [B, P]."""
        if self.variant == "standard":
            first = torch.arange(self.pairs, device=device).expand(batch, -1)
            return first, first
        order = shuffles((batch, self.bindings), generator, device)
        owner = torch.where(order < self.pairs, order, order - self.pairs)
        place = order.argsort(1)  # where the n-th (key, time) went
        latest = place[:, : self.pairs].clone()
        again = place[:, self.pairs :]
        latest[:, : self._again] = torch.maximum(latest[:, : self._again], again)
        return owner, latest

    def _slots(self, batch: int, generator: torch.Generator, device: str) -> Tensor:
        """Draws a slot for each key, without replacement, nearer ones more often [B, P].

        Exponential races: the P smallest of E_j / p_j are a draw without replacement with
        weights p (the Gumbel top-k trick without its logarithms).
        """
        slots = (self.seq_len - 2 * self.bindings) // 2
        rate = torch.arange(1, slots + 1, device=device, dtype=torch.float32).pow(self.power - 1)
        races = torch.empty(batch, slots, device=device).exponential_(generator=generator)
        return (races / rate).topk(self.pairs, dim=1, largest=False).indices

    def _filler(self, keys: Tensor, start: int, generator: torch.Generator) -> Tensor:
        """Draws tokens that are neither blank nor a key of the sequence [B, T - start]."""
        batch, pairs = keys.shape
        shape, device = (batch, self.seq_len - start), keys.device
        if self.filler == "blank":
            return torch.zeros(shape, dtype=torch.int64, device=device)
        others = self.vocab_size - 1 - pairs
        rank = torch.randint(0, others, shape, generator=generator, device=device)
        below = keys.sort(1).values - torch.arange(1, pairs + 1, device=device)
        return 1 + rank + torch.searchsorted(below, rank, right=True)

    def _repeated(self, keys: Tensor, values: Tensor, generator: torch.Generator) -> Batch:
        batch, pairs = keys.shape
        shown = self.seq_len // 2 - pairs
        rounds = math.ceil(shown / pairs)
        order = shuffles((batch, rounds + 1, pairs), generator, keys.device)
        context, asked = order[:, :rounds].flatten(1)[:, :shown], order[:, rounds]
        owner = torch.cat([context, asked], 1)
        tokens = torch.stack([keys.gather(1, owner), values.gather(1, owner)], 2).flatten(1)
        positions = torch.arange(2 * shown, self.seq_len, 2, device=keys.device).expand(batch, -1)
        last, times = self._shown(context, pairs)
        groups = {"gap": positions - 2 * last.gather(1, asked), "shown": times.gather(1, asked)}
        return Batch(tokens, positions, values.gather(1, asked), groups)

    @staticmethod
    def _shown(context: Tensor, pairs: int) -> tuple[Tensor, Tensor]:
        """Returns each pair's latest place in the context and how often it stands there."""
        place = torch.arange(context.shape[1], device=context.device).expand_as(context)
        last = context.new_zeros(len(context), pairs).scatter_reduce(1, context, place, "amax")
        times = context.new_zeros(len(context), pairs)
        return last, times.scatter_add(1, context, torch.ones_like(context))


def distinct(
    batch: int, count: int, low: int, high: int, generator: torch.Generator, device: str
) -> Tensor:
    """Draws ``count`` distinct tokens of [low, high) for each sequence, uniformly [B, count].

    Repeated tokens are drawn again until none is left. The rule compares tokens for equality
    only, so no token is special: every ordered choice is equally likely. Where more than half of
    the pool is wanted, the pool is shuffled instead.
    """
    if 2 * count > high - low:
        return low + shuffles((batch, high - low), generator, device)[:, :count]
    drawn = torch.randint(low, high, (batch, count), generator=generator, device=device)
    rows, part = None, drawn
    while True:
        repeated = repeated_in_row(part)
        again = repeated.any(1).nonzero().squeeze(1)
        if not len(again):
            return drawn
        part, repeated = part[again], repeated[again]
        fresh = torch.randint(low, high, part.shape, generator=generator, device=device)
        part = torch.where(repeated, fresh, part)
        rows = again if rows is None else rows[again]
        drawn[rows] = part


def shuffles(
    shape: tuple[int, ...], generator: torch.Generator, device: str | torch.device
) -> Tensor:
    """Returns independent random permutations along the last axis."""
    return torch.rand(shape, generator=generator, device=device).argsort(-1)


def repeated_in_row(drawn: Tensor) -> Tensor:
    """Marks the entries that equal an earlier one of their row [B, count]."""
    ordered, place = drawn.sort(dim=1, stable=True)
    same = torch.zeros_like(drawn, dtype=torch.bool)
    return same.scatter(1, place[:, 1:], ordered[:, 1:] == ordered[:, :-1])
