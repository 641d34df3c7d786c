"""Third axis: the optimizer; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import (
    DiagonalStep,
    FadingRidge,
    FixedRidge,
    Incremental,
    Optimizer,
    RankOne,
    RankOneStep,
    Retrospective,
    RidgeFit,
    Signals,
    State,
    Sum,
)
from .retrospective import Exact, OneStep

from .rank_one import NLMS, SGD, Hebbian, Implicit  # isort: skip - the order in the grid
from .chunked import ChunkMomentum, ChunkSGD, ChunkStart, MiniBatch  # isort: skip
from .mirror import MirrorDescent  # isort: skip

load(__name__, __path__)
