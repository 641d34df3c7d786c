"""The statistics of a search, against cases that can be counted by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments_db.search.explained import what_explains
from experiments_db.search.permuted import (
    COUNTED,
    deals,
    detectable,
    holm,
    least_gain,
    p_above,
)


def test_p_is_the_share_of_deals_that_are_as_far_apart() -> None:
    assert p_above([5.0, 6.0, 7.0], [1.0, 2.0, 3.0]) == 1 / 20
    assert p_above([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]) == 1.0
    assert p_above([1.0, 4.0], [2.0, 3.0]) == pytest.approx(4 / 6)  # 14 23 13 24 tie or exceed
    assert p_above([0.1 + 0.2, 0.4], [0.3, 0.4]) == pytest.approx(5 / 6), "rounding is a tie"


def test_all_deals_are_counted_where_they_can_be_and_else_many_are_drawn() -> None:
    assert len(deals(6, 6)) == math.comb(12, 6) and deals(6, 6).sum(1).tolist() == [6] * 924
    assert len({tuple(row) for row in deals(4, 5).tolist()}) == math.comb(9, 4)
    drawn = deals(12, 12)
    assert len(drawn) == COUNTED and set(drawn.sum(1).tolist()) == {12}
    assert drawn[0].tolist() == [True] * 12 + [False] * 12
    assert np.abs(drawn[1:].mean(0) - 0.5).max() < 0.01


def test_a_bound_above_zero_and_a_small_p_are_one_statement() -> None:
    source = np.random.default_rng(1)
    for _ in range(60):
        ours, theirs = source.normal(0.8, 1, 6), source.normal(0, 1, 6)
        for level in (0.05, 0.01, 0.2):
            assert (least_gain(ours, theirs, level) > 0) == (p_above(ours, theirs) <= level)


def test_a_bound_moves_with_its_sample_and_lies_below_the_gain() -> None:
    ours, theirs = [3.0, 5.0, 4.0, 6.0, 5.5], [1.0, 2.5, 2.0, 3.0, 1.5]
    low = least_gain(ours, theirs, 0.05)
    assert 0 < low < np.mean(ours) - np.mean(theirs)
    assert least_gain([x + 2 for x in ours], theirs, 0.05) == pytest.approx(low + 2)
    assert least_gain(ours, theirs, 0.01) <= low


@pytest.mark.parametrize("wide", [1.0, 3.0])
def test_a_bound_is_wrong_as_often_as_it_says(wide: float) -> None:
    """Also where one side spreads three times as much: of equal sizes the test minds little."""
    source, times, level, gain = np.random.default_rng(0), 1500, 0.1, 0.7
    wrong = sum(
        least_gain(source.normal(gain, 1, 6), source.normal(0, wide, 6), level) > gain
        for _ in range(times)
    )
    error = math.sqrt(level * (1 - level) / times)
    assert abs(wrong / times - level) < (4 if wide == 1 else 6) * error


def test_holm_on_a_textbook_example() -> None:
    """Of Holm's method at 5 %: .01 and .005 are refused; .03 is not, so that .04 is not either."""
    corrected = holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [p <= 0.05 for p in corrected] == [True, False, False, True]
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == [] and holm([0.04]) == [0.04]


def test_a_detectable_difference_is_detected_that_often() -> None:
    source, n, level = np.random.default_rng(2), 8, 0.05
    gain = detectable(1.0, n, level)
    found = [
        p_above(source.normal(gain, 1, n), source.normal(0, 1, n)) <= level for _ in range(400)
    ]
    assert abs(np.mean(found) - 0.8) < 0.08


def test_what_two_ingredients_explain_together_is_counted_for_neither() -> None:
    cells = [(w, f, "o") for w in "abc" for f in "xyz"] * 3
    value = {"a": 0.0, "b": 0.3, "c": 0.6, "x": 0.0, "y": 0.1, "z": 0.2}
    found = what_explains(cells, [value[w] + value[f] for w, f, _ in cells])
    assert found is not None
    shares = {one.factor: one.share for one in found.factors}
    assert shares["weights"] == pytest.approx(0.9) and shares["function"] == pytest.approx(0.1)
    assert shares["optimizer"] == 0 and found.rest == pytest.approx(0, abs=1e-9)
    assert list(found.factors[0].means) == ["c", "b", "a"]
    assert found.factors[0].means["c"] == (pytest.approx(0.7), 9)
    tied = [("a", "x", o) for o in "op" * 6] + [("b", "y", o) for o in "op" * 6]
    both = what_explains(tied, [float(w == "b") for w, *_ in tied])
    assert both is not None and both.shared == pytest.approx(1.0)
    assert [one.share for one in both.factors] == pytest.approx([0, 0, 0], abs=1e-9)


def test_noise_is_explained_by_no_ingredient_and_p_says_so() -> None:
    source = np.random.default_rng(3)
    cells = [(w, f, o) for w in "abcd" for f in "xy" for o in "pqr"] * 2
    ps = [
        one.p
        for _ in range(4)
        if (found := what_explains(cells, source.normal(size=len(cells)).tolist())) is not None
        for one in found.factors
    ]
    assert len(ps) == 12 and min(ps) > 0.005 and max(ps) > 0.5
    assert what_explains(cells, [0.5] * len(cells)) is None
    assert what_explains(cells[:4], [0.1, 0.2, 0.3, 0.4]) is None
