"""Weights that end some tokens back x any running memory: a pass over each window by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..limits import Estimate, Shape
from ..named import Carried, Params, part, whole
from ..space.functions import FunctionClass
from ..space.losses import Loss
from ..space.optimizers import Incremental
from ..space.readouts import Direct, Divides, Readout, ReadsBefore
from ..space.spec import Spec
from ..space.weights import RunningWeights
from ..stream import Stream
from .base import AnySolver, Solver
from .problem import Problem
from .state import Past, State

AT_ONCE = 1 << 17  # tokens of all windows that are solved side by side
MOST_HELD = 1 << 30  # bytes that these hold, where one window of each sequence holds less

_Asked = Problem[RunningWeights, FunctionClass, Incremental]


class Sliding(Solver[_Asked]):
    """The windows of all tokens as so many sequences, for the solver of one without a window.

    Args:
        among: the solvers that may take a window, fastest first.
    """

    name: ClassVar[str] = "sliding"
    cost: ClassVar[str] = "for each token what its window costs"
    losses: ClassVar[tuple[type[Loss], ...]] = (Loss,)
    readouts: ClassVar[tuple[type[Readout], ...]] = (Direct, Divides, ReadsBefore)

    def __init__(self, among: tuple[AnySolver, ...]) -> None:
        self.among = among

    def declines(self, p: _Asked) -> str | None:
        if p.weights.reach is None:
            return "leaves weights without an end to solvers with a running state"
        if self._of(unended(p.spec)) is None:
            return "needs a solver that takes its window, and there is none"
        return None

    def _of(self, spec: Spec) -> AnySolver | None:
        """Returns the solver of a window."""
        return next((one for one in self.among if one.refusal(spec) is None), None)

    def _chosen(self, p: _Asked) -> tuple[Spec, AnySolver, int]:
        spec = unended(p.spec)
        solver, reach = self._of(spec), p.weights.reach
        assert solver is not None and reach is not None  # or it had declined
        return spec, solver, reach

    def sequential(self, spec: Spec) -> bool:
        inside = unended(spec)
        solver = self._of(inside)
        return solver is not None and solver.sequential(inside)

    def work(self, p: _Asked, shape: Shape) -> Estimate:
        spec, solver, reach = self._chosen(p)
        window = replace(shape, batch=1, length=min(reach, shape.length))
        rows = shape.batch * shape.length
        some = min(rows, max(shape.batch, _side_by_side(spec, solver, window)))
        one = solver.estimate(spec, replace(window, batch=some))
        return Estimate(one.flops * rows / some, one.bytes)

    def state(self, p: _Asked) -> State:
        return Past(p.spec)

    def solve(self, p: _Asked, kept: Carried | None) -> tuple[Tensor, Carried]:
        spec, solver, reach = self._chosen(p)
        past = Past(p.spec)
        x = past.restored(p.x, kept)
        before = x.length - x.q.shape[2]
        begun = min(max(reach - 1 - before, 0), x.q.shape[2])  # queries of windows still filling
        outputs = []
        if begun:
            outputs.append(_first(spec, solver, x, before, begun, p.params))
        wide = spec.feature_size(x.key_dim)
        window = Shape(1, x.k.shape[1], reach, x.key_dim, x.value_dim, wide)
        for windows in _windows(x, reach, begun, _side_by_side(spec, solver, window)):
            y, _ = solver.run(spec, windows, p.params, None)
            outputs.append(y[:, :, -1].unflatten(0, (x.k.shape[0], -1)).movedim(1, 2))
        return torch.cat(outputs, 2), past.keep(x)


def unended(spec: Spec) -> Spec:
    """Returns the spec whose running memory sees what a window holds."""
    assert isinstance(spec.weights, RunningWeights)
    return spec.with_axis("weights", spec.weights.inside)


def _first(
    spec: Spec, solver: AnySolver, x: Stream, before: int, begun: int, params: Params
) -> Tensor:
    """Returns the outputs of the tokens whose window has not left the first token behind."""
    end = before + begun
    start = Stream(F.pad(x.q[:, :, :begun], (0, 0, before, 0)), x.k, x.v, x.signals)
    y, _ = solver.run(spec, start.map(lambda z: z[:, :, :end]), params, None)
    return y[:, :, before:]


def _side_by_side(spec: Spec, solver: AnySolver, window: Shape) -> int:
    """Returns how many windows are solved at once, from the sizes of one."""
    held = solver.estimate(spec, window).bytes
    return max(1, min(AT_ONCE // window.length, int(MOST_HELD / max(1.0, held))))


def _windows(x: Stream, reach: int, begun: int, at_once: int) -> list[Stream]:
    """Returns the full windows as sequences of their own, [B W, H, n, ...], some at a time."""
    count = x.q.shape[2] - begun
    if not count:
        return []
    newest = {"k": x.k, "v": x.v} | whole(signal=x.signals)
    held = {
        n: z[:, :, -(count + reach - 1) :].unfold(2, reach, 1).movedim(-1, 3)
        for n, z in newest.items()
    } | {"q": x.q[:, :, begun:, None].expand(-1, -1, -1, reach, -1)}
    some = max(1, at_once // x.k.shape[0])
    parts = zip(*(z.movedim(2, 1).split(some, 1) for z in held.values()), strict=True)
    blocks = [dict(zip(held, (z.flatten(0, 1) for z in one), strict=True)) for one in parts]
    return [Stream(b["q"], b["k"], b["v"], part(b, "signal")) for b in blocks]
