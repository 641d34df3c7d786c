"""How the output is read from the fitted function; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import Direct, Divides, Mixes, Readout, ReadsBefore
from .bonus import Bonus
from .normalized import Normalized
from .plain import Plain

load(__name__, __path__, first=("plain", "normalized", "bonus"))

__all__ = [
    "Bonus",
    "Direct",
    "Divides",
    "Mixes",
    "Normalized",
    "Plain",
    "Readout",
    "ReadsBefore",
]
