"""Untrained recall: random embeddings and bigram keys, no training at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...solvers import solve
from ...space.option import option
from ...space.spec import Spec
from ..metric import Metric
from .base import Batch, EvaluatedTask, Evaluation, generator, quiet
from .constants import Constants, knobs, tuned
from .labeled import ACCURACY
from .mqar import MQAR, VARIANTS

TUNING_SEQUENCES = 4


@dataclass(frozen=True)
class Recall(EvaluatedTask):
    r"""Multi-query associative recall without training: what the memory alone can hold.

    Tokens are random unit vectors $x_t$; the memory is given the bigrams that a trained layer
    learns to build, $k_t = x_{t-1}$, $v_t = x_t$, and is asked $q_t = x_t$. The answer is the
    value token whose embedding has the largest product with the output.

    Example:
        ``pairs=2, seq_len=8``, the layout of MQAR's ``repeat``; u are keys, asked where marked

        | position | 0  | 1  | 2  | 3  | 4  | 5  | 6  | 7  |
        |----------|----|----|----|----|----|----|----|----|
        | token    | u1 | v1 | u2 | v2 | u2 | v2 | u1 | v1 |
        | written  |    | u1 to v1 | | u2 to v2 | | u2 to v2 | | u1 to v1 |
        | answer   |    |    |    |    | v2 |    | v1 |    |

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    Deviation: the paper trains one layer on this task; here nothing is trained, so keys are not
    orthogonal and every layer is asked for more than it is in the paper.

    Example:
        >>> Recall(pairs=4, dim=16).summary()
        'Multi-query associative recall without training: what the memory alone can hold.'
    """

    name: ClassVar[str] = "recall"
    metrics: ClassVar[tuple[Metric, ...]] = (
        ACCURACY,
        Metric("error", "lower", 0.0, help="Squared distance to the answer's embedding."),
    )

    pairs: int = option(128, "Keys bound in each sequence, each asked once.", low=1, high=4096)
    seq_len: int = option(512, "Length of a sequence in tokens (even).", low=4, high=16384)
    dim: int = option(64, "Size of the embeddings.", low=2, high=1024)
    vocab_size: int = option(8192, "Tokens: half keys, half values.", low=4, high=65536)
    variant: str = option("repeat", "How pairs and questions are laid out.", choices=VARIANTS)
    query_noise: float = option(
        0.0, "Length of the noise added to each unit query.", low=0.0, high=10.0
    )
    values_as_keys: bool = option(
        False, "Whether what follows a value is written too, under the value as its key."
    )
    sequences: int = option(8, "Sequences that are averaged.", low=1, high=1024)
    constants: str = option(
        "tuned", "Where signals, temperature and ridge come from.", choices=("tuned", "fresh")
    )

    def check(self) -> None:
        """Checks that pairs, length and vocabulary fit each other."""
        self._layout()

    def _layout(self) -> MQAR:
        return MQAR(
            pairs=self.pairs, seq_len=self.seq_len, vocab_size=self.vocab_size, variant=self.variant
        )

    def evaluate(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
    ) -> Evaluation:
        """Evaluates a layer: the share of right answers, also by gap and by times shown.

        Returns:
            Metrics ``accuracy``, ``accuracy_se`` and ``error`` (squared distance to the answer's
            embedding); curve ``accuracy`` by order of the questions; tables ``constants`` and one
            for each group of the layout.
        """
        spec.check()
        constants = self.constants_of(spec, seed, device, progress)
        batch, right, error = self._asked(constants, seed, "test", self.sequences, device)
        hits = right.float()
        each = hits.mean(1)
        spread = each.std(0).item() / math.sqrt(len(each)) if len(each) > 1 else 0.0
        metrics = {"accuracy": hits.mean().item(), "accuracy_se": spread, "error": error}
        tables: dict[str, list[dict[str, Any]]] = {
            name: _by_value(name, hits, group) for name, group in batch.groups.items()
        }
        tables["constants"] = [
            {"axis": knob.axis, "name": knob.name, "value": knob.value(constants)}
            for knob in knobs(spec)
        ]
        ordered = hits.gather(1, batch.positions.argsort(1))
        return Evaluation(metrics, {"accuracy": ordered.mean(0).tolist()}, tables)

    def constants_of(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
    ) -> Constants:
        """Returns the spec with its constants, tuned on held-out sequences or a fresh layer's."""
        if self.constants == "fresh":
            return Constants.fresh(spec)

        def loss(constants: Constants) -> float:
            _, right, error = self._asked(constants, seed, "validation", TUNING_SEQUENCES, device)
            wrong = 1 - right.float().mean().item()
            return wrong + 1e-3 * error / (1 + error)  # the distance breaks ties

        return tuned(spec, loss, progress)

    @torch.no_grad()
    def _asked(
        self, constants: Constants, seed: int, split: str, sequences: int, device: str
    ) -> tuple[Batch, Tensor, float]:
        """Returns the questions, which answers are right [B, P], and the mean squared error."""
        source = generator(seed, split)
        batch = self._layout().sample(sequences, source)
        table = F.normalize(torch.randn(self.vocab_size, self.dim, generator=source), dim=-1)
        q, k, v = self._written(batch.tokens, table, source)
        y = solve(constants.spec, constants.stream(*(x[:, None].to(device) for x in (q, k, v))))
        where = batch.positions[..., None].expand(-1, -1, self.dim)
        read = y[:, 0].to("cpu", torch.float32).gather(1, where)
        half = self.vocab_size // 2
        right = (read @ table[half:].mT).argmax(-1) + half == batch.labels
        return batch, right, (read - table[batch.labels]).square().sum(-1).mean().item()

    def _written(
        self, tokens: Tensor, table: Tensor, source: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns queries, keys (the token before; zero for a value) and values [B, T, D]."""
        x = table[tokens]
        noise = torch.randn(x.shape, generator=source) / math.sqrt(self.dim)
        q = F.normalize(x + self.query_noise * noise, dim=-1) if self.query_noise else x
        before = F.pad(x, (0, 0, 1, 0))[:, :-1]
        if self.values_as_keys:
            return q, before, x
        is_value = F.pad(tokens >= self.vocab_size // 2, (1, 0))[:, :-1, None]
        return q, before.masked_fill(is_value, 0.0), x


def _by_value(name: str, hits: Tensor, group: Tensor) -> list[dict[str, Any]]:
    """Rows of accuracy for each value of a group."""
    return [
        {name: value, "accuracy": hits[group == value].mean().item()}
        for value in group.unique().tolist()
    ]
