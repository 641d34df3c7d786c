"""Clean pairs: whether a fresh layer tells the pairs that it has just seen from one another."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layers.layer import SequenceLayer
from ..solvers import prefill
from ..space.spec import Spec
from ..stream import Stream
from ..words.verdicts import Unread
from .students_t import student
from .tasks.base import generator

PAIRS, STREAMS = 8, 20
D_MODEL = 64
ALIKE = 0.05  # of what values add: what differs less from query to query is one answer
GROWN = 100.0  # times the size of the values: what is larger has grown out of bounds


@dataclass(frozen=True)
class ReadBack:
    """What a fresh layer in the standard frame answers about clean pairs.

    Args:
        share: of the pairs that are read back: the answer to a pair's key is nearest to its value.
        low: lower 95 % bound of that share over the streams.
        chance: the share that a guess reads back.
        size: of the answers beside that of the values.
        spread: how far what the values add to its answers differs from query to query, beside the
            size of what they add.

    Example:
        >>> found = reads_back("Gate | Linear | SGD")
        >>> found.share, found.reads, found.why
        (1.0, True, '')
    """

    share: float
    low: float
    chance: float
    size: float
    spread: float

    @property
    def reads(self) -> bool:
        """Whether it reads back more than twice what a guess does."""
        return self.low > 2 * self.chance

    @property
    def why(self) -> str:
        """What was seen where it does not, a name of `Unread`; empty where it does."""
        if self.reads:
            return ""
        if not self.size <= GROWN:
            return Unread.GROWN.name
        return Unread.ALIKE.name if self.spread < ALIKE else Unread.OTHER.name


@torch.no_grad()
def reads_back(spec: Spec | str, seed: int = 0) -> ReadBack:
    """Lets a fresh layer in the standard frame see pairs, and asks it for each by its own key.

    20 streams of 8 pairs, random unit keys and random values at d_model 64, one head. Signals,
    scales and tensors are those that the layer starts with.

    Args:
        spec: a layer that is not slow, or its text.
        seed: decides the layer and the pairs.

    Raises:
        NoFastSolver: the spec is too slow to be a layer.

    Example:
        >>> reads_back("Gate | Constant | SGD").why
        'ALIKE'
    """
    source = generator(seed, "init")
    layer = SequenceLayer(Spec.of(spec), "standard", D_MODEL, generator=source)
    stream, params = layer.regression(torch.randn(STREAMS, PAIRS, D_MODEL, generator=source))
    k = F.normalize(torch.randn(stream.k.shape, generator=source), dim=-1)
    v = torch.randn(stream.v.shape, generator=source)
    asking = k.transpose(1, 2).flatten(0, 1)[:, :, None]  # pair j of a stream asks in copy j
    asking = asking * stream.q.norm(dim=-1).mean()  # a frame may have made queries longer than keys

    def asked(values: Tensor) -> Tensor:
        seen = Stream(torch.zeros_like(k), k, values, stream.signals)
        _, kept = prefill(layer.spec, seen.tokens(0, PAIRS - 1), params)
        last = seen.tokens(PAIRS - 1, PAIRS).map(_each)
        state = {name: _each(z) for name, z in kept.items()}
        y, _ = prefill(layer.spec, replace(last, q=asking), params, state)
        return y[:, 0, -1].view(STREAMS, PAIRS, -1)

    answers = asked(v)
    added = answers - asked(-v)
    near = torch.cosine_similarity(answers[:, :, None], v[:, 0, None], -1)
    hit = (near.argmax(-1) == torch.arange(PAIRS)).double().mean(1)
    return ReadBack(
        share=float(hit.mean()),
        low=float(hit.mean() - student(0.95, STREAMS - 1) * hit.std() / math.sqrt(STREAMS)),
        chance=1 / PAIRS,
        size=_size(answers) / _size(v),
        spread=_size(added - added.mean(1, keepdim=True)) / max(_size(added), 1e-30),
    )


def _each(z: Tensor) -> Tensor:
    """Returns every stream once for each of its pairs."""
    return z.repeat_interleave(PAIRS, 0)


def _size(z: Tensor) -> float:
    return float(z.double().square().mean().sqrt())
