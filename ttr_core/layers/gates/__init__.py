"""Where a layer's signals come from; one file per way, each loaded by itself."""

from __future__ import annotations

from ...space.ingredient import load
from .base import GATES, Gates, MadePairs, SignalMap, Site, TurnedGates
from .dense import Dense

load(__name__, __path__)

__all__ = [
    "GATES",
    "Dense",
    "Gates",
    "MadePairs",
    "SignalMap",
    "Site",
    "TurnedGates",
]
