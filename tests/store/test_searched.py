"""Searches as the store knows them: the part each run has, rungs, finals, what else has the tag."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.read.searched import Searched, searched, searches
from experiments_db.run.request import config_hash, request
from experiments_db.store import Driver, Store, open_store
from experiments_db.store.records import NewRun, Outcome

DELTA, NEW = "Uniform | Linear | SGD", "Importance | Linear | SGD"
TAG = "hunt"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "runs.duckdb")


def asked(spec: str, seed: int = 0, steps: int = 10, lr: float = 0.01, frame: str = "paper",
          pairs: int = 8, keys: int = 0) -> NewRun:  # fmt: skip
    """Returns a run of a search."""
    sets = {"train.protocol": "search", "train.target": "none", "train.lr": str(lr)}
    sets |= {"train.steps": str(steps), "model.frame": frame, "task.pairs": str(pairs)}
    sets |= {"model.key_dim": str(keys)}
    config = request(spec=spec, seed=seed, sets=sets, device="cpu").config()
    return NewRun(config, config_hash(config), spec, spec, frame, "mqar", seed, "cpu",
                  protocol="search", tags=(TAG,))  # fmt: skip


def put(store: Store, spec: str, score: float, status: str = "finished", taken: int = 0,
        **sets: Any) -> None:  # fmt: skip
    """Keeps a run of a search, which took all of its steps or so many."""
    with store.driver() as driver:
        drive(store, driver, asked(spec, **sets), score, status, taken)


def drive(store: Store, driver: Driver, run: NewRun, score: float, status: str,
          taken: int = 0) -> None:  # fmt: skip
    """Claims a run and ends it."""
    steps = taken or int(run.config["train"]["steps"])
    run_id = str(store.claim(driver, run).run_id)
    measured = {"accuracy": score, "validation_accuracy": score, "cpu_seconds": 2.0}
    measured["packed_state_size"] = 64.0
    store.finish(run_id, Outcome(status, measured, steps=steps, seconds=1.0, state_size=64))


def first_rung(store: Store) -> None:
    for spec, scores in ((DELTA, (0.5, 0.4)), (NEW, (0.3, 0.6))):
        for lr, score in zip((0.01, 0.03), scores, strict=True):
            put(store, spec, score, lr=lr)


def found(store: Store) -> Searched:
    one = searched(store, TAG)
    assert one is not None
    return one


def test_nothing_is_there_before_a_search(store: Store) -> None:
    assert searches(store) == [] and searched(store, TAG) is None


def test_stages_follow_from_the_runs(store: Store) -> None:
    first_rung(store)
    one = found(store)
    assert searches(store) == [TAG] and one.stage == "rung 1, 10 steps"
    assert one.cells["spec"].tolist() == [NEW, DELTA] and one.cells["rate"].tolist() == [0.03, 0.01]
    assert one.cells["name"].tolist() == ["", "deltanet"] and one.cells["front"].tolist() == [
        True, False,
    ]  # fmt: skip
    put(store, NEW, 0.7, steps=20, lr=0.03)
    assert found(store).stage == "rung 2, 20 steps"
    put(store, NEW, 0.6, steps=20, lr=0.03, frame="standard")
    assert found(store).stage == "tuning in all frames"
    for seed, gain in ((100, 0.1), (101, 0.3)):
        put(store, DELTA, 0.5, steps=20, seed=seed)
        put(store, NEW, 0.5 + gain, steps=20, seed=seed, lr=0.03)
    one = found(store)
    assert one.stage == "finals" and one.rungs["runs"].tolist() == [4, 1]
    assert one.finals["spec"].tolist() == [NEW, DELTA] and one.finals["n"].tolist() == [2, 2]
    assert one.finals["gain"].iloc[0] == pytest.approx(0.2) and math.isnan(one.finals["gain"][1])
    assert one.cpu_seconds == 2.0 * 10 and not one.running


def test_published_cells_at_the_state_of_a_finalist_are_no_part_of_a_rung(store: Store) -> None:
    first_rung(store)
    put(store, DELTA, 0.9, lr=0.03, keys=8)
    one = found(store)
    assert one.stage == "published cells at the states of the finalists"
    assert one.cells["spec"].tolist() == [NEW, DELTA], "its score at these keys is no rung's"
    put(store, DELTA, 0.5, seed=100, keys=8)
    put(store, DELTA, 0.7, seed=100)
    finals = found(store).finals
    assert sorted(finals["key_dim"]) == [0, 8] and finals["n"].tolist() == [1, 1]


def test_what_came_to_rest_on_an_earlier_rung_is_a_cell_of_the_last(store: Store) -> None:
    """It is not trained again, since more steps would end where it did."""
    first_rung(store)
    put(store, "Gate | Linear | SGD", 0.65, taken=7)
    put(store, "Gate | Linear | SGD", 0.2, lr=0.03)
    put(store, NEW, 0.7, steps=20, lr=0.03)
    one = found(store)
    assert one.cells["spec"].tolist() == [NEW, "Gate | Linear | SGD"]
    assert one.cells["mean"].tolist() == [0.7, 0.65] and one.rungs["cells"].tolist() == [3, 1]


def test_what_diverged_counts_as_nothing_and_other_tasks_stay_out(store: Store) -> None:
    put(store, DELTA, 0.9, pairs=4)
    first_rung(store)
    put(store, "Gate | Linear | SGD", 0.95, "diverged")
    one = found(store)
    assert one.cells["mean"].tolist() == [0.6, 0.5, 0.0] and one.counts == {
        "finished": 4, "diverged": 1,
    }  # fmt: skip


def test_what_is_archived_counts_as_it_does_for_the_search(store: Store) -> None:
    first_rung(store)
    before, ids = found(store), queries.ids(store, Conditions(tags=TAG))
    store.archive(ids[:2])
    one = found(store)
    assert searches(store) == [TAG] and one.counts == before.counts == {"finished": 4}
    assert one.cells.equals(before.cells)
    store.archive(ids)
    assert searches(store) == [], "what is archived as a whole is out of the way"


def test_a_run_on_its_way_is_counted_and_has_no_score(store: Store) -> None:
    first_rung(store)
    with store.driver() as driver:
        store.claim(driver, asked(NEW, steps=20))
        one = found(store)
        assert one.running and one.counts["running"] == 1
        assert one.stage == "rung 2, 20 steps" and one.cells.empty
        assert one.rungs[["runs", "running"]].values.tolist() == [[4, 0], [0, 1]]
    assert not found(store).running and found(store).counts["interrupted"] == 1


def test_a_search_goes_on_between_two_of_its_runs(store: Store) -> None:
    first_rung(store)
    with store.driver() as killed:
        store.claim(killed, asked(NEW, steps=20))
    with store.driver() as driver:
        drive(store, driver, asked(NEW, steps=20), 0.7, "finished")
        one = found(store)
        assert one.running and one.counts == {"finished": 5}
    assert not found(store).running


def test_all_runs_of_a_large_search_are_read(store: Store) -> None:
    """The first rung is the oldest part of it: the newest thousands alone would not have it."""
    first_rung(store)
    put(store, NEW, 0.7, steps=20, lr=0.03)
    copied = {
        "runs": "run_id || '-' || i AS run_id, config_hash || i AS config_hash",
        "tags": "run_id || '-' || i AS run_id", "results": "run_id || '-' || i AS run_id",
    }  # fmt: skip
    with store.open(write=True) as connection:
        (newest,) = connection.execute("SELECT max(run_id) FROM runs").fetchone() or ("",)
        for table, names in copied.items():
            some = f"{table}.* REPLACE ({names}) FROM {table}, range(6000) AS n(i)"
            sql = f"INSERT INTO {table} SELECT {some} WHERE run_id = $newest"
            connection.execute(sql, {"newest": newest})
    one = found(store)
    assert one.stage == "rung 2, 20 steps" and one.counts == {"finished": 6005}
    assert one.rungs[["steps", "cells", "runs"]].values.tolist() == [[10, 2, 4], [20, 1, 6001]]
