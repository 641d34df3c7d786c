"""The whole grid: every triple of listed choices, with its verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from ..layers.published import Elsewhere, catalog
from ..solvers import resolve
from ..space.spec import Spec, triples
from .names import standing
from .neighbors import worded
from .same import same_as
from .verdicts import verdict


@dataclass(frozen=True)
class Cell:
    """One triple.

    Args:
        spec: its canonical text.
        weights: text of its weights.
        function: text of its function class.
        optimizer: text of its optimizer.
        verdict: ``layer``, which reads back pairs; ``unread``, which runs and does not; ``slow``,
            defined and not for training; or ``undefined``.
        reason: why it is not a layer; empty for one.
        solver: the fastest solver's name, or None.
        same_as: other cells that are the same layer.
        linear_in_v: whether its attention map is exact.
        published: published names at this point.
        standing: how it stands in the literature: ``published``, ``equivalent to a published
            one``, ``published with other numbers``, ``published elsewhere`` or ``not in this
            catalog as of`` a date; empty where it is undefined.
        known_as: what it is called in the standard frame, by these or by layers that equal it.
        elsewhere: published layers with this cell that have no entry, each with its paper.

    Example:
        >>> import ttr_core as ttr
        >>> found = ttr.cell("Gate | Linear | SGD")
        >>> found.verdict, found.solver, found.published
        ('layer', 'chunked_delta', ('gated-deltanet',))
        >>> ttr.cell("ChannelGate | Linear | SGD").known_as
        ('kda',)
    """

    spec: str
    weights: str
    function: str
    optimizer: str
    verdict: str
    reason: str
    solver: str | None
    same_as: tuple[str, ...]
    linear_in_v: bool
    published: tuple[str, ...]
    standing: str = ""
    known_as: tuple[str, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self)


def place(spec: Spec) -> tuple[str, str, str]:
    """Returns where a spec lies on the map: its ingredients without their numbers.

    Words and feature maps stay, for they choose another ingredient; a ridge or a scale does not.

    Args:
        spec: any spec.

    Example:
        >>> import ttr_core as ttr
        >>> place(ttr.Spec.parse("Gate * ExpKernel(scale=8) | Linear(map=elu1) | Exact(ridge=3)"))
        ('Gate * ExpKernel', 'Linear(map=elu1)', 'Exact')
    """
    return worded(spec.weights), worded(spec.function), worded(spec.optimizer)


def cell(spec: Spec | str) -> Cell:
    """Returns the verdict on any spec or its text, listed or not.

    Args:
        spec: any spec, or its text.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.cell("ExpKernel | Linear | SGD").verdict
        'undefined'
        >>> ttr.cell("Decay | Linear | Hebbian").same_as
        ('Decay | Linear | OneStep',)
    """
    spec = Spec.of(spec)
    axes = (str(spec), str(spec.weights), str(spec.function), str(spec.optimizer))
    said, reason = verdict(spec)
    if said == "undefined":
        return Cell(*axes, said, reason, None, (), spec.linear_in_v, ())
    alike = same_as(spec)
    known = standing(spec, alike)
    return Cell(
        *axes,
        said,
        reason,
        resolve(spec).name,
        alike,
        spec.linear_in_v,
        catalog.of(spec),
        known.said,
        known.names,
        known.elsewhere,
    )


@lru_cache(maxsize=1)
def grid() -> tuple[Cell, ...]:
    """Returns every triple of the listed choices and the listed products.

    Example:
        >>> import ttr_core as ttr
        >>> {cell.verdict for cell in ttr.grid()} <= {"layer", "unread", "slow", "undefined"}
        True
    """
    return tuple(cell(spec) for spec in triples())
