"""The whole grid: every triple of listed choices, with its verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from .describe import same_as
from .published import catalog
from .solvers import caution, resolve
from .spec import Spec, triples

VERDICTS = ("layer", "slow", "undefined")


@dataclass(frozen=True)
class Cell:
    """One triple.

    Args:
        spec: its canonical text.
        weights: text of its weights.
        function: text of its function class.
        optimizer: text of its optimizer.
        verdict: ``layer``, ``slow`` (defined, not for training) or ``undefined``.
        reason: why it is not a layer, or why it is slow; empty for a layer.
        solver: the fastest solver's name, or None.
        same_as: other cells that are the same layer.
        linear_in_v: whether its attention map is exact.
        published: published names at this point.
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

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self)


def cell(spec: Spec) -> Cell:
    """Returns the verdict on any spec, listed or not."""
    axes = (str(spec), str(spec.weights), str(spec.function), str(spec.optimizer))
    if reasons := spec.objections():
        return Cell(*axes, "undefined", " ".join(reasons), None, (), spec.linear_in_v, ())
    slow = caution(spec)
    return Cell(
        *axes,
        "slow" if slow else "layer",
        slow or "",
        resolve(spec).name,
        same_as(spec),
        spec.linear_in_v,
        catalog.of(spec),
    )


@lru_cache(maxsize=1)
def grid() -> tuple[Cell, ...]:
    """Returns every triple of the listed choices and the listed products.

    Example:
        >>> import ttr_core as ttr
        >>> {cell.verdict for cell in ttr.grid()} <= {"layer", "slow", "undefined"}
        True
    """
    return tuple(cell(spec) for spec in triples())
