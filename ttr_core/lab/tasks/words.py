"""Words in a group: a state that every token changes, and that cannot be looked up."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import RequestError, how_many
from ...space.option import option
from .base import Batch
from .state_tracking import TrackingTask

GROUPS = ("Z2", "Z3", "Z4", "Z5", "Z6", "Z60", "S3", "S4", "A4", "A5", "S5")
"""Cyclic (Z), symmetric (S) and alternating (A) groups, by the letter and the number of each."""


@dataclass(frozen=True)
class GroupWords(TrackingTask):
    r"""Words in a group: say the product of all tokens so far, at every token.

    Tokens are the elements of a group, drawn uniformly; the answer after the token $x_t$ is

    $$ s_t = x_t s_{t-1}, \qquad s_0 = e $$

    so every state is as likely as any other and chance is 1 / (number of elements). Element 0 is
    $e$; of a cyclic group element i is the rest i, of S and A the permutations in lexicographic
    order. No earlier token gives the answer away: it has to be tracked. Trained at one length, the
    model is read at longer ones, up to ``read_to``, in bins that double.

    - Z2 is parity, one reflection; Z_n with n > 2 and S3 need two per token.
    - A5 and S5 are not solvable: no fixed depth of layers whose transitions commute tracks them at
      every length, unless TC0 is NC1.

    Example:
        ``group=Z3, seq_len=5``:

        | token | 1 | 2 | 2 | 0 | 1 |
        |-------|---|---|---|---|---|
        | label | 1 | 0 | 2 | 2 | 0 |

    Reference: Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues (Grazzi et al.,
    2024) https://arxiv.org/abs/2411.12537; the word problem: The Illusion of State in State-Space
    Models (Merrill et al., 2024) https://arxiv.org/abs/2404.08819
    Deviation: every prefix of a sequence is asked, from the first token on (Grazzi et al. draw
    lengths from 3 to 40); batches are drawn on the fly.

    Example:
        >>> GroupWords(group="S3").vocab_size
        6
    """

    name: ClassVar[str] = "words"

    group: str = option("Z2", "The group whose products are asked; Z2 is parity.", choices=GROUPS)
    seq_len: int = option(40, "Length of a sequence in tokens.", low=2, high=65536)
    first: int = option(1, "The first token after which an answer is asked.", low=1, high=65536)
    read_to: int = option(
        256, "The longest sequence at which the trained model is read.", low=2, high=65536
    )

    @property
    def vocab_size(self) -> int:
        """Number of elements of the group."""
        return len(products_of(self.group))

    @property
    def states(self) -> int:
        return self.vocab_size

    def check(self) -> None:
        """Checks that something is asked."""
        if self.first > self.seq_len:
            raise RequestError(
                f"words.first is {self.first}, after the end of {how_many(self.seq_len, 'token')}: "
                f"take first={self.seq_len} or less, or raise seq_len."
            )

    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws a batch; see the class for the layout."""
        shape, products = (batch_size, self.seq_len), products_of(self.group).to(device)
        tokens = torch.randint(len(products), shape, generator=generator, device=device)
        states = list(itertools.accumulate(tokens.unbind(1), lambda s, x: products[x, s]))
        asked = torch.arange(self.first - 1, self.seq_len, device=device)
        positions = asked.expand(batch_size, -1)
        return Batch(tokens, positions, torch.stack(states, 1)[:, asked], {"length": positions + 1})


@functools.cache
def products_of(group: str) -> Tensor:
    """Returns the products of a group: row x, column y holds x y [G, G].

    Args:
        group: one of `GROUPS`.

    Example:
        >>> products_of("Z3")
        tensor([[0, 1, 2],
                [1, 2, 0],
                [2, 0, 1]])
    """
    kind, count = group[0], int(group[1:])
    if kind == "Z":
        rest = torch.arange(count)
        return (rest[:, None] + rest) % count
    every = [p for p in itertools.permutations(range(count)) if kind == "S" or _even(p)]
    place = {p: i for i, p in enumerate(every)}
    return torch.tensor([[place[tuple(x[i] for i in y)] for y in every] for x in every])


def _even(permutation: tuple[int, ...]) -> bool:
    return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0
