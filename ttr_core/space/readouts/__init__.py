"""How the output is read from the fitted function; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import Readout, ReadsBefore
from .plain import Plain

from .normalized import Normalized  # isort: skip - the order of the choices
from .bonus import Bonus  # isort: skip

load(__name__, __path__)
