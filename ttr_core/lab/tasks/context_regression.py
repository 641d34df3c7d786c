"""In-context regression, trained: predict the next value of a linear function from its examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import RequestError
from ...layers.adapter import Adapter
from ...layers.init import linear
from ...layers.model import SequenceModel
from ...space.option import option
from ..metric import Metric
from .base import Batch, TrainedTask

UNEXPLAINED = Metric(
    "unexplained",
    "lower",
    0.0,
    1.0,
    "",
    "Squared error of the answers over that of answering 0 always; 0 is exact.",
)

LAYOUTS = ("interleaved", "stacked")


@dataclass(frozen=True)
class ContextRegression(TrainedTask):
    r"""In-context regression: predict the value of a linear function at the next point.

    Every sequence has a function of its own, $y = w \cdot x + \text{noise}$, with x of standard
    normal numbers and w of normal ones with variance 1 / dim, so that y has variance 1 without
    noise. After every point the value there is asked, before it is shown. Two tokens make an
    example:

    - ``interleaved``: (x, 0), then (0, y), as published;
    - ``stacked``: (x, 0), then (x, y): no layer has to bring x and y together first.

    Least squares knows everything after ``dim`` examples where there is no noise.

    Example:
        ``seq_len=6, layout=interleaved``:

        | token | x1 | y1 | x2 | y2 | x3 | y3 |
        |-------|----|----|----|----|----|----|
        | label | y1 |    | y2 |    | y3 |    |

    Reference: What Can Transformers Learn In-Context? A Case Study of Simple Function Classes
    (Garg et al., 2022) https://arxiv.org/abs/2208.01066
    Deviation: no curriculum over dimensions and lengths; the error is over the variance of y, as
    theirs over ``dim``.

    Example:
        >>> ContextRegression(dim=20, seq_len=82).examples
        41
    """

    name: ClassVar[str] = "in-context-regression"
    metrics: ClassVar[tuple[Metric, ...]] = (UNEXPLAINED,)

    dim: int = option(20, "Size of a point.", low=1, high=1024)
    seq_len: int = option(82, "Length of a sequence in tokens, two per example.", low=2, high=65536)
    noise: float = option(0.0, "Standard deviation of the noise of y.", low=0.0, high=10.0)
    layout: str = option("interleaved", "How an example is laid out.", choices=LAYOUTS)

    @property
    def examples(self) -> int:
        """Points in a sequence."""
        return self.seq_len // 2

    @property
    def vocab_size(self) -> int:
        """Numbers of an answer."""
        return 1

    def check(self) -> None:
        """Checks that examples are whole."""
        if self.seq_len % 2:
            raise RequestError(
                f"in-context-regression.seq_len is {self.seq_len}; an example takes two tokens: "
                f"use {self.seq_len + 1}."
            )

    def adapter(self, d_model: int, generator: torch.Generator | None = None) -> Adapter:
        """Returns what reads vectors."""
        return VectorInlet(self.dim + 1, d_model, generator)

    def sample(self, batch_size: int, generator: torch.Generator, device: str = "cpu") -> Batch:
        """Draws a batch; see the class for the layout."""

        def normal(*shape: int) -> Tensor:
            return torch.randn(batch_size, *shape, generator=generator, device=device)

        points, weights = normal(self.examples, self.dim), normal(self.dim, 1) / self.dim**0.5
        values = points @ weights + self.noise * normal(self.examples, 1)
        asked = torch.cat([points, torch.zeros_like(values)], 2)
        again = points if self.layout == "stacked" else torch.zeros_like(points)
        tokens = torch.stack([asked, torch.cat([again, values], 2)], 2).flatten(1, 2)
        seen = torch.arange(self.examples, device=device).expand(batch_size, -1)
        return Batch(tokens, 2 * seen, values[..., 0], {"seen": seen})

    def loss(self, model: SequenceModel, batch: Batch) -> Tensor:
        return self._errors(model, batch).mean()

    def measure(self, model: SequenceModel, batch: Batch) -> dict[str, Tensor]:
        return {UNEXPLAINED.name: self._errors(model, batch) / (1 + self.noise**2)}

    def variants(self) -> tuple[TrainedTask, ...]:
        """Returns twice as many examples, and noise of a half."""
        longer = replace(self, seq_len=min(2 * self.seq_len, 65536))
        return (longer, replace(self, noise=self.noise + 0.5)) if self.noise <= 9 else (longer,)

    def _errors(self, model: SequenceModel, batch: Batch) -> Tensor:
        answers = model(batch.tokens, batch.positions)[..., 0]
        errors: Tensor = (answers - batch.labels).square()
        return errors


class VectorInlet(Adapter):
    """Maps the vectors of a sequence to those of the model; outputs are taken as they are.

    Args:
        size: numbers at each place.
        d_model: D.
        generator: source of every fresh parameter.

    Example:
        >>> VectorInlet(3, 8).read(torch.zeros(2, 5, 3), torch.zeros(1, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, size: int, d_model: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.inlet = linear(size, d_model, generator)

    def read(self, given: Tensor, embedding: Tensor) -> Tensor:
        x: Tensor = self.inlet(given)
        return x

    def ready(self, hidden: Tensor) -> Tensor:
        return hidden
