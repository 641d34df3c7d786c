"""Every published layer as a file of its own passes that file's test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import ttr_core as ttr
from tests.core.exported import failures
from ttr_core.tools import standalone_layer

NAMES, TOGETHER = [*ttr.catalog], 13


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize("first", range(0, len(NAMES), TOGETHER))
def test_every_entry_passes_its_tests_with_torch_alone(first: int, tmp_path: Path) -> None:
    """Its plain test, which stands in fla's form as well, and that of fla's form."""
    named = NAMES[first : first + TOGETHER]
    made = (standalone_layer(name, conventions="fla") for name in named)
    assert failures(made, tmp_path) == {}


def test_the_test_of_flas_form_can_fail(tmp_path: Path) -> None:
    made = standalone_layer("linear-attention", conventions="fla")
    plain = standalone_layer("linear-attention")
    assert "FlaLayer" not in plain.text and "test_fla" not in plain.text
    kept, lost = "recurrent_state=state, layer_idx", "recurrent_state=None, layer_idx"
    assert made.text.count(kept) == 1
    broken = replace(made, text=made.text.replace(kept, lost))
    assert "fla's form is off" in failures([broken], tmp_path)["linear-attention"]


def test_conventions_that_are_none_are_answered_with_those_that_are() -> None:
    with pytest.raises(ttr.UnknownName, match=r"Unknown form .flash.*plain"):
        standalone_layer("linear-attention", conventions="flash")
