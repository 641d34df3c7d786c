"""Cells that have every choice and every solver of the grid pass the tests of their own files.

A file apart from that of the entries, so that two processes share what takes longest.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import ttr_core as ttr
from tests.core.exported import failures
from ttr_core.tools import standalone_layer

GROUPS = 2


def parts(spec: ttr.Spec) -> set[str]:
    """What a file is made of: the solver, and every choice of the grid that takes part."""
    own = (*spec.weights.factors(), spec.function, spec.optimizer, spec.loss, spec.readout)
    return {f"by {ttr.resolve(spec).name}", *map(str, own)}


def covering() -> list[str]:
    """Returns few cells that together have all parts, those with most new ones first."""
    specs = [ttr.Spec.parse(cell.spec) for cell in ttr.grid() if cell.verdict == "layer"]
    have = {str(spec): parts(spec) for spec in specs}
    missing, chosen = set[str]().union(*have.values()), list[str]()
    while missing:
        chosen.append(max(have, key=lambda text: len(have[text] & missing)))
        missing -= have[chosen[-1]]
    return chosen


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize("group", range(GROUPS))
def test_cells_pass_their_tests_with_torch_alone(group: int, tmp_path: Path) -> None:
    """Of 60 cells that chance drew, 12 of 18 solvers wrote the files; of these 24, every one."""
    chosen = covering()
    assert len(chosen) > 20
    assert failures(map(standalone_layer, chosen[group::GROUPS]), tmp_path) == {}
