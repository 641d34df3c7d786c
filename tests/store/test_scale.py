"""A hundred thousand runs: every question a page asks is answered, every write arrives.

The aim is a second each. Times are printed, with what takes longer than the aim; they decide
nothing, since they say as much about the machine as about the program.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sized
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from experiments_db.read import comparing, listing, queries
from experiments_db.read.cells import cells, task_settings
from experiments_db.read.filters import Conditions
from experiments_db.read.grouping import grouped
from experiments_db.store import Driver, Live, NewRun, Store, open_store
from experiments_db.store.records import COMPLETE
from tests.store import many_runs
from tests.store.test_analyzing import comparable, configurations

RUNS, THROUGH_THE_PROGRAM, AIM = 100_000, 2_000, 1.0
Found = TypeVar("Found")

CONDITIONS = {
    "accuracy > 0.999": 80,
    '"task.pairs" = 8 AND "train.lr" < 0.005 AND accuracy > 0.99 AND layer = \'gla\'': 7,
    "list_contains(tags, 'sweep-3') AND status = 'finished'": 920,
}

ASKED: dict[str, tuple[int, Callable[[Store], Sized]]] = {
    "the 200 newest": (200, lambda store: queries.runs(store, limit=200)),
    "the 1000 newest, settings as columns": (1000, lambda store: queries.runs(store, flat=True)),
    "the 1000 best": (1000, lambda store: queries.runs(store, order="accuracy")),
    "a text": (200, lambda store: queries.runs(store, Conditions(text="sgd"), limit=200)),
    "a setting": (
        200,
        lambda store: queries.runs(store, Conditions(settings={"task.pairs": 8}), limit=200),
    ),
    "a tag": (200, lambda store: queries.runs(store, Conditions(tags="kept"), limit=200)),
    "counts by status": (4, queries.counts),
    "one run": (1, lambda store: [queries.run(store, queries.ids(store)[777])]),
    "curves of ten runs": (1350, lambda store: queries.curves(store, queries.ids(store)[-10:])),
    "groups over seeds of one task setting": (
        4992,
        lambda store: grouped(store, Conditions(settings={"task.pairs": 8})),
    ),
    "task settings of the map": (8, task_settings),
    "cells of the map": (
        12,
        lambda store: cells(store, task_settings(store).setting[0], "quick"),
    ),
    "what can be analyzed": (2, comparable),
    "configurations to analyze": (12480, configurations),
    "sides of a comparison": (
        4,
        lambda store: comparing.sides(store, queries.ids(store)[5:9])[0],
    ),
    **{
        f"--where {condition}": (rows, partial(listing.runs, condition=condition))
        for condition, rows in CONDITIONS.items()
    },
}
"""How many rows each question finds in the store that `many_runs` makes, and the question."""


def spent() -> float:
    """Returns the seconds of processor time of this process and of the children that ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def timed(what: str, work: Callable[[], Found]) -> Found:
    """Prints the time that a piece of work takes; returns what it found."""
    began, used = time.monotonic(), spent()
    found = work()
    wall, used = time.monotonic() - began, spent() - used
    rows = f", {len(found)} rows" if isinstance(found, Sized) else ""
    late = "  over the aim" if wall > AIM else ""
    print(f"{used:6.2f} s of processor, {wall:6.2f} s in all: {what}{rows}{late}")
    return found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("scale") / "runs.duckdb")
    print()
    many = RUNS - THROUGH_THE_PROGRAM
    timed(f"{many} runs by SQL", lambda: many_runs.fill(store, many))
    with store.driver() as driver:
        timed(
            f"{THROUGH_THE_PROGRAM} runs through the program, 100 threads",
            lambda: many_runs.through_the_program(store, driver, THROUGH_THE_PROGRAM),
        )
    size = sum(file.stat().st_size for file in Path(store.path.parent).glob("runs.duckdb*"))
    print(f"{size / RUNS:.0f} bytes per run, curves of {many_runs.POINTS} and {many_runs.LOOKS}")
    return store


@pytest.mark.slow
def test_questions_to_a_hundred_thousand_runs(large: Store) -> None:
    assert len(queries.ids(large, Conditions(archived=True))) == RUNS
    found = {
        what: [len(timed(what, partial(ask, large))) for _ in range(3)]
        for what, (_, ask) in ASKED.items()
    }
    assert found == {what: [rows] * 3 for what, (rows, _) in ASKED.items()}
    groups = timed("all groups over seeds", lambda: grouped(large))
    every = timed("every run", lambda: queries.runs(large, limit=RUNS))
    assert groups.n.sum() == every.status.isin(COMPLETE).sum()


@pytest.mark.slow
def test_writes_into_a_hundred_thousand_runs(large: Store) -> None:
    run = many_runs.experiments_of_a_run()[0]
    asked = [NewRun(**{**vars(run), "config_hash": f"late-{i}"}) for i in range(3)]
    with large.driver() as driver:
        ids = [timed("a claim", partial(claim, large, driver, new)) for new in asked]
        for _ in range(3):
            timed("a heartbeat of three runs", partial(beat, driver, ids))
        for one in ids:
            timed("a result", partial(large.finish, one, many_runs.ended(1)))
        newest = queries.ids(large)[:1000]
        timed("a tag on 1000 runs", lambda: large.tag(newest, ["many"]))
    assert set(ids) <= set(newest)
    assert set(queries.runs(large, limit=3).status) == {"finished"}
    assert set(queries.ids(large, Conditions(tags="many"))) == set(newest)
    assert os.path.getsize(large.path) < 3000 * RUNS


def claim(store: Store, driver: Driver, run: NewRun) -> str:
    return str(store.claim(driver, run).run_id)


def beat(driver: Driver, ids: list[str]) -> None:
    driver.heartbeat(
        [
            Live(run_id, 100, 600, 0.5, {"accuracy": 0.5}, [[i, 0.5] for i in range(200)])
            for run_id in ids
        ]
    )
