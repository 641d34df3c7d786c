"""Vital signs: what a fresh layer does before anything is learned.

Whether a training can start is seen before it starts: outputs of a sensible size, gradients that
neither vanish nor grow with the length, a past that is kept until it is asked for, and a memory
that answers a pair just written.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import unknown
from ..layers.frame import FRAMES, Frame
from ..layers.layer import SequenceLayer
from ..layers.model import regression
from ..layers.published import catalog
from ..limits import Shape
from ..solvers import prefill
from ..space.spec import Spec
from ..stream import Stream
from .memory import half_lives, steps
from .tasks.base import generator

LENGTHS = (64, 1024, 4096)
D_MODEL = 64
PAIRS = 16  # written before one of them is asked for
PART = 0.01  # of the size of the outputs: where float32 and float64 part
MOST = 2e10  # operations of one forward pass; a longer sequence is not measured


@dataclass(frozen=True)
class VitalSigns:
    """What a fresh layer does, on inputs whose channels have unit variance.

    Args:
        layer: its name in the catalog, or the text of its spec.
        frame: what surrounds it.
        scale: root mean square of its outputs over 64 tokens.
        match: cosine between the right value and what the memory answers when one of 16 pairs just
            written is asked for by its own key, mean over the pairs.
        half_life_low: tokens after which the fastest of its decays has left half.
        half_life_high: the same of the slowest; infinite where nothing fades, none where there are
            no decays.
        step_low: smallest step that a token takes at first, as a share of the optimizer's rate.
        step_high: largest.
        input_gradient: T -> norm of the gradient to the inputs of a random unit mix of all outputs
            of T tokens, which is 1 for a layer that changes nothing.
        parameter_gradient: T -> the same to all parameters.
        parts: the token at which outputs in float32 and float64 differ by 1 % of their size; none
            where they do not within ``longest`` tokens.
        longest: tokens that it was measured over; less than asked for where it is slow.

    Example:
        >>> signs = vital_signs("deltanet", "standard", lengths=(16,))
        >>> signs.longest, signs.step_high > 0.3
        (16, True)
    """

    layer: str
    frame: str
    scale: float
    match: float
    half_life_low: float | None
    half_life_high: float | None
    step_low: float | None
    step_high: float | None
    input_gradient: dict[int, float]
    parameter_gradient: dict[int, float]
    parts: int | None
    longest: int

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, those of each length in a column of their own."""
        row = asdict(self)
        for name in ("input_gradient", "parameter_gradient"):
            row |= {f"{name}_{length}": value for length, value in row.pop(name).items()}
        return row


def vital_signs(
    layer: str, frame: str = "published", lengths: Sequence[int] = LENGTHS, seed: int = 0
) -> VitalSigns:
    """Measures a fresh layer of one head at d_model 64.

    Args:
        layer: a name of the catalog, or the text of a spec.
        frame: what surrounds it.
        lengths: tokens over which gradients are taken, in rising order; those at which a forward
            pass would cost more than 2e10 operations are left out.
        seed: decides weights and inputs.

    Raises:
        UnknownName: no layer or frame has this name.
        NoFastSolver: the spec is too slow to be a layer.

    Example:
        >>> signs = vital_signs("Decay(gamma=0.5) | Linear | Hebbian", "paper", (16,))
        >>> signs.half_life_low, signs.parts
        (1.0, None)
    """
    source = generator(seed, "init")
    spec, own = _found(layer, frame)
    fresh = SequenceLayer(spec, own, D_MODEL, generator=source)
    within = [length for length in sorted(lengths) if _work(fresh, length) <= MOST]
    x = torch.randn(2, max(within), D_MODEL, generator=source)
    with torch.no_grad():
        y, wide = fresh(x), copy.deepcopy(fresh).double()(x.double())
        stream, params = fresh.regression(x[:, : within[0]])
        fades, sizes = half_lives(fresh.spec, stream, params), steps(stream)
    gradients = {length: _gradients(fresh, x[:1, :length], source) for length in within}
    return VitalSigns(
        layer=layer,
        frame=frame,
        scale=float(y[:, : within[0]].square().mean().sqrt()),
        match=_match(fresh, source),
        half_life_low=None if fades is None else float(fades.min()),
        half_life_high=None if fades is None else float(fades.max()),
        step_low=None if sizes is None else float(sizes.min()),
        step_high=None if sizes is None else float(sizes.max()),
        input_gradient={length: one[0] for length, one in gradients.items()},
        parameter_gradient={length: one[1] for length, one in gradients.items()},
        parts=_parting(y.double(), wide),
        longest=within[-1],
    )


def all_vital_signs(
    layers: Sequence[str] = (),
    frames: Sequence[str] = (),
    lengths: Sequence[int] = LENGTHS,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Iterator[VitalSigns]:
    """Yields the vital signs of several layers in several frames.

    Args:
        layers: names or spec texts; none for the whole catalog.
        frames: none for all of them.
        lengths: as for `vital_signs`.
        progress: called with (done, total, what) before each.

    Example:
        >>> [signs.frame for signs in all_vital_signs(("gla",), lengths=(16,))]
        ['standard', 'paper', 'published']
    """
    asked = [(layer, frame) for layer in layers or catalog for frame in frames or FRAMES]
    for layer, frame in asked:  # what is wrong is said before anything is measured
        _found(layer, frame)
    for done, (layer, frame) in enumerate(asked):
        progress(done, len(asked), f"{layer} in the {frame} frame")
        yield vital_signs(layer, frame, lengths)
    progress(len(asked), len(asked), "done")


def _found(layer: str, frame: str) -> tuple[Spec, Frame]:
    if frame not in FRAMES:
        raise unknown("frame", frame, FRAMES)
    return regression(layer, frame)


def _work(layer: SequenceLayer, length: int) -> float:
    """Returns the operations of a forward pass over one sequence."""
    sizes, spec = layer.sizes, layer.spec
    wide = spec.feature_size(sizes.key_dim)
    shape = Shape(1, sizes.heads, length, sizes.key_dim, sizes.value_dim, wide)
    return layer.solver.estimate(spec, shape).flops


def _gradients(layer: SequenceLayer, x: Tensor, source: torch.Generator) -> tuple[float, float]:
    """Returns the norms of the gradients of a unit mix of the outputs: to inputs, to parameters."""
    x = x.clone().requires_grad_()
    y = layer(x)
    mix = torch.randn(y.shape, generator=source) / math.sqrt(y.numel())
    learned = [p for p in layer.parameters() if p.requires_grad]
    to_x, *to_p = torch.autograd.grad((y * mix).sum(), (x, *learned), materialize_grads=True)
    return float(to_x.norm()), float(torch.stack([g.norm() for g in to_p]).norm())


@torch.no_grad()
def _match(layer: SequenceLayer, source: torch.Generator) -> float:
    """Returns how near the answer to a key just written is to its value, mean over the pairs."""
    x = torch.randn(1, PAIRS, D_MODEL, generator=source).expand(PAIRS, -1, -1)
    stream, params = layer.regression(x)
    heads = range(PAIRS)  # in sequence j the last query is the key of pair j, as long as a query
    q, k = stream.q.clone(), stream.k
    keys = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    asked = torch.stack([keys[j, :, j] for j in heads])
    size = q[:, :, -1].norm(dim=-1, keepdim=True) / asked.norm(dim=-1, keepdim=True)
    q[:, :, -1] = asked * size
    y, _ = prefill(layer.spec, Stream(q, k, stream.v, stream.signals), params)
    values = stream.v.repeat_interleave(y.shape[1] // stream.v.shape[1], 1)
    right = torch.stack([values[j, :, j] for j in heads])
    cosine = torch.cosine_similarity(y[:, :, -1].flatten(1), right.flatten(1), -1)
    return float(cosine.mean())


def _parting(narrow: Tensor, wide: Tensor) -> int | None:
    """Returns the first token, from 1, at which two outputs differ by more than `PART`."""
    apart = (narrow - wide).norm(dim=-1) / wide.square().sum(-1).mean(-1, keepdim=True).sqrt()
    beyond = ~(apart <= PART).all(0)  # what is no number is apart, too
    return int(beyond.nonzero()[0]) + 1 if beyond.any() else None
