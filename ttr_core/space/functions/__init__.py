"""Second axis: the function class; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import (
    ConstantModel,
    FeatureModel,
    FunctionClass,
    Gram,
    LinearModel,
    MatrixModel,
    Memory,
    Stage,
    StagedModel,
)
from .kernel import Kernel
from .kernel_model import KernelModel
from .linear import Linear
from .local import Affine, Constant
from .local_model import LineModel, LocalModel, ParabolaModel
from .network import Network
from .neural import MLP, LayeredModel, NormLinear

load(__name__, __path__, first=("local", "neural", "linear", "kernel"))

__all__ = [
    "MLP",
    "Affine",
    "Constant",
    "ConstantModel",
    "FeatureModel",
    "FunctionClass",
    "Gram",
    "Kernel",
    "KernelModel",
    "LayeredModel",
    "LineModel",
    "Linear",
    "LinearModel",
    "LocalModel",
    "MatrixModel",
    "Memory",
    "Network",
    "NormLinear",
    "ParabolaModel",
    "Stage",
    "StagedModel",
]
