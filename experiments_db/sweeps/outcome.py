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
        unstored: where its result lies while the store has not got it; None if it has.
    """

    run: Planned
    run_id: str | None
    status: str
    message: str
    metrics: dict[str, Any]
    seconds: float
    unstored: str | None = None

    @property
    def well(self) -> bool:
        """Whether it needs nobody's attention: it did not fail, and its result is stored."""
        return self.status != "failed" and self.unstored is None
