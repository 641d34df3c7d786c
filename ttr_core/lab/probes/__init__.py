"""Probes: what a cell can do, asked without training; one file each, loaded by itself.

A probe is a task like any other (`ttr run --task capacity`), whose every number has an interval.
`ttr atlas` asks all of them of every cell.
"""

from __future__ import annotations

from ...space.ingredient import load
from .base import PROBES, Probe
from .measured import Measured

load(__name__, __path__)

__all__ = ["PROBES", "Measured", "Probe"]
