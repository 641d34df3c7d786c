"""The loss of a regression; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import CurvedLoss, Loss, Signals
from .squared import Squared

from .huber import Huber  # isort: skip - the order of the choices
from .power import Lp  # isort: skip
from .dot_product import DotProduct  # isort: skip

load(__name__, __path__)
