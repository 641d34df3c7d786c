"""Where learned scales start is what was measured, and it was measured for all that compares."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import ttr_core as ttr
from ttr_core.space.ingredient import REGISTRY
from ttr_core.space.sharpness import Comparison
from ttr_core.tools.scales import CASES, SCALES, fresh_scale, read_back, scales_section

FILE = Path(__file__).resolve().parents[2] / "docs/scales.csv"
with FILE.open(newline="") as lines:
    KEPT = {row["spec"]: row for row in csv.DictReader(lines)}


def test_everything_that_compares_is_measured() -> None:
    known = {c for found in REGISTRY.values() for c in found.values() if issubclass(c, Comparison)}
    specs = [ttr.Spec.parse(text) for text in CASES]
    assert {type(c) for spec in specs for c in spec.comparisons().values()} == known
    assert tuple(KEPT) == CASES


@pytest.mark.parametrize("text", CASES)
def test_the_kept_numbers_are_those_at_the_start(text: str) -> None:
    begin = fresh_scale(text)
    assert begin in SCALES
    assert read_back(text, begin) == pytest.approx(float(KEPT[text][f"{begin:g}"]), abs=2e-3)


def test_the_table_marks_the_start(tmp_path: Path) -> None:
    text = "\n".join(scales_section(FILE))
    for line in text.splitlines():
        if line.startswith("| `"):
            assert line.count("**") == 2, line
    assert list(scales_section(tmp_path / "none.csv")) == []
