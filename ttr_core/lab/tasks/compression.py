"""MAD's compression: a whole sequence from the output at its last token."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers.adapter import Adapter
from ...layers.init import linear
from ...space.option import option
from .base import Batch
from .pooled import PooledTask


@dataclass(frozen=True)
class Compression(PooledTask):
    r"""MAD's compression: say every token of a sequence from the last output alone.

    Tokens are drawn uniformly, and the last one is the compression token. Its output h, plus a
    code for the place p, goes through two layers, the same at every place, and then to the logits:

    $$ \text{logits}_p = E\, \text{rms}(g(W_2\, g(W_1\, (h + c_p)))) $$

    with g a normalization before and GELU behind each W. So all that the model knows of the
    sequence passes through one vector.

    Example:
        ``vocab_size=4, seq_len=4``; the compression token is 3; all four are asked at the last

        | token | 2 | 0 | 1 | 3 |
        |-------|---|---|---|---|
        | label | 2 | 0 | 1 | 3 |

    Reference: Mechanistic Design and Scaling of Hybrid Architectures (Poli et al., 2024)
    https://arxiv.org/abs/2403.17844, its code at https://github.com/athms/mad-lab
    Deviation: logits are tied to the embedding; training draws its ``examples`` with replacement,
    not in epochs; accuracy is over answers, not the mean over words. As there, the compression
    token itself is asked, too.

    Example:
        >>> Compression(seq_len=32).drawn(2, torch.Generator()).labels.shape
        torch.Size([2, 32])
    """

    name: ClassVar[str] = "compression"

    vocab_size: int = option(16, "Tokens, the compression token among them.", low=3, high=131072)
    seq_len: int = option(32, "Length of a sequence in tokens.", low=2, high=65536)
    examples: int = option(0, "Distinct training sequences (0: fresh ones).", low=0, high=10**6)

    def check(self) -> None:
        """Every length and vocabulary fit."""

    def adapter(self, d_model: int, generator: torch.Generator | None = None) -> Adapter:
        """Returns the decoder of the last output."""
        return PlaceDecoder(d_model, generator)

    def drawn(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws fresh sequences."""
        shape, last = (count, self.seq_len), self.vocab_size - 1
        tokens = torch.randint(last, shape, generator=generator, device=device)
        tokens[:, -1] = last
        return Batch(tokens, torch.full_like(tokens, self.seq_len - 1), tokens)

    def lessons(self, count: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws sequences with the questions of the test set."""
        return self.drawn(count, generator, device)


class PlaceDecoder(Adapter):
    """Adds to the p-th question a code for p, and maps it by two layers.

    Args:
        d_model: D.
        generator: source of every fresh parameter.

    Example:
        >>> decoder = PlaceDecoder(8)
        >>> decoder.ready(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, d_model: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.maps = nn.ModuleList(
            linear(d_model, d_model, generator, torch.zeros(d_model)) for _ in range(2)
        )

    def read(self, given: Tensor, embedding: Tensor) -> Tensor:
        x: Tensor = F.embedding(given, embedding) * embedding.shape[-1] ** 0.5
        return x

    def ready(self, hidden: Tensor) -> Tensor:
        x = hidden + place_codes(hidden.shape[1], hidden.shape[2]).to(hidden)
        for one in self.maps:
            x = F.gelu(one(F.rms_norm(x, x.shape[-1:])))
        return x


def place_codes(count: int, size: int) -> Tensor:
    r"""Returns sines and cosines of places, [count, size].

    $$ c_{p} = (\sin p \omega_j, \cos p \omega_j), \qquad \omega_j = 10^{-4 j / (n - 1)} $$

    with j from 0 to n - 1, n half of the size; an odd size ends with a 0.

    Example:
        >>> place_codes(2, 2)
        tensor([[0.0000, 1.0000],
                [0.8415, 0.5403]])
    """
    half = size // 2
    rates = torch.exp(-math.log(1e4) * torch.arange(half) / max(1, half - 1))
    angle = torch.arange(count)[:, None] * rates
    return F.pad(torch.cat([angle.sin(), angle.cos()], 1), (0, size - 2 * half))
