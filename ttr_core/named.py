"""Tensors by name, and names within names: ``weights.nu`` is ``nu`` of ``weights``."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Params = Mapping[str, Tensor]
"""Tensors by name, to be read: parameters."""
Signals = Mapping[str, Tensor]
"""A token's or a stream's signals by name, and where it is said an ingredient's own tensors."""
Carried = dict[str, Tensor]
"""Tensors by name that go from call to call, batch and head first."""


def part(tensors: Params, name: str) -> Carried:
    """Returns the tensors of one part under the names that it knows.

    Example:
        >>> part({"weights.nu": 1, "function.W1": 2}, "weights")
        {'nu': 1}
    """
    prefix = f"{name}."
    return {n[len(prefix) :]: z for n, z in tensors.items() if n.startswith(prefix)}


def whole(**parts: Params) -> Carried:
    """Returns the tensors of several parts, each under the name of its part.

    Example:
        >>> whole(weights={"nu": 1}, function={"W1": 2})
        {'weights.nu': 1, 'function.W1': 2}
    """
    return {f"{name}.{n}": z for name, own in parts.items() for n, z in own.items()}
