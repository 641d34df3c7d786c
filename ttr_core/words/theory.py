"""What theorems say that a cell can track and cannot, from what its transition multiplies by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..named import part
from ..space.functions import ConstantModel, LinearModel
from ..space.ingredient import Paper
from ..space.optimizers import HistorySteps, Incremental, KeyStep, RankOneSteps, Sum
from ..space.spec import Spec
from ..space.weights import DotProductKernel, MemorylessWeights, SteadyWeights
from ..stream import RANGES, Signal
from .same import same_as

GRAZZI = Paper(
    "Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues",
    "Grazzi et al.",
    2024,
    "https://arxiv.org/abs/2411.12537",
)
SIEMS = Paper(
    "DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products",
    "Siems et al.",
    2025,
    "https://arxiv.org/abs/2502.10297",
)
HAHN = Paper(
    "Theoretical Limitations of Self-Attention in Neural Sequence Models",
    "Hahn",
    2020,
    "https://arxiv.org/abs/1906.06755",
)
SCHLAG = Paper(
    "Linear Transformers Are Secretly Fast Weight Programmers",
    "Schlag et al.",
    2021,
    "https://arxiv.org/abs/2102.11174",
)

REFLECTIONS = {"parity": 1, "Z3": 2, "S3": 2, "S5": 4}
"""Reflections that one token must be able to make in a layer: so many make up any element."""

LARGE = 1e6  # a step without a bound


@dataclass(frozen=True)
class TheoryCard:
    """A theorem: what it says, when, and who proved it.

    Args:
        name: what it is called here.
        claim: one sentence.
        conditions: under which it holds.
        sources: where it is proved.

    Example:
        >>> THEOREMS["parity"].sources[0].year
        2024
    """

    name: str
    claim: str
    conditions: str
    sources: tuple[Paper, ...]


THEOREMS: dict[str, TheoryCard] = {
    card.name: card
    for card in (
        TheoryCard(
            "capacity",
            "A memory that is linear in n features reads at most n keys back without their "
            "disturbing each other: no more are orthogonal, nor linearly independent.",
            "Sums need orthogonal features, exact fits independent ones; beyond n pairs errors "
            "grow step by step, and answers from few values stay right for longer.",
            (SCHLAG,),
        ),
        TheoryCard(
            "parity",
            "What multiplies its memory by real numbers of 0 and above alone cannot track parity; "
            "nor can two steps per token in [0, 1], whose product has no other eigenvalues.",
            "At finite precision, at every length, with any fixed number of layers. A length that "
            "was trained may be learned by heart.",
            (GRAZZI,),
        ),
        TheoryCard(
            "reflections",
            "A step of 2 on a unit key is a reflection: one per token tracks parity, two Z_n with "
            "n > 2 and S3, whose turns need eigenvalues that are not real, n - 1 of them S_n.",
            "In one layer; the cell can, which does not say that training finds it. Several layers "
            "track more than one does.",
            (GRAZZI, SIEMS),
        ),
        TheoryCard(
            "softmax",
            "In an average over all of the past a single token counts for less and less, so that "
            "the answer on parity comes to chance as sequences grow.",
            "A fixed number of layers, scores that are bounded on unit keys, lengths without "
            "bound; at the lengths of a training it says nothing.",
            (HAHN,),
        ),
    )
}
"""The theorems, by name."""


@dataclass(frozen=True)
class Transition:
    """What one token multiplies the memory by: its eigenvalues lie between, and are real or not.

    Args:
        low: the least there can be.
        high: the largest.
        real: whether all are real numbers.
        reflections: how many of the token's steps reach 2.

    Example:
        >>> import ttr_core as ttr
        >>> transition(ttr.Spec.parse("Gate | Linear | SGD(link=twice_sigmoid)"))
        Transition(low=-1.0, high=1.0, real=True, reflections=1)
    """

    low: float
    high: float
    real: bool
    reflections: int


def transition(spec: Spec) -> Transition | None:
    r"""Returns the range of $\partial S_t / \partial S_{t-1}$, from links; None where not derived.

    Sums and fits fade by shares of 0 to 1. A step of size g along a key of norm 1 multiplies by
    1 - g in its direction; g follows from the ends of the signals' ranges. What is derived of one
    cell holds of all that give the same outputs.

    Args:
        spec: any spec.

    Example:
        >>> import ttr_core as ttr
        >>> transition(ttr.Spec.parse("Uniform | Linear | SGD")).low
        0.0
    """
    every = map(_derived, _texts(spec))
    return next((found for found in every if found is not None), None)


def _texts(spec: Spec) -> Iterator[Spec]:
    """Yields a spec and the cells that give the same outputs."""
    yield spec
    if not spec.objections():
        yield from map(Spec.parse, same_as(spec))


def _averages(spec: Spec) -> bool:
    """Whether a layer is an average by how like the query each key is."""
    return isinstance(spec.weights, DotProductKernel) and isinstance(spec.function, ConstantModel)


def _derived(spec: Spec) -> Transition | None:
    """Returns what follows from the ingredients of a spec as it is written."""
    weights, optimizer = spec.weights, spec.optimizer
    if not isinstance(weights, MemorylessWeights) or not isinstance(spec.function, LinearModel):
        return None
    if not isinstance(optimizer, Incremental) or optimizer.discounts or isinstance(optimizer, Sum):
        return Transition(0.0, 1.0, True, 0)
    if not isinstance(optimizer, RankOneSteps) or not _of_norm_one(spec.function, spec):
        return None
    if isinstance(optimizer, KeyStep):
        gains = _gains(spec, optimizer)
        found = None if gains is None else _one_step(max(gains), weights.fades, optimizer)
        return None if found is not None and found.low < 0 and _steady(weights) else found
    bounds = [RANGES[s.link][1] for s in optimizer.signals if s.name == "step"]
    if optimizer.n < 2 or not bounds or _weighted(spec) or isinstance(optimizer, HistorySteps):
        return None
    if bounds[0] <= 1 and optimizer.n == 2:
        return Transition(0.0, 1.0, True, 0)
    if isinstance(spec.function, ConstantModel) or _steady(weights):
        return None
    return Transition(-1.0, 1.0, False, optimizer.n if bounds[0] >= 2 else 0)


def abilities(spec: Spec) -> dict[str, str]:
    """Returns what theorems say of each of `REFLECTIONS` for one layer: can, cannot or open.

    Args:
        spec: any spec; *open* is where no theorem here applies.

    Example:
        >>> import ttr_core as ttr
        >>> abilities(ttr.Spec.parse("Uniform | Linear | SGD(link=twice_sigmoid)"))
        {'parity': 'can', 'Z3': 'cannot', 'S3': 'cannot', 'S5': 'cannot'}
    """
    found = transition(spec)
    return {group: _verdict(found, needed) for group, needed in REFLECTIONS.items()}


def cards_of(spec: Spec) -> tuple[TheoryCard, ...]:
    """Returns the theorems that say something of a cell.

    Args:
        spec: any spec.

    Example:
        >>> import ttr_core as ttr
        >>> [card.name for card in cards_of(ttr.Spec.parse("ExpKernel | Constant | Exact"))]
        ['softmax']
    """
    found, names = transition(spec), []
    if found is not None:
        names = ["capacity", "parity" if found.real and found.low >= 0 else "reflections"]
    elif any(map(_averages, _texts(spec))):
        names = ["softmax"]
    return tuple(THEOREMS[name] for name in names)


def _verdict(found: Transition | None, needed: int) -> str:
    if found is None:
        return "open"
    if found.reflections >= needed:
        return "can"
    never = found.real and (found.low >= 0 or needed > 1)
    return "cannot" if never else "open"


def _one_step(gain: float, fades: bool, optimizer: KeyStep) -> Transition:
    """Returns the range of a step that replaces a share of up to ``gain`` along its key."""
    low = 1 - gain
    if fades:
        low = min(0.0, -gain if optimizer.reads_undecayed else low)
    return Transition(low, 1.0, True, int(gain >= 2))


def _steady(weights: MemorylessWeights) -> bool:
    """Whether a decay that no token lifts makes every turn smaller."""
    parts = getattr(weights, "parts", (weights,))
    return any(isinstance(part, SteadyWeights) for part in parts)


def _weighted(spec: Spec) -> list[Signal]:
    """Returns the signals that weigh a pair as it is written."""
    return [s for s in spec.weights.signals if s.name.startswith("importance")]


def _gains(spec: Spec, optimizer: KeyStep) -> list[float] | None:
    """Returns the share that a step replaces on a key of norm 1, at the ends of its signals."""
    weighted, own = _weighted(spec), optimizer.signals
    every = [*own, *weighted]
    if any(math.isinf(RANGES[s.link][0]) for s in every):
        return None
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    found = []
    for ends in itertools.product(*(RANGES[s.link] for s in every)):
        at = [min(end, LARGE) * one for end in ends]
        importance = math.prod(at[len(own) :], start=one) if weighted else None
        signals = dict(zip([s.name for s in own], at, strict=False))
        gain = optimizer.gain(one, importance, signals)
        found.append(1.0 if gain is None else float(gain))
    return found


def _of_norm_one(function: LinearModel, spec: Spec) -> bool:
    """Whether keys of norm 1 have features of norm 1."""
    source = torch.Generator().manual_seed(0)
    keys = torch.nn.functional.normalize(torch.randn(1, 1, 16, 8, generator=source), dim=-1)
    squares = function.curvature(keys, part(spec.parameters(8, 8, 1), "function"))
    return squares is not None and bool(((squares - 1).abs() < 1e-4).all())
