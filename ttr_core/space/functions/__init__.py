"""Second axis: the function class; one file per kind, each loaded by itself."""

from __future__ import annotations

from ..ingredient import load
from .base import (
    FeatureModel,
    FunctionClass,
    Gram,
    KernelModel,
    LinearModel,
    LocalModel,
    MatrixModel,
    Memory,
    Params,
)
from .local import Affine, Constant
from .neural import MLP, LayeredModel, NormLinear

from .linear import Linear  # isort: skip - the order of the choices in the grid
from .kernel import Kernel  # isort: skip

load(__name__, __path__)
