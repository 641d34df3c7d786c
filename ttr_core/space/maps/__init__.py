"""Feature maps; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import FeatureMap, KernelMap
from .elementwise import Elu1, Identity, ReLU, SiLU

from .dpfp import DPFP  # isort: skip - the order of the choices

load(__name__, __path__)
