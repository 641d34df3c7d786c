"""Edits that can be taken back, and what the Runs page asks of a store besides."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from experiments_db.errors import StoreError
from experiments_db.read import queries
from experiments_db.read.choices import offered
from experiments_db.read.edits import OPPOSITES, Edit, perform
from experiments_db.read.filters import Conditions
from experiments_db.read.grouping import grouped, sorted_by
from experiments_db.run.settings import sought
from experiments_db.store import Store, open_store
from tests.store.many_runs import ended, experiments
from ttr_core.errors import RequestError

EVERY = Conditions(archived=True)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with six complete runs: three configurations, some starred, tagged, archived."""
    made = open_store(tmp_path_factory.mktemp("edits") / "runs.duckdb")
    with made.driver() as driver:
        for number, (run, _) in enumerate(itertools.islice(experiments(), 6)):
            claimed = made.claim(driver, run)
            made.finish(str(claimed.run_id), ended(number))
    ids = queries.ids(made)
    made.star(ids[:2])
    made.tag(ids[1:3], ["old"])
    made.archive(ids[3:4])
    return made.path


@pytest.fixture
def store(made_once: Path, tmp_path: Path) -> Store:
    return open_store(shutil.copy(made_once, tmp_path / "runs.duckdb"))


def said(store: Store) -> list[tuple[object, ...]]:
    table = queries.runs(store, Conditions(archived=True))
    tags = table["tags"].map(lambda tags: ",".join(sorted(tags)))
    return list(zip(table["run_id"], table["starred"], table["archived"], tags, strict=True))


@pytest.mark.parametrize("kind", OPPOSITES)
def test_an_edit_taken_back_leaves_everything_as_it_was(store: Store, kind: str) -> None:
    before, ids = said(store), tuple(queries.ids(store, EVERY))
    undo = perform(store, Edit(kind, ids, "old" if "tag" in kind else ""))
    assert undo.ids and set(undo.ids) < set(ids), "some runs change, some are so already"
    assert said(store) != before
    again = perform(store, Edit(kind, ids, "old" if "tag" in kind else ""))
    assert again.ids == (), "nothing is left to change"
    perform(store, undo)
    assert said(store) == before


def test_an_edit_names_a_run_that_does_not_exist(store: Store) -> None:
    with pytest.raises(StoreError, match="nobody"):
        perform(store, Edit("star", ("nobody",)))


def test_a_read_only_store_refuses_every_edit(store: Store) -> None:
    shut = Store(store.path, readonly=True)
    with pytest.raises(StoreError, match="read-only"):
        perform(shut, Edit("unstar", ("nobody",)))


def test_choices_are_what_occurs(store: Store) -> None:
    found, table = offered(store), queries.runs(store, Conditions(archived=True))
    assert found.layer == tuple(sorted(set(table["layer"].dropna())))
    assert found.frame == tuple(sorted(set(table["frame"])))
    store.tag(queries.ids(store), ["new"])
    assert offered(store).tags == ("new", "old"), "the most used first"
    empty = open_store(store.path.parent / "none.duckdb")
    assert offered(empty) == type(found)((), (), (), (), ())


def test_counts_and_details_of_some_runs(store: Store) -> None:
    ids = queries.ids(store)
    few = Conditions(ids=ids[:2])
    assert queries.counts(store, few)["runs"].sum() == 2
    assert queries.counts(store, EVERY)["runs"].sum() == 6
    found = queries.details(store, [ids[2], "nobody", ids[0]])
    assert [row["run_id"] for row in found] == [ids[2], ids[0]]
    assert found[0] == queries.run(store, ids[2])


@pytest.mark.slow
def test_groups_are_sorted_and_cut(store: Store) -> None:
    for order in sorted_by():
        whole = grouped(store, order=order, descending=False)
        assert whole[order].dropna().is_monotonic_increasing
        cut = grouped(store, order=order, descending=False, limit=1)
        assert cut["config_group"].tolist() == whole["config_group"].tolist()[:1]
    with pytest.raises(StoreError, match="accuracy_mean"):
        grouped(store, order="spec; DROP TABLE runs")


def test_words_become_settings() -> None:
    assert sought("") == {}
    words = sought("pairs=8,  train.lr=auto seed=3 target=none model.d_model=64")
    assert words == {
        "task.pairs": 8, "train.lr": "auto", "seed": 3, "train.target": None, "model.d_model": 64,
    }  # fmt: skip
    for text, hint in (("pears=8", "pairs"), ("pairs", "key=value"), ("=8", "key=value")):
        with pytest.raises(RequestError, match=hint):
            sought(text)
