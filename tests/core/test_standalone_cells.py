"""Cells of the grid, drawn without looking, as files of their own pass their tests.

A file apart from that of the entries, so that two processes share what takes longest.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ttr_core as ttr
from tests.core.exported import failures
from ttr_core.tools import standalone_layer

DRAWN, TOGETHER = 60, 15


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, DRAWN, TOGETHER))
def test_cells_pass_their_tests_with_torch_alone(first: int, tmp_path: Path) -> None:
    cells = [str(cell.spec) for cell in ttr.grid() if cell.verdict == "layer"]
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))
    drawn = [cells[i] for i in order[first : first + TOGETHER]]
    assert failures(map(standalone_layer, drawn), tmp_path) == {}
