"""The catalog and the grid as rows of plain values, for terminals and scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..errors import RequestError
from ..layers.frame import FRAMES, Frame
from ..layers.published import Published, catalog
from ..solvers import resolve
from ..space.option import options_of
from ..space.spec import Spec
from .grid import Cell, grid
from .theory import REFLECTIONS, abilities

LAYER_COLUMNS = ("name", "spec", "frame", "solver", "evidence", "paper")
GRID_COLUMNS = ("spec", "verdict", "solver", "standing", "known_as", "reason")


def layer_rows() -> list[dict[str, Any]]:
    """Returns one row per published layer, in the order of the catalog.

    Example:
        >>> [row["name"] for row in layer_rows()][:2]
        ['softmax-attention', 'qknorm-attention']
    """
    return [_layer(entry) for entry in catalog.values()]


def grid_rows() -> list[dict[str, Any]]:
    """Returns one row per cell of the design space, with what theorems say that it can track.

    Example:
        >>> row = grid_rows()[0]
        >>> row["spec"], row["parity"]
        ('Uniform | Constant | Exact', 'cannot')
    """
    return [{**cell.to_dict(), **_tracked(cell)} for cell in grid()]


def _tracked(cell: Cell) -> dict[str, str | None]:
    """Returns `abilities` of a cell, of one that is no layer nothing."""
    if cell.verdict == "undefined":
        return dict.fromkeys(REFLECTIONS)
    return {**abilities(Spec.parse(cell.spec))}


def cited(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a layer's row with its paper as one line.

    Args:
        row: one of `layer_rows`.

    Example:
        >>> cited(layer_rows()[0])["paper"]
        'Vaswani et al., 2017: Attention Is All You Need'
    """
    paper = row["paper"]
    return {**row, "paper": f"{paper['authors']}, {paper['year']}: {paper['title']}"}


def _layer(entry: Published) -> dict[str, Any]:
    return {
        "name": entry.name,
        "spec": str(entry.spec),
        "paper": dataclasses.asdict(entry.paper),
        "frame": _frame(entry.frame),
        "deviation": entry.deviations,
        "evidence": entry.evidence,
        "parent": entry.parent or None,
        "state_size": entry.state_size,
        "packed_state_size": entry.packed_state_size,
        "solver": _solver(entry.spec),
    }


def _frame(frame: Frame) -> str:
    """Returns a frame's name, or what differs from a bare one."""
    named = [name for name, known in FRAMES.items() if known == frame]
    values = ((opt, getattr(frame, opt.name)) for opt in options_of(Frame))
    changed = [f"{opt.name}={_text(value)}" for opt, value in values if value != opt.default]
    return named[0] if named else ", ".join(changed) or "bare"


def _text(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else str(value)


def _solver(spec: Spec) -> str | None:
    try:
        return resolve(spec).name
    except RequestError:
        return None
