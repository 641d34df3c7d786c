"""Feature maps; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import FeatureMap, KernelMap
from .dpfp import DPFP
from .elementwise import Elu1, Identity, ReLU, SiLU

load(__name__, __path__, first=("elementwise", "dpfp", "polynomial"))

__all__ = [
    "DPFP",
    "Elu1",
    "FeatureMap",
    "Identity",
    "KernelMap",
    "ReLU",
    "SiLU",
]
