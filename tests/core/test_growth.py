"""What a backward pass costs grows as the sequence: no slice's gradient is as long as the stream.

Each slice that is taken in a loop costs a tensor of the sliced one's size in the backward pass.
What all of them cost is counted in the graph, so that no clock is needed.
"""

from __future__ import annotations

import math

import pytest
import torch
from streams import TESTED, by_default, stream

import ttr_core as ttr
from ttr_core.limits import Shape

LENGTH = 64


def fixed(spec: ttr.Spec) -> bool:
    """Whether the state has a size that does not grow, so that time can be linear."""
    solver, wide = ttr.resolve(spec), spec.feature_size(3)
    one, other = (solver.state_size(spec, Shape(1, 1, t, 3, 3, wide)) for t in (8, 9))
    return not ttr.caution(spec) and one == other


SPECS = [s for s in TESTED if by_default(s) and fixed(s)]


def sliced(spec: ttr.Spec, length: int, solver: str | None) -> int:
    """Returns how many numbers the gradients of all slices hold."""
    x = stream(spec, length=length, heads=1).map(lambda z: z.requires_grad_())
    seen, waiting, total = set(), [ttr.solve(spec, x, solver=solver).grad_fn], 0
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() in ("SliceBackward0", "SelectBackward0"):
            total += math.prod(node._saved_self_sym_sizes)
        waiting += [before for before, _ in node.next_functions]
    return total


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two chunks nobody would feel that each one's gradient is as long as the sequence."""
    monkeypatch.setattr("ttr_core.solvers.chunks.CHUNK", 2)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_slices_cost_as_much_as_the_sequence_is_long(spec: ttr.Spec) -> None:
    solver = ttr.resolve(spec).name
    assert sliced(spec, 2 * LENGTH, solver) <= 2.3 * sliced(spec, LENGTH, solver) + 500


@pytest.mark.parametrize("solver", ["rank_one_scan", "autograd_scan"])
def test_scans_do_not_slice(solver: str) -> None:
    spec = ttr.Spec.parse("Gate | Linear | SGD")
    assert sliced(spec, 2 * LENGTH, solver) <= 2.3 * sliced(spec, LENGTH, solver) + 500


def test_a_loop_of_slices_would_be_counted() -> None:
    x = torch.zeros(1, 1, LENGTH, 3, requires_grad=True)
    y = torch.cat([x[:, :, t : t + 1] for t in range(LENGTH)], 2)
    assert sum(node[0].name() == "SliceBackward0" for node in y.grad_fn.next_functions) == LENGTH
