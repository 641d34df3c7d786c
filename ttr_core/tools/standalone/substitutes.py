"""What an exported file has in place of parts of the core that look after requests."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...named import Carried, Params
from ...precision import full_precision, single
from ...stream import Stream


def regressed(
    solver: Any, spec: Any, stream: Stream, params: Params, state: Carried | None
) -> tuple[Tensor, Carried]:
    """Runs the regression on a stream, half precision in float32; returns y and the state."""
    x = stream.expanded().map(single)
    own = {name: single(p) for name, p in params.items()}
    with full_precision(x.k.device):
        y, after = solver.run(spec, x, own, state)
    return y.to(stream.v.dtype), after
