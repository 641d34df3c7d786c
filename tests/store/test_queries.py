"""Questions: every condition, the order, the window, and no way to smuggle SQL in."""

from __future__ import annotations

import json

import pytest

from experiments_db.read import grouping, measures, queries
from experiments_db.read.filters import Conditions
from experiments_db.store import NewRun, Outcome, Store, StoreError, open_store
from ttr_core.lab import Metric, metrics

NASTY = "x'; DROP TABLE runs; --"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four runs; who changes one changes it back."""
    store = open_store(tmp_path_factory.mktemp("queries") / "runs.duckdb")
    with store.driver() as driver:
        for i, layer in enumerate(["gla", "deltanet", None, NASTY]):
            task = {"name": "mqar", "pairs": 8 * (i + 1), "variant": "repeat", "mix": i % 2 == 0}
            config = {"task": task, "model": {"layers": ["a", "b"], "kv_heads": None}, "train": {}}
            run = NewRun(
                config=config,
                config_hash=f"h{i}",
                layer=layer,
                spec="Decay x Linear x Hebbian",
                frame="standard",
                task="mqar",
                seed=i,
                device="cpu",
                tags=[f"t_{i}", "all"],
            )
            run_id = store.claim(driver, run).run_id
            if i < 3:
                metrics = {"accuracy": i / 4} if i else {}
                by = {"gap": {"2-3": 0.5, "4-7": 0.25}}
                store.finish(run_id, Outcome("finished", metrics, by))
    return store


@pytest.mark.parametrize(
    ("conditions", "seeds"),
    [
        ({}, [3, 2, 1, 0]),
        ({"layer": "gla"}, [0]),
        ({"layer": ["gla", "deltanet"]}, [1, 0]),
        ({"layer": []}, []),
        ({"layer": NASTY}, [3]),
        ({"seed": [0, 3]}, [3, 0]),
        ({"seed": 2}, [2]),
        ({"status": "interrupted"}, [3]),
        ({"status": ["finished", "running"]}, [2, 1, 0]),
        ({"tags": "all"}, [3, 2, 1, 0]),
        ({"tags": ["all", "t_1"]}, [1]),
        ({"tags": ["t_0", "t_1"]}, []),
        ({"config_hash": "h2"}, [2]),
        ({"settings": {"task.pairs": 16}}, [1]),
        ({"settings": {"task.pairs": 16.0, "task.variant": "repeat"}}, [1]),
        ({"settings": {"task.mix": True}}, [2, 0]),
        ({"settings": {"model.kv_heads": None}}, [3, 2, 1, 0]),
        ({"settings": {NASTY: 1}}, []),
        ({"settings": {'task."pairs': 8}}, []),
        ({"text": "DELTA"}, [1]),
        ({"text": "T_2"}, [2]),
        ({"text": "DROP table"}, [3]),
        ({"text": "%"}, []),
        ({"starred": False}, [3, 2, 1, 0]),
        ({"starred": True}, []),
        ({"task": "mqar", "frame": "standard", "device": "cpu", "protocol": "quick"}, [3, 2, 1, 0]),
        ({"spec": "another"}, []),
    ],
    ids=str,
)
def test_conditions(filled: Store, conditions: dict, seeds: list[int]) -> None:
    assert list(queries.runs(filled, Conditions(**conditions)).seed) == seeds


@pytest.mark.parametrize(
    ("window", "seeds"),
    [
        ({"order": "seed", "descending": False, "limit": 2}, [0, 1]),
        ({"order": "seed", "limit": 2, "offset": 1}, [2, 1]),
        ({"order": "accuracy"}, [2, 1, 3, 0]),
        ({"limit": 0}, []),
    ],
    ids=str,
)
def test_order_and_window(filled: Store, window: dict, seeds: list[int]) -> None:
    assert list(queries.runs(filled, **window).seed) == seeds


def test_settings_become_columns(filled: Store) -> None:
    table = queries.runs(filled, flat=True, order="seed", descending=False)
    assert list(table["task.pairs"]) == [8, 16, 24, 32]
    assert list(table["model.layers"]) == ["a, b"] * 4
    assert "task.name" not in table
    columns = queries.columns(filled)
    assert list(table.columns[: len(columns)]) == columns
    assert len(queries.runs(filled, Conditions(seed=77), flat=True)) == 0


def test_the_columns_that_were_promised(filled: Store) -> None:
    promised = (
        "run_id status layer spec frame task seed device protocol accuracy error loss steps "
        "seconds seconds_to_target parameters state_size lr lrs_tried accuracy_by config "
        "config_hash started_at finished_at tags note starred archived host pid driver versions "
        "message"
    )
    assert set(promised.split()) <= set(queries.columns(filled))


def test_an_unknown_order_is_refused(filled: Store) -> None:
    with pytest.raises(StoreError, match="cannot be sorted by"):
        queries.runs(filled, order="seed; DROP TABLE runs")


def test_a_run_by_the_beginning_of_its_id(filled: Store) -> None:
    ids = list(queries.runs(filled).run_id)
    assert queries.run(filled, ids[0])["run_id"] == ids[0]
    assert queries.run(filled, ids[0][:-1])["run_id"] == ids[0]
    assert queries.run(filled, ids[0][:8]) is None  # they all began today
    assert queries.run(filled, "") is None
    assert queries.run(filled, "nobody") is None
    filled.archive([ids[0]])
    assert queries.run(filled, ids[0])["archived"] is True
    filled.restore([ids[0]])


def test_a_run_is_plain_python(filled: Store) -> None:
    row = queries.run(filled, queries.runs(filled, Conditions(seed=1)).run_id[0])
    assert row["accuracy"] == 0.25
    assert row["error"] is None
    assert isinstance(row["seed"], int)
    assert isinstance(row["config"], dict)
    assert json.dumps({k: v for k, v in row.items() if not k.endswith("_at")})


def test_accuracy_by_group(filled: Store) -> None:
    run_id = queries.runs(filled, Conditions(seed=1)).run_id[0]
    assert queries.metrics_by(filled, run_id).to_dict("records") == [
        {"by": "gap", "group": "2-3", "value": 0.5},
        {"by": "gap", "group": "4-7", "value": 0.25},
    ]
    assert queries.metrics_by(filled, "nobody").empty
    assert queries.tables(filled, "nobody") == {}


def test_counts_and_repetitions(filled: Store) -> None:
    assert queries.counts(filled).to_dict("records") == [
        {"status": "finished", "runs": 3},
        {"status": "interrupted", "runs": 1},
    ]
    assert len(queries.same_config(filled, "h1")) == 1
    assert queries.curves(filled, None).empty
    assert list(queries.curves(filled, []).columns) == ["run_id", "name", "step", "value"]


def test_data_version_follows_changes_and_only_them(filled: Store) -> None:
    before = queries.data_version(filled)
    queries.runs(filled)
    assert queries.data_version(filled) == before
    filled.set_note([queries.runs(filled).run_id[0]], "changed")
    after = queries.data_version(filled)
    assert after != before
    with filled.driver():
        assert queries.data_version(filled) != after


def test_no_metric_is_called_as_a_column_or_a_word_of_sql(filled: Store) -> None:
    """One that was would end every question that is put to the store."""
    with filled.open() as connection:
        words = connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
        ).fetchall()
    columns = {*queries.runs(filled).columns, *grouping.grouped(filled).columns}
    summaries = {name for name in columns if measures.metric_of(name) or name.endswith("_n")}
    taken = {*columns, *(word for (word,) in words)} - {*metrics()} - summaries
    for name in taken - {"best_mean", "best_std", "best_min", "best_max"}:
        with pytest.raises(ValueError, match="A metric is called"):
            Metric(name)
