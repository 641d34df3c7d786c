"""What its time cut short pools with nothing that had the time to end."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from experiments_db.read import comparing, listing
from experiments_db.read.cells import cells, task_settings
from experiments_db.read.grouping import grouped
from experiments_db.read.pooling import pools
from experiments_db.run.outcomes import new_run as asked_run
from experiments_db.run.request import config_hash, request
from experiments_db.store import Outcome, Store
from experiments_db.store.records import CUT_SHORT, HAD_SECONDS
from experiments_db.sweeps import questions
from ttr_core.lab import train

SIZES = {"pairs": 2, "seq_len": 16, "vocab_size": 64, "d_model": 8, "steps": 5, "eval_examples": 4}
ENDED = ((0, 0.9, None), (1, 0.7, None), (2, 0.2, 5), (0, 0.1, 5))
"""Seed, accuracy, and the seconds that were used up."""


def config_of(seed: int, **more: Any) -> dict[str, Any]:
    return request(layer="gla", sets=SIZES | more, seed=seed).config()


@pytest.fixture
def filled(store: Store) -> list[str]:
    """Stores two whole runs and two that were cut short, one of them after the whole one."""
    ids = []
    with store.driver() as driver:
        for seed, accuracy, seconds in ENDED:
            experiment = request(layer="gla", sets=SIZES, seed=seed)
            run = asked_run(experiment, experiment.config(), (), {})
            claim = store.claim(driver, run, fresh=True)
            said = f"The time of {seconds} s was used up after 3 steps." if seconds else None
            metrics = {"accuracy": accuracy}
            store.finish(
                claim.run_id,
                Outcome("finished", metrics, steps=3, seconds=1.0, lr=0.01, error=said,
                        metric=experiment.task.main()),
            )  # fmt: skip
            ids.append(str(claim.run_id))
    return ids


def test_they_are_groups_of_their_own(store: Store, filled: list[str]) -> None:
    found = {bool(row.cut_short): row for row in grouped(store).itertuples()}
    assert (found[False].n, found[False].seeds) == (2, [0, 1])
    assert found[False].accuracy_mean == pytest.approx(0.8), "a newer one that was cut counts not"
    assert (found[True].n, sorted(found[True].seeds)) == (2, [0, 2])
    assert found[True].accuracy_mean == pytest.approx(0.15)
    for order in ("started_at", "accuracy_mean"):
        (first,) = grouped(store, order=order, limit=1).itertuples()
        assert first.n == 2 and bool(first.cut_short) is (order == "started_at")
    assert "cut_short" in listing.in_terminal(listing.groups(store))
    assert list(listing.runs(store)["cut_short"]) == [True, True, False, False]


def test_no_table_of_cells_has_them(store: Store, filled: list[str]) -> None:
    setting = task_settings(store)
    assert list(setting["runs"]) == [2]
    (cell,) = cells(store, setting["setting"][0], "quick").itertuples()
    assert (cell.n, cell.mean) == (2, pytest.approx(0.8))
    assert pools(store) == {}


def test_a_comparison_keeps_them_apart(store: Store, filled: list[str]) -> None:
    whole, cut = comparing.sides(store, [filled[0], filled[2], filled[3]])[0]
    assert sorted(whole.runs["accuracy"]) == [0.7, 0.9]
    assert sorted(cut.runs["accuracy"]) == [0.1, 0.2]
    assert comparing.unlike([whole, cut]) == [
        "Some were ended as their time was used up, others not."
    ]


def test_a_plan_counts_them_where_it_gives_no_more_time(store: Store, filled: list[str]) -> None:
    first, third = (config_hash(config_of(seed)) for seed in (0, 2))
    found = questions.results(store, {first: None, third: None})
    assert {name: one["metrics"]["accuracy"] for name, one in found.items()} == {first: 0.9}
    found = questions.results(store, {first: 5.0, third: 4.0})
    assert {name: one["metrics"]["accuracy"] for name, one in found.items()} == {
        first: 0.1,
        third: 0.2,
    }
    assert questions.held(store, {third: 6.0}) == {} != questions.held(store, {third: 5.0})
    assert [steps for *_, steps in questions.past(store, {"mqar"})] == [3, 3], "of the whole ones"


@pytest.mark.parametrize("seconds", [0.0, 1e-9, None])
def test_a_training_that_runs_out_of_time_says_so_as_the_store_reads_it(
    store: Store, seconds: float | None
) -> None:
    experiment = request(layer="gla", sets={**SIZES, "train.seconds": seconds})
    *_, last = train(experiment.task, experiment.model, experiment.train)
    with store.open(write=True) as connection:
        row = connection.execute(
            f"SELECT {CUT_SHORT}, {HAD_SECONDS} FROM (SELECT $status AS status, $said AS message) "
            "AS results", {"status": last.status, "said": last.message}
        ).fetchone()  # fmt: skip
    assert row == (seconds is not None, seconds)
    assert "seconds" not in json.dumps(experiment.config()["train"]), "no part of its identity"
    assert asked_run(experiment, experiment.config(), (), {}).seconds == seconds


def test_the_end_of_a_file_of_trainings_is_read_as_well() -> None:
    from experiments_db.store.records import USED_UP

    said = pd.Series(["The time of 5 s was used up after 3 steps.", "", "The time of day"])
    assert list(said.str.match(USED_UP)) == [True, False, False]
