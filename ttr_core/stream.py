"""Stream and Signal: all that an ingredient may see of a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import RequestError

LINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "sigmoid": torch.sigmoid,
    "twice_sigmoid": lambda x: 2 * torch.sigmoid(x),  # a step of 2 is a reflection
    "log_sigmoid": F.logsigmoid,
    "softplus": F.softplus,
    "slow_log_sigmoid": lambda x: F.logsigmoid(x) / 16,  # starts where little is forgotten
}

RANGES: dict[str, tuple[float, float]] = {
    "identity": (-math.inf, math.inf),
    "sigmoid": (0.0, 1.0),
    "twice_sigmoid": (0.0, 2.0),
    "log_sigmoid": (-math.inf, 0.0),
    "softplus": (0.0, math.inf),
    "slow_log_sigmoid": (-math.inf, 0.0),
}
"""The least and the largest number that each link gives."""

WIDTHS = ("scalar", "key", "value", "feature")


@dataclass(frozen=True)
class Signal:
    """A per-token quantity that the frame must project from its input.

    Args:
        name: one of the fixed names (``decay``, ``step``, ``importance``, ...).
        width: numbers per token and head: ``scalar`` 1, ``key`` K, ``value`` V, ``feature`` F; or
            several of them in a row, ``2*key``.
        link: what turns a projection into a valid value; the stream carries values after it.
        init: the value (after the link) that a fresh layer starts from; None for a decay, whose
            start is a half-life that the frame chooses.
        low: smallest sensible constant, for knobs and tuning.
        high: largest sensible constant.
        help: one sentence.
        most: the largest valid number; None for what the link gives.
        further: of several units in a row, the value that all but the first start from; None for
            ``init``.
        by_curvature: of a step, whether ``init`` is that on a unit key: where the loss of a pair
            curves more, a fresh layer starts from as much less.

    Raises:
        RequestError: a width that is none of these.

    Example:
        >>> import ttr_core as ttr
        >>> (step,) = ttr.Spec.parse("Uniform | Linear | SGD").signals
        >>> step.name, step.width, step.link
        ('step', 'scalar', 'sigmoid')
    """

    name: str
    width: str
    link: str
    init: float | None
    low: float
    high: float
    help: str
    most: float | None = None
    further: float | None = None
    by_curvature: bool = False

    def __post_init__(self) -> None:
        if self.unit not in WIDTHS or self.count < 1:
            raise RequestError(
                f"Signal {self.name!r} has width {self.width!r}; write one of {', '.join(WIDTHS)}, "
                "or a number of them, such as '2*key'."
            )

    @property
    def unit(self) -> str:
        """What the signal is made of: one of the four widths."""
        return self.width.rpartition("*")[2]

    @property
    def count(self) -> int:
        """How many units stand in a row."""
        number = self.width.rpartition("*")[0] or "1"
        return int(number) if number.isdecimal() else 0

    @property
    def logarithmic(self) -> bool:
        """Whether it is the logarithm of a share, which is -inf where nothing is kept."""
        return self.link.endswith("log_sigmoid")

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest valid number."""
        least, most = RANGES[self.link]
        return least, most if self.most is None else self.most

    @property
    def idle(self) -> float:
        """A valid value that does no harm."""
        return 0.0 if self.logarithmic or self.link == "identity" else 0.5

    @property
    def free(self) -> bool:
        """Whether it holds keys or values of its own, as they were projected."""
        return self.link == "identity" and self.unit in ("key", "value")


@dataclass(frozen=True)
class Stream:
    """Queries, keys, values and signals of a batch of sequences, head by head.

    The queries may be fewer than the keys: they then belong to the *last* tokens, which is how
    decoding continues a sequence whose past keys are kept.

    Args:
        q: queries, [B, H, Tq, K] with Tq <= T.
        k: keys, [B, H, T, K].
        v: values, [B, H, T, V].
        signals: name -> [B, H, T, w], each after its link. ``decay`` is the *log* of the decay
            (<= 0). The head size of any of them may be 1 or a divisor of H (shared heads).

    Example:
        >>> import torch, ttr_core as ttr
        >>> q, k, v = torch.randn(3, 1, 2, 16, 4).unbind(0)
        >>> x = ttr.Stream(q, k, v, {"step": torch.full((1, 2, 16, 1), 0.5)})
        >>> x.heads, x.length, x.key_dim, x.value_dim
        (2, 16, 4, 4)
    """

    q: Tensor
    k: Tensor
    v: Tensor
    signals: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """T, the number of keys."""
        return self.k.shape[2]

    @property
    def key_dim(self) -> int:
        """K."""
        return self.k.shape[-1]

    @property
    def value_dim(self) -> int:
        """V."""
        return self.v.shape[-1]

    @property
    def heads(self) -> int:
        """H, the largest head size among the tensors."""
        return max(x.shape[1] for x in (self.q, self.k, self.v, *self.signals.values()))

    def map(self, f: Callable[[Tensor], Tensor]) -> Stream:
        """Applies ``f`` to every tensor."""
        return Stream(f(self.q), f(self.k), f(self.v), {n: f(s) for n, s in self.signals.items()})

    def expanded(self) -> Stream:
        """Repeats shared heads, so that every tensor has H of them."""
        heads = self.heads
        return self.map(lambda x: _repeat_heads(x, heads))

    def tokens(self, start: int, stop: int) -> Stream:
        """Returns the tokens from ``start`` up to ``stop`` (for as many queries as keys)."""
        return self.map(lambda x: x[:, :, start:stop])

    def then(self, new: Stream) -> Stream:
        """Appends ``new`` to this past; the queries are those of ``new`` alone."""
        join = {n: torch.cat([self.signals[n], s], 2) for n, s in new.signals.items()}
        k, v = torch.cat([self.k, new.k], 2), torch.cat([self.v, new.v], 2)
        return replace(new, k=k, v=v, signals=join)


def _repeat_heads(x: Tensor, heads: int) -> Tensor:
    if x.shape[1] == heads:
        return x
    if not x.shape[1] or heads % x.shape[1]:
        raise RequestError(
            f"A tensor has {x.shape[1]} heads beside {heads}; shared heads must divide {heads}."
        )
    return x.repeat_interleave(heads // x.shape[1], dim=1)
