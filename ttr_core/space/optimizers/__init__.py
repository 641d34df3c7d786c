"""Third axis: the optimizer; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import Incremental, Optimizer, Retrospective
from .chunk_muon import OrthogonalSteps
from .chunked import ChunkMomentum, ChunkSGD, ChunkStart, MiniBatch, Mirrored, SummedSteps
from .iterated import Iterations
from .large_chunk import EndSteps
from .mirror import MirrorDescent
from .omega import Windowed
from .rank_one import NLMS, SGD, Hebbian, Implicit
from .retrospective import Exact, OneStep
from .structure import (
    DiagonalStep,
    FadingRidge,
    FixedRidge,
    HistorySteps,
    KeyStep,
    MomentumStep,
    RankOneSteps,
    RidgeFit,
    Steps,
    Sum,
    TwoStage,
)

load(__name__, __path__, first=("retrospective", "rank_one", "momentum", "chunked", "mirror"))

__all__ = [
    "NLMS",
    "SGD",
    "ChunkMomentum",
    "ChunkSGD",
    "ChunkStart",
    "DiagonalStep",
    "EndSteps",
    "Exact",
    "FadingRidge",
    "FixedRidge",
    "Hebbian",
    "HistorySteps",
    "Implicit",
    "Incremental",
    "Iterations",
    "KeyStep",
    "MiniBatch",
    "MirrorDescent",
    "Mirrored",
    "MomentumStep",
    "OneStep",
    "Optimizer",
    "OrthogonalSteps",
    "RankOneSteps",
    "Retrospective",
    "RidgeFit",
    "Steps",
    "Sum",
    "SummedSteps",
    "TwoStage",
    "Windowed",
]
