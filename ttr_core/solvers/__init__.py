"""The ordered table of solvers, and the question which of them runs a spec."""

from __future__ import annotations

from ..space.spec import Spec
from .api import packed_state_size, prefill, solve, state_size
from .attention import Attention, ParallelOneStep
from .base import Solver
from .chunked_cosine import ChunkedCosine
from .chunked_delta import ChunkedDelta
from .chunked_linear import ChunkedLinear
from .chunked_momentum import ChunkedMomentum
from .chunked_rls import ChunkedRLS
from .dual import DualNormalEquations
from .inner_loop import InnerLoop
from .kernel_delta import KernelDelta
from .kernel_ridge import KernelRidge
from .least import least
from .local_line import LocalLine
from .local_polynomial import LocalPolynomial
from .maps import SampledMap, attention_map, sampled_map
from .normal_equations import KernelNormalEquations, NormalEquations
from .oracle import Reference
from .prefix_cholesky import PrefixCholesky
from .scans import AutogradScan, RankOneScan
from .table import SOLVERS, caution, explain, horizon, resolve

__all__ = [
    "SOLVERS",
    "Attention",
    "AutogradScan",
    "ChunkedCosine",
    "ChunkedDelta",
    "ChunkedLinear",
    "ChunkedMomentum",
    "ChunkedRLS",
    "DualNormalEquations",
    "InnerLoop",
    "KernelDelta",
    "KernelNormalEquations",
    "KernelRidge",
    "LocalLine",
    "LocalPolynomial",
    "NormalEquations",
    "ParallelOneStep",
    "PrefixCholesky",
    "RankOneScan",
    "Reference",
    "SampledMap",
    "Solver",
    "Spec",
    "attention_map",
    "caution",
    "explain",
    "horizon",
    "least",
    "packed_state_size",
    "prefill",
    "resolve",
    "sampled_map",
    "solve",
    "state_size",
]
