"""Every published layer as a file of its own passes that file's test."""

from __future__ import annotations

from pathlib import Path

import pytest

import ttr_core as ttr
from tests.core.exported import failures
from ttr_core.tools import standalone_layer

NAMES, TOGETHER = [*ttr.catalog], 13


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(NAMES), TOGETHER))
def test_every_entry_passes_its_test_with_torch_alone(first: int, tmp_path: Path) -> None:
    named = NAMES[first : first + TOGETHER]
    assert failures(map(standalone_layer, named), tmp_path) == {}
