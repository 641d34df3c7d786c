"""First axis: the regression weights; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import (
    CHANNEL_DECAY,
    DECAY,
    IMPORTANCE,
    DotProductKernel,
    MemorylessWeights,
    PositiveWeights,
    Recency,
    RotatingWeights,
    RunningWeights,
    SteadyWeights,
    Weights,
    constant_signal,
    future,
)
from .cosine import Cosine
from .fenwick import SpannedWeights
from .kernels import ExpKernel
from .memoryless import ChannelGate, Decay, Gate, Importance, Uniform
from .products import LISTED_PRODUCTS, MemorylessProduct, Product, product
from .pseudo import CorrectedWeights
from .two_taps import TwiceWritten

load(__name__, __path__, first=("memoryless", "kernels", "cosine"))

__all__ = [
    "CHANNEL_DECAY",
    "DECAY",
    "IMPORTANCE",
    "LISTED_PRODUCTS",
    "ChannelGate",
    "CorrectedWeights",
    "Cosine",
    "Decay",
    "DotProductKernel",
    "ExpKernel",
    "Gate",
    "Importance",
    "MemorylessProduct",
    "MemorylessWeights",
    "PositiveWeights",
    "Product",
    "Recency",
    "RotatingWeights",
    "RunningWeights",
    "SpannedWeights",
    "SteadyWeights",
    "TwiceWritten",
    "Uniform",
    "Weights",
    "constant_signal",
    "future",
    "product",
]
