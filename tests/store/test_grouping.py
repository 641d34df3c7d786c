"""Seeds are averaged, cells of the design space compared, and nothing else is pooled."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from experiments_db.read import listing, queries
from experiments_db.read.cells import cells, task_settings
from experiments_db.read.filters import Conditions
from experiments_db.read.grouping import averaged, grouped
from experiments_db.read.narrow import mentioned
from experiments_db.read.sandbox import QueryError, locked, select, where_sql
from experiments_db.store import NewRun, Outcome, Store, StoreError, open_store
from ttr_core.lab import MQAR

NORMALIZED = "Gate | Linear | SGD | readout=Normalized"
STACK = "Gate | Linear | SGD, Uniform | Linear | Exact"

RUNS = (  # spec, pairs, protocol, seed, status, accuracy
    ("Gate | Linear | SGD", 8, "standard", 0, "finished", 0.5),
    ("Gate | Linear | SGD", 8, "standard", 1, "finished", 0.7),
    ("Gate | Linear | SGD", 8, "standard", 2, "diverged", math.nan),
    ("Gate | Linear | SGD", 16, "standard", 0, "finished", 0.1),
    ("Gate | Linear | SGD", 8, "quick", 0, "finished", 1.0),
    (NORMALIZED, 8, "standard", 0, "finished", 0.9),
    (STACK, 8, "standard", 0, "finished", 0.95),
    ("Uniform | Linear | Exact", 8, "standard", 0, "failed", 0.99),
    ("Decay | Linear | SGD", 8, "standard", 0, "diverged", math.nan),
)


def config(spec: str, pairs: int, protocol: str, seed: int) -> dict:
    rate = "auto" if pairs == 16 else 0.01
    return {
        "spec": spec,
        "task": {"name": "mqar", "pairs": pairs, "mix": pairs == 8},
        "model": {"layers": spec.split(", "), "kv_heads": None},
        "train": {"lr": rate, "protocol": protocol, "seed": 7},
        "seed": seed,
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("groups") / "runs.duckdb")
    with store.driver() as driver:
        for spec, pairs, protocol, seed, status, accuracy in RUNS:
            asked = config(spec, pairs, protocol, seed)
            run = NewRun(asked, str(asked), None, spec, "standard", "mqar", seed, "cpu", protocol)
            run_id = str(store.claim(driver, run).run_id)
            tried = [0.001, 0.01, 0.03] if seed == 1 else None
            curves = {"accuracy": [[20, 0.2], [40, accuracy], [60, 0.1]]}
            ended = Outcome(
                status, {"accuracy": accuracy}, curves=curves, lr=0.01, lrs_tried=tried,
                metric=MQAR.main(),
            )  # fmt: skip
            store.finish(run_id, ended)
    return store


@pytest.fixture
def setting(filled: Store) -> str:
    return task_settings(filled).setting[0]


def test_seeds_are_averaged(filled: Store) -> None:
    table = grouped(filled)
    assert len(table) == 6  # the failed run is in none
    row = table[table.n == 3].iloc[0]
    assert (row.seeds, row.diverged, row.accuracy_n) == ([0, 1, 2], 1, 2)
    assert row.accuracy_mean == pytest.approx(0.6)
    assert row.accuracy_std == pytest.approx(0.1414, abs=1e-4)
    assert (row.accuracy_min, row.accuracy_max) == (0.5, 0.7)
    assert (row.best_mean, row.best_max) == (pytest.approx(0.4667, abs=1e-4), 0.7)
    assert '"seed":7' in row.config  # a setting of that name is not the seed
    assert '"seed":0' not in row.config
    assert len(set(row.run_ids)) == 3
    assert table[table.n == 1].accuracy_std.isna().all()
    names = [f"{measure}_{what}" for measure in averaged() for what in ("mean", "std", "n")]
    assert set(names) <= set(table.columns)


def test_groups_follow_conditions(filled: Store) -> None:
    assert len(grouped(filled, Conditions(settings={"task.pairs": 16}))) == 1
    assert grouped(filled, Conditions(status="failed")).empty
    table = listing.groups(filled, '"task.pairs" = 8 AND accuracy > 0.6', flat=True)
    assert list(table["task.pairs"]) == [8] * 4
    assert set(table.n) == {1}
    assert listing.groups(filled, "false").empty


def test_last_best_and_step_of_best(filled: Store) -> None:
    row = queries.runs(filled, Conditions(seed=1)).iloc[0]
    assert (row["last"], row["best"], row["best_step"]) == (0.1, 0.7, 40)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("\"train.lr.word\" = 'auto'", 1),
        ('"train.lr" > 0.0005', 8),  # numbers stay numbers, though one run has auto
        ('"train.steps" > 1', 0),  # a setting that no run has
        ('"task.noise" IS NULL', 9),
        ("isnan(accuracy)", 2),
        ("NOT isfinite(accuracy) AND accuracy IS NULL", 2),
        ("isfinite(accuracy) AND note != 'isnan(accuracy)'", 7),
        ('"task.pairs" > 8.5', 1),
        ('"task.mix"', 8),
        ('"model.kv_heads" IS NULL', 9),
        ("\"model.layers\" = 'Gate | Linear | SGD, Uniform | Linear | Exact'", 1),
        ("COLUMNS('^accur.*cy$') = 0.5", 1),  # no column is named
        ("(SELECT max(accuracy) FROM runs) = accuracy", 1),
        ("spec LIKE '%Exact' AND status != 'failed'", 1),
        ("COLUMNS(['run_id', 'error']) IS NOT NULL", 0),  # named, and not alone
        ("(SELECT count(*) FROM (SELECT DISTINCT * EXCLUDE (run_id) FROM runs)) = 9", 9),
        ("ACCURACY = 1", 1),
        ("accuracy > 0.96", 2),  # NaN is not larger than any number
        ("config ->> '$.seed' = '2'", 1),
    ],
)
def test_a_condition_sees_what_it_names(filled: Store, condition: str, count: int) -> None:
    assert len(listing.runs(filled, condition)) == count


def test_a_wrong_condition_names_the_nearest(filled: Store) -> None:
    with pytest.raises(QueryError, match=r"No run has a column 'acuracy'. .*\"accuracy\""):
        listing.runs(filled, "acuracy > 1")
    with pytest.raises(
        QueryError, match=r"'auto' is compared with a column of numbers; .*lr\.word"
    ):
        listing.runs(filled, "\"train.lr\" = 'auto'")
    with pytest.raises(QueryError, match=r'written in double quotes: "task.pairs"'):
        listing.runs(filled, "task.pairs = 8")
    with pytest.raises(QueryError, match=r'"task.pairs"'):
        listing.runs(filled, '"task.pears" = 8')


def test_a_number_that_is_not_finite_is_never_the_largest(filled: Store) -> None:
    for descending in (True, False):
        table = queries.runs(filled, order="accuracy", descending=descending)
        assert table.accuracy.notna().tolist() == [True] * 7 + [False] * 2
    assert queries.runs(filled, order="accuracy").accuracy[0] == 1.0


def test_the_type_of_a_setting_does_not_depend_on_the_runs(store: Store, new_run) -> None:
    """Numbers compare as numbers whatever rows come; what no run has is empty."""
    questions = ('"train.lr" > 0.005', '"task.pairs" >= 8', "\"train.lr.word\" = 'auto'")

    def answers() -> list[int]:
        found = []
        for asked in questions:
            rows = locked({"runs": mentioned(store, asked)})
            found.append(select(rows, where_sql(asked, "run_id"), 10)[0].num_rows)
        return found

    assert answers() == [0, 0, 0]
    counts = []
    with store.driver() as driver:
        for rate in (0.001, 0.01, "auto", "0.02", None):
            config = {"task": {"name": "mqar", "pairs": 16}, "train": {"lr": rate}}
            store.claim(driver, new_run(str(rate), config=config))
            counts.append(answers())
    assert counts == [[0, 1, 0], [1, 2, 0], [1, 3, 1], [2, 4, 1], [2, 5, 1]]


def test_task_settings(filled: Store) -> None:
    table = task_settings(filled)
    assert list(table.runs) == [6, 1, 1]
    assert table.protocol[0] == "standard"
    assert set(table.protocol) == {"standard", "quick"}


def test_cells_are_of_one_setting_and_one_protocol(filled: Store, setting: str) -> None:
    table = cells(filled, setting, "standard")
    assert list(table.columns) == [
        "weights", "function", "optimizer", "spec", "n", "best", "mean", "std", "diverged",
        "still_rising", "configs", "rates",
    ]  # fmt: skip
    rows = table.set_index("spec")
    assert list(rows.index) == [NORMALIZED, "Gate | Linear | SGD", "Decay | Linear | SGD"]
    gate = rows.loc["Gate | Linear | SGD"]
    assert (gate.weights, gate.function, gate.optimizer) == ("Gate", "Linear", "SGD")
    assert (gate.n, gate.best, gate.diverged, gate.configs, gate.rates) == (2, 0.7, 1, 1, 3)
    assert (gate["mean"], gate["std"]) == (pytest.approx(0.6), pytest.approx(0.1414, abs=1e-4))
    assert (rows.n.iloc[-1], rows.diverged.iloc[-1]) == (0, 1)
    assert list(cells(filled, setting, "quick").best) == [1.0]
    assert cells(filled, "{}", "standard", "accuracy").empty
    with pytest.raises(StoreError, match="known: mqar"):
        cells(filled, '{"name": "gone"}', "standard")
    assert cells(filled, setting, "standard", frame="paper").empty
    assert len(cells(filled, setting, "standard", settings={"train.lr": 0.01})) == 3
    assert cells(filled, setting, "standard", "error").best.isna().all()
    with pytest.raises(StoreError, match=r"valid: accuracy, error, .*loss"):
        cells(filled, setting, "standard", "speed; DROP TABLE runs")


def test_archived_runs_are_in_no_cell(filled: Store, setting: str) -> None:
    best = queries.runs(filled, Conditions(spec=NORMALIZED)).run_id.to_list()
    filled.archive(best)
    assert NORMALIZED not in set(cells(filled, setting, "standard").spec)
    filled.restore(best)


def test_a_seed_that_was_run_twice_counts_once(tmp_path: Path) -> None:
    """A mean over seeds hears each seed once; the newest run speaks for it."""
    store = open_store(tmp_path / "runs.duckdb")
    spec = "Gate | Linear | SGD"
    with store.driver() as driver:
        for seed, accuracy in ((0, 0.25), (1, 0.5), (0, 0.75)):
            asked = config(spec, 8, "standard", seed)
            run = NewRun(asked, str(asked), None, spec, "standard", "mqar", seed, "cpu", "standard")
            run_id = str(store.claim(driver, run, fresh=True).run_id)
            store.finish(run_id, Outcome("finished", {"accuracy": accuracy}, metric=MQAR.main()))
    group = grouped(store).iloc[0]
    assert (group["n"], sorted(group["seeds"])) == (2, [0, 1])
    assert group["accuracy_mean"] == 0.625
    (setting,) = task_settings(store)["setting"]
    cell = cells(store, setting, "standard").iloc[0]
    assert (cell["n"], cell["mean"]) == (2, 0.625)
