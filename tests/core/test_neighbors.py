"""Which published layers are said to be near a spec."""

from __future__ import annotations

import pytest
from streams import TESTED

import ttr_core as ttr
from ttr_core.words.neighbors import distance, neighbors


def test_a_number_is_no_ingredient() -> None:
    names = [name for name, _ in ttr.describe("Importance | Kernel | Exact").neighbors]
    assert names == ["kernel-regression"]  # one other choice; the ridge is a number
    softmax = ttr.catalog["softmax-attention"].spec
    assert str(softmax).startswith("ExpKernel")
    near = ttr.describe(str(softmax).replace("ExpKernel", "ExpKernel(scale=7.5)", 1)).neighbors
    assert "softmax-attention" in [name for name, _ in near]


@pytest.mark.parametrize("spec", TESTED[::20], ids=str)
def test_none_as_near_is_left_out(spec: ttr.Spec) -> None:
    found = [name for name, _ in neighbors(spec)]
    apart = {n: distance(spec, e.spec) for n, e in ttr.catalog.items() if e.spec != spec}
    least = min(choices for choices, _ in apart.values())
    assert set(found) == {n for n, (choices, _) in apart.items() if choices == least}
    assert [apart[n] for n in found] == sorted(apart[n] for n in found)
