"""A rate chosen on one seed: that run and the other seeds at the rate are one configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments_db.read import comparing, grouping
from experiments_db.store import Store, open_store
from tests.store.test_analyzing import configurations, put


@pytest.fixture
def tuned(tmp_path: Path) -> tuple[Store, list[str]]:
    """A store with a tuned row, and beside it another rate, another layer and another frame."""
    store = open_store(tmp_path / "runs.duckdb")
    chose = put(store, "gla", 0.9, train__lr="auto", chosen=0.003)
    others = [put(store, "gla", 0.6, seed=n, train__lr=0.003, chosen=0.003) for n in (1, 2)]
    put(store, "gla", 0.5, seed=1, train__lr=0.01, chosen=0.01)
    put(store, "deltanet", 0.4, seed=1, train__lr=0.003, chosen=0.003)
    put(store, "gla", 0.3, seed=1, train__lr=0.003, chosen=0.003, frame="standard")
    return store, [chose, *others]


def test_analyze_has_one_row_of_all_seeds(tuned: tuple[Store, list[str]]) -> None:
    store, _ = tuned
    table = configurations(store).sort_values("mean")
    assert table[["layer", "rate", "n"]].values.tolist() == [
        ["deltanet", "0.003", 1], ["gla", "0.01", 1], ["gla", "0.003", 3],
    ]  # fmt: skip
    assert table["mean"].iloc[-1] == pytest.approx(0.7)


def test_groups_have_one_row_that_says_the_rate(tuned: tuple[Store, list[str]]) -> None:
    store, ids = tuned
    table = grouping.grouped(store)
    assert sorted(table["n"]) == [1, 1, 1, 3]
    row = table.loc[table["n"].idxmax()]
    assert (row["run_ids"], row["seeds"]) == (ids, [0, 1, 2])
    assert '"lr":0.003' in row["config"].replace(" ", "")


@pytest.mark.parametrize("by", range(3))
def test_a_comparison_has_one_side_by_whichever_it_is_asked(
    tuned: tuple[Store, list[str]], by: int
) -> None:
    store, ids = tuned
    found, _ = comparing.sides(store, [ids[by], *ids])
    assert len(found) == 1 and set(found[0].runs["run_id"]) == set(ids)
    assert found[0].runs["train.lr"].iloc[0] == 0.003


def test_a_seed_at_the_rate_by_itself_repeats_the_one_that_chose_it(
    tuned: tuple[Store, list[str]],
) -> None:
    store, ids = tuned
    again = put(store, "gla", 0.9, train__lr=0.003, chosen=0.003)
    table = grouping.grouped(store)
    row = table.loc[table["n"].idxmax()]
    assert row["run_ids"] == [*ids[1:], again]
    found, _ = comparing.sides(store, ids)
    assert sorted(found[0].runs["run_id"]) == [*ids[1:], again]
    assert sorted(configurations(store)["n"]) == [1, 1, 3]


def test_seeds_that_each_chose_a_rate_stay_together(tuned: tuple[Store, list[str]]) -> None:
    store, _ = tuned
    put(store, "gla", 0.8, seed=3, train__lr="auto", chosen=0.01)
    table = grouping.grouped(store)
    assert sorted(table["n"]) == [1, 1, 1, 2, 2]
    auto = table[['"auto"' in config for config in table["config"]]]
    assert auto["seeds"].tolist() == [[0, 3]]


def test_a_rate_that_no_other_seed_was_run_at_stays_as_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path / "runs.duckdb")
    put(store, "gla", 0.9, train__lr="auto", chosen=0.003)
    put(store, "gla", 0.9, seed=1, train__lr=0.01, chosen=0.01)
    assert grouping.grouped(store)["n"].tolist() == [1, 1]
