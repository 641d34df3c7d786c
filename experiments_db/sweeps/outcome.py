"""How a run of a sweep ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .expansion import Planned

OUTCOMES = ("finished", "diverged", "failed", "cancelled")


@dataclass(frozen=True)
class Ended:
    """A run of the sweep that ended here.

    Args:
        run: which one.
        run_id: its name in the store, or None if it has no row.
        status: how it ended.
        message: what there is to say, or "".
        metrics: what came out.
        seconds: how long it took.
    """

    run: Planned
    run_id: str | None
    status: str
    message: str
    metrics: dict[str, Any]
    seconds: float
