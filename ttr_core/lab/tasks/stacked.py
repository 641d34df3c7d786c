"""Stacked recall: key and value stand in one token, so that one layer alone is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import RequestError, how_many
from ...layers.adapter import Adapter
from ...layers.init import linear
from ...space.option import option
from .base import Batch, TrainedTask
from .labeled import LabeledTask
from .mqar import MQAR

LONGEST = 32768  # a token is two of a sequence of pairs


@dataclass(frozen=True)
class Stacked(LabeledTask):
    r"""Stacked recall: pairs of key and value side by side in one token, then every key alone.

    $$ x_t = W\, [e(k_t)\,;\, e(v_t)], \qquad \text{logits} = E\, \text{rms}(U h_t) $$

    with the rows e of E random and never trained, and zeros where a question has no value. No
    layer or convolution has to bring a key and its value together first: what is trained is W, U
    and the layer, what is asked is its memory. Pairs are shown again and again, in a fresh order
    each time, up to the questions. Chance is 1 / (number of values).

    Example:
        ``pairs=2, seq_len=4``:

        | key   | k1 | k2 | k2 | k1 |
        |-------|----|----|----|----|
        | value | v1 | v2 |    |    |
        | label |    |    | v2 | v1 |

    Reference: the data set of that name in the code of Zoology: Measuring and Improving Recall in
    Efficient Language Models (Arora et al., 2023) https://arxiv.org/abs/2312.04927,
    https://github.com/HazyResearch/zoology
    Deviation: batches are drawn on the fly; keys are among the answers that can be given.

    Example:
        >>> Stacked(pairs=16, seq_len=64).passes
        3.0
    """

    name: ClassVar[str] = "stacked"

    pairs: int = option(32, "Keys bound in each sequence, each asked once.", low=1, high=16384)
    seq_len: int = option(64, "Length of a sequence in tokens.", low=2, high=LONGEST)
    vocab_size: int = option(8192, "Half keys, half values.", low=4, high=131072)

    @property
    def passes(self) -> float:
        """How often every pair is shown, on average."""
        return (self.seq_len - self.pairs) / self.pairs

    def check(self) -> None:
        """Checks that pairs, length and vocabulary fit each other."""
        if self.seq_len < 2 * self.pairs:
            raise RequestError(
                f"stacked with {how_many(self.pairs, 'pair')} needs seq_len of at least "
                f"{2 * self.pairs}, one token for each pair and each question, but seq_len is "
                f"{self.seq_len}: raise it or lower pairs."
            )
        if self.pairs > self.vocab_size // 2 - 1:
            raise RequestError(
                f"stacked with {how_many(self.pairs, 'pair')} needs vocab_size of at least "
                f"{2 * self.pairs + 2}, but vocab_size is {self.vocab_size}: raise it or lower "
                "pairs."
            )

    def adapter(self, d_model: int, generator: torch.Generator | None = None) -> Adapter:
        """Returns what reads key and value side by side."""
        return PairInlet(d_model, generator)

    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws a batch: the pairs of `MQAR`'s ``repeat``, one in a token; -1 is nothing."""
        layout = MQAR(self.pairs, 2 * self.seq_len, self.vocab_size, "repeat")
        batch = layout.sample(batch_size, generator, device)
        tokens = batch.tokens.unflatten(1, (-1, 2)).clone()
        tokens[:, -self.pairs :, 1] = -1
        groups = {"gap": batch.groups["gap"] // 2, "shown": batch.groups["shown"]}
        return Batch(tokens, batch.positions // 2, batch.labels, groups)

    def variants(self) -> tuple[TrainedTask, ...]:
        """Returns other loads at as many passes, and more passes at the same load."""
        most = self.vocab_size // 2 - 1
        loads = [n for n in (self.pairs // 2, 2 * self.pairs, 4 * self.pairs) if 0 < n <= most]
        again = replace(self, seq_len=min(2 * self.seq_len - self.pairs, LONGEST))
        sizes = [(n, round(n * (1 + self.passes))) for n in loads]
        other = [replace(self, pairs=n, seq_len=t) for n, t in sizes if t <= LONGEST]
        return (again, *other)


class PairInlet(Adapter):
    """Maps the embeddings of a key and a value, side by side, to one vector; -1 is zero.

    Args:
        d_model: D.
        generator: source of every fresh parameter.

    Example:
        >>> given = torch.tensor([[[1, 2], [1, -1]]])
        >>> PairInlet(4).read(given, torch.eye(4)).shape
        torch.Size([1, 2, 4])
    """

    fixed: ClassVar[bool] = True

    def __init__(self, d_model: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.inlet = linear(2 * d_model, d_model, generator)
        self.outlet = linear(d_model, d_model, generator)

    def read(self, given: Tensor, embedding: Tensor) -> Tensor:
        scale = embedding.shape[-1] ** 0.5
        both = F.embedding(given.clamp(min=0), embedding) * scale * (given >= 0)[..., None]
        x: Tensor = self.inlet(both.flatten(-2))
        return x

    def ready(self, hidden: Tensor) -> Tensor:
        x: Tensor = self.outlet(hidden)
        return x
