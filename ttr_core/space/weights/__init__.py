"""First axis: the regression weights; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import (
    CHANNEL_DECAY,
    DECAY,
    IMPORTANCE,
    MemorylessWeights,
    PositiveWeights,
    Recency,
    Weights,
    constant_signal,
    future,
)
from .memoryless import ChannelGate, Decay, Gate, Importance, Uniform

from .kernels import ExpKernel  # isort: skip - the order of the choices in the grid
from .cosine import Cosine
from .products import LISTED_PRODUCTS, MemorylessProduct, Product, product

load(__name__, __path__)
