"""The loss of a regression; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import Loss, QuadraticLoss
from .dot_product import DotProduct
from .huber import Huber
from .power import Lp
from .squared import Squared

load(__name__, __path__, first=("squared", "huber", "power", "dot_product"))

__all__ = [
    "DotProduct",
    "Huber",
    "Loss",
    "Lp",
    "QuadraticLoss",
    "Squared",
]
