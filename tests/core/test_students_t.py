"""Student's t stands once, and is that of the tables at any degree of freedom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ttr_core.lab import student

HERE = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("share", "free", "known"),
    [
        (0.975, 1, 12.706205), (0.995, 1, 63.656741), (0.975, 2, 4.302653), (0.999, 2, 22.327125),
        (0.95, 3, 2.353363), (0.995, 3, 5.840909), (0.9995, 4, 8.610302), (0.975, 5, 2.570582),
        (0.975, 10, 2.228139), (0.95, 19, 1.729133), (0.975, 22, 2.073873), (0.8, 22, 0.858266),
        (0.995, 30, 2.749996), (0.975, 120, 1.979930), (0.975, 10**4, 1.960201), (0.5, 7, 0.0),
    ],
)  # fmt: skip
def test_student_is_that_of_the_tables(share: float, free: int, known: float) -> None:
    assert student(share, free) == pytest.approx(known, abs=1e-6)
    assert student(1 - share, free) == pytest.approx(-known, abs=1e-6)


@pytest.mark.parametrize(("share", "free"), [(0.0, 3), (1.0, 3), (float("nan"), 3), (0.9, 0)])
def test_what_student_has_no_value_for_is_refused(share: float, free: int) -> None:
    with pytest.raises(ValueError, match="no value"):
        student(share, free)


def test_no_other_file_has_a_quantile_of_its_own() -> None:
    table = re.compile(r"12\.7\d|4\.30\b|1\.729|2\.0(4|78|74)\b.*[Ss]tudent|NormalDist")
    files = [*HERE.glob("ttr_core/**/*.py"), *HERE.glob("experiments_db/**/*.py")]
    assert [path.name for path in files if table.search(path.read_text())] == []
