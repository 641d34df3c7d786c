"""SOLVERS, fastest first, and the choice among them."""

from __future__ import annotations

from ..errors import unknown
from ..space.functions import MatrixModel, Network
from ..space.optimizers import ChunkStart, FixedRidge
from ..space.spec import Spec
from .attention import Attention, ParallelOneStep
from .base import AnySolver
from .chunk_ends import ChunkEnds
from .chunked_cosine import ChunkedCosine
from .chunked_delta import ChunkedDelta
from .chunked_linear import ChunkedLinear
from .chunked_momentum import ChunkedMomentum
from .chunked_residual import ChunkedResidual
from .chunked_rls import ChunkedRLS
from .chunked_spans import ChunkedSpans
from .chunked_taps import ChunkedTaps
from .convolution import Convolution
from .dual import DualNormalEquations
from .inner_loop import InnerLoop
from .kernel_delta import KernelDelta
from .kernel_ridge import KernelRidge
from .local_line import LocalLine
from .local_polynomial import LocalPolynomial
from .normal_equations import KernelNormalEquations, NormalEquations
from .oracle import Reference
from .orthogonal_loop import OrthogonalLoop
from .prefix_cholesky import PrefixCholesky
from .pseudo_values import PseudoValues
from .scans import AutogradScan, RankOneScan
from .sliding import Sliding

_ENDLESS: tuple[AnySolver, ...] = (
    Attention(),
    ChunkedLinear(),
    ChunkedTaps(),
    ChunkedSpans(),
    ChunkedCosine(),
    ChunkedDelta(),
    ChunkedMomentum(),
    ChunkedResidual(),
    KernelDelta(),
    KernelRidge(),
    PrefixCholesky(),
    DualNormalEquations(),
    ChunkedRLS(),
    NormalEquations(),
    Convolution(),
    PseudoValues(),
    ParallelOneStep(),
    KernelNormalEquations(),
    LocalLine(),
    LocalPolynomial(),
    InnerLoop(),
    OrthogonalLoop(),
    ChunkEnds(),
    RankOneScan(),
    AutogradScan(),
)
SOLVERS: tuple[AnySolver, ...] = (*_ENDLESS, Sliding(_ENDLESS), Reference())
"""In the order in which they are asked; the order is a judgement of speed."""


def resolve(spec: Spec | str, name: str | None = None) -> AnySolver:
    """Returns the fastest solver that accepts ``spec``, or the named one.

    Args:
        spec: a layer, or its text.
        name: one of the solvers' names, or None for the fastest.

    Raises:
        IncompatibleSpec: ``spec`` is not a layer.
        UnknownName: no solver has this name.
        RequestError: the named solver refuses ``spec``.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.resolve("Gate | Linear | SGD").name
        'chunked_delta'
    """
    spec = Spec.of(spec).check()
    if name is None:
        return next(solver for solver in SOLVERS if solver.refusal(spec) is None)
    by_name = {solver.name: solver for solver in SOLVERS}
    if name not in by_name:
        raise unknown("solver", name, by_name)
    if reason := by_name[name].refusal(spec):
        accepting = [solver.name for solver in SOLVERS if solver.refusal(spec) is None]
        raise unknown(f"solver for {spec} ({name} {reason})", name, accepting)
    return by_name[name]


def explain(spec: Spec | str) -> dict[str, str | None]:
    """Returns, for every solver, why it refuses ``spec``; None where it accepts.

    Args:
        spec: a layer, or its text.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.explain("Uniform | Linear | Exact(ridge=0.1)")["prefix_cholesky"]
    """
    spec = Spec.of(spec)
    return {solver.name: solver.refusal(spec) for solver in SOLVERS}


def caution(spec: Spec | str) -> str | None:
    """Says why a layer is defined but slow, not to be trained; None if it is neither.

    Args:
        spec: a layer, or its text.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.caution("Uniform | Linear | SGD") is None
        True
    """
    spec = Spec.of(spec)
    solver = resolve(spec)
    if isinstance(solver, Reference):
        return "only the reference runs it, token by token in float64"
    exact, model = spec.optimizer, spec.function
    if isinstance(exact, FixedRidge) and isinstance(model, MatrixModel):
        some = model.width(2) > model.intercepts
        if exact.ridge == 0 and some:
            return (
                "ridge=0 takes the minimum-norm solution by a pseudo-inverse in float64, whose "
                "gradient is not promised; a ridge above 0 makes it fast"
            )
    return None


def horizon(spec: Spec | str) -> int | None:
    """Returns the tokens up to which a layer was seen to keep rounding below 1 %, if it may not.

    What is not linear in its memory, trained by steps that do not shrink, is chaotic where its
    memory soon forgets: at half-lives of 16 tokens float32 and float64 part within 180 to 490.
    Fresh layers (d 256, four heads, gates spread from 256 to 4 096 tokens, three seeds) do not
    within 4 096. `ttr_core.lab.vital_signs` measures it.

    Args:
        spec: a layer, or its text.

    Example:
        >>> horizon("Gate | MLP | ChunkMomentum(rate=0.1)"), horizon("Uniform | MLP | MiniBatch")
        (4096, None)
    """
    spec = Spec.of(spec)
    if isinstance(spec.optimizer, ChunkStart) and isinstance(spec.function, Network):
        return spec.optimizer.horizon
    return None
