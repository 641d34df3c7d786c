"""Arithmetic modulo n: the value of an expression, without and with brackets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import RequestError
from ...space.option import option
from .base import Batch
from .state_tracking import TrackingTask

SYMBOLS = {"flat": "+-*=_", "brackets": "+-*()=_"}
"""What follows the digits in the vocabulary, by the form; ``_`` fills up short sequences."""


@dataclass(frozen=True)
class Modular(TrackingTask):
    r"""Arithmetic modulo n: say the value of an expression after its equals sign.

    $$ y = \text{expression} \bmod n $$

    - ``flat``: digits 0 to n - 1 and +, -, * between them, drawn uniformly; products come before
      sums. Its state is finite: the sum so far, the product so far and its sign.
    - ``brackets``: digits, -digit and (left + right), (left - right) within each other. An
      expression of L tokens is split at a uniform place; below five tokens it is d, -d, (d), (-d).
      Its depth grows with the length, so that no finite state tracks it at every length.

    The number of tokens, equals sign included, is uniform from ``first`` to ``seq_len``, even
    where there are no brackets; what follows is filled up. Trained at one length, the model is
    read at longer ones, up to ``read_to``, in bins that double.

    Example:
        ``modulus=5, seq_len=8``:

        | token | 2 | + | 3 | * | 3 | = | . | . |
        |-------|---|---|---|---|---|---|---|---|
        | label |   |   |   |   |   | 1 |   |   |

    Reference: Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues (Grazzi et al.,
    2024) https://arxiv.org/abs/2411.12537; the expressions: Neural Networks and the Chomsky
    Hierarchy (Delétang et al., 2022) https://arxiv.org/abs/2207.02098
    Deviation: batches are drawn on the fly; lengths leave out the answer, and all are as likely
    (with brackets Grazzi et al. draw the shortest three times as often).

    Example:
        >>> Modular(form="brackets").text([6, 3, 5, 4, 10])
        '-3+4='
    """

    name: ClassVar[str] = "modular"

    form: str = option("flat", "How the expressions are built.", choices=tuple(SYMBOLS))
    modulus: int = option(5, "n; digits and answers are 0 to n - 1.", low=2, high=64)
    seq_len: int = option(40, "Length of a sequence in tokens, '=' included.", low=2, high=1024)
    first: int = option(2, "The shortest expression with its '=', in tokens.", low=2, high=1024)
    read_to: int = option(
        256, "The longest sequence at which the trained model is read.", low=2, high=1024
    )

    @property
    def vocab_size(self) -> int:
        """Number of tokens: digits, operators, equals sign, filler."""
        return self.modulus + len(SYMBOLS[self.form])

    @property
    def states(self) -> int:
        return self.modulus

    def check(self) -> None:
        """Checks that there is a length to draw."""
        if not self._lengths():
            even, lower = "", self.seq_len
            if self.form == "flat":
                even, lower = ", which is even without brackets", lower - lower % 2
            raise RequestError(
                f"modular.first is {self.first} and modular.seq_len is {self.seq_len}: no "
                f"expression with its '='{even}, has a length between them: take first={lower} or "
                "less, or raise seq_len."
            )

    def text(self, tokens: list[int]) -> str:
        """Returns an expression as it is read, without what fills it up."""
        digits = [str(d) for d in range(self.modulus)]
        return "".join([*digits, *SYMBOLS[self.form]][t] for t in tokens).rstrip("_")

    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws a batch; see the class for the layout."""
        choices = torch.tensor(self._lengths(), device=device)
        drawn = torch.randint(len(choices), (batch_size,), generator=generator, device=device)
        lengths = choices[drawn]
        make = self._flat if self.form == "flat" else self._bracketed
        tokens, labels = make(lengths, generator)
        ends = lengths[:, None] - 1
        place = torch.arange(self.seq_len, device=device)
        equals, filler = self.vocab_size - 2, self.vocab_size - 1
        tokens = torch.where(place < ends, tokens, torch.where(place == ends, equals, filler))
        return Batch(tokens, ends, labels, {"length": lengths[:, None]})

    def _lengths(self) -> list[int]:
        every = range(self.first, self.seq_len + 1)
        return [n for n in every if self.form == "brackets" or n % 2 == 0]

    def _flat(self, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns digits and operators in turn [B, T], and the value before each equals sign."""
        n, device = self.modulus, lengths.device
        shape = (len(lengths), (self.seq_len + 1) // 2)
        digits = torch.randint(n, shape, generator=generator, device=device)
        operators = torch.randint(3, shape, generator=generator, device=device)
        total, term = torch.zeros_like(lengths), digits[:, 0]
        values = [term]
        for digit, operator in zip(digits.unbind(1)[1:], operators.unbind(1), strict=False):
            times = operator == 2
            total = torch.where(times, total, (total + term) % n)
            term = torch.where(times, term * digit, torch.where(operator == 1, -digit, digit)) % n
            values.append((total + term) % n)
        tokens = torch.stack([digits, n + operators], 2).flatten(1)[:, : self.seq_len]
        return tokens, torch.stack(values, 1).gather(1, lengths[:, None] // 2 - 1)

    def _bracketed(self, lengths: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns expressions [B, T], filled up with 0, and their values [B, 1]."""
        shape = (len(lengths), self.seq_len + 3)  # three draws for four tokens, and a leaf
        drawn = torch.rand(shape, generator=generator, device=lengths.device).tolist()
        made = [
            nested_expression(length - 1, self.modulus, iter(row))
            for length, row in zip(lengths.tolist(), drawn, strict=True)
        ]
        tokens = [[*part, *[0] * (self.seq_len - len(part))] for part, _ in made]
        values = [[value] for _, value in made]
        return torch.tensor(tokens).to(lengths.device), torch.tensor(values).to(lengths.device)


def nested_expression(length: int, modulus: int, draws: Iterator[float]) -> tuple[list[int], int]:
    """Returns an expression of so many tokens, as `Modular` draws them, and its value.

    Args:
        length: number of tokens, at least 1.
        modulus: n.
        draws: uniform numbers of [0, 1), of which fewer than ``length + 3`` are taken.

    Example:
        >>> nested_expression(4, 5, iter([0.7]))  # (-3)
        ([8, 6, 3, 9], 2)
    """
    plus, minus, opening, closing = modulus, modulus + 1, modulus + 3, modulus + 4
    if length < 5:
        digit = int(next(draws) * modulus)
        signed = [minus, digit] if length % 2 == 0 else [digit]
        value = -digit % modulus if length % 2 == 0 else digit
        return (signed if length < 3 else [opening, *signed, closing]), value
    before = 1 + int(next(draws) * (length - 4))
    left, a = nested_expression(before, modulus, draws)
    right, b = nested_expression(length - 3 - before, modulus, draws)
    adds = next(draws) < 0.5
    value = (a + b if adds else a - b) % modulus
    return [opening, *left, plus if adds else minus, *right, closing], value
