"""Runs that are carried from one store to another as a Parquet file, or by a store of their own."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from experiments_db.read import export, queries
from experiments_db.read.filters import Conditions
from experiments_db.run import outcomes
from experiments_db.run.request import config_hash, request
from experiments_db.store import NewRun, Outcome, Store, StoreError, open_store
from experiments_db.store.backup import import_runs
from tests.store.conftest import run_like

EVERY = Conditions(archived=True)


def asked_for(seed: int = 0, layer: str = "deltanet") -> NewRun:
    experiment = request(layer=layer, seed=seed, sets={"pairs": 4}, device="cpu")
    return outcomes.new_run(experiment, experiment.config(), ["t"])


def ended(store: Store, run: NewRun, status: str = "finished", accuracy: float = 0.5) -> str:
    with store.driver() as driver:
        run_id = str(store.claim(driver, run, fresh=True).run_id)
        curves = {"accuracy": [[20, 0.25], [40, accuracy]], "train_loss": [[1, 9.0], [2, math.nan]]}
        tables = {"learning_rates": [{"lr": 0.01, "accuracy": accuracy, "diverged": False}]}
        loss = math.nan if status == "diverged" else 0.25
        store.finish(
            run_id,
            Outcome(
                status,
                {"accuracy": accuracy, "loss": loss, "cpu_seconds": 1.5},
                {"gap": {"2-3": 0.5}},
                curves,
                tables,
                steps=40,
                seconds=2.0,
                lr=0.01,
                lrs_tried=[0.01, 0.03],
                error="=said" if status == "failed" else None,
                metric=request(layer="deltanet").task.main(),
            ),
        )
    return run_id


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store with a run of every ending and one that goes on; the same as Parquet."""
    made = open_store(tmp_path_factory.mktemp("kept") / "runs.duckdb")
    statuses = ("finished", "diverged", "failed", "cancelled")
    ids = [ended(made, asked_for(seed), status) for seed, status in enumerate(statuses)]
    with made.driver() as driver:
        ids.append(str(made.claim(driver, asked_for(9)).run_id))
    made.set_note(ids[:2], "a note")
    made.star(ids[1:2])
    made.archive(ids[2:3])
    return made.path, export.write_runs(made, made.path.with_name("runs.parquet"))


@pytest.fixture
def whole(kept: tuple[Path, Path]) -> Path:
    return kept[1]


@pytest.fixture
def far(kept: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("experiments_db.store.store.INTERVAL", 0.0)
    (tmp_path / "far").mkdir()
    for file in kept[0].parent.glob("runs.duckdb*"):
        if file.is_file():
            shutil.copy(file, tmp_path / "far")
    return open_store(tmp_path / "far" / "runs.duckdb")


def rows_of(store: Store) -> list[dict[str, Any]]:
    table = queries.runs(store, EVERY, flat=True)
    plain = [{k: export.plain(v) for k, v in row.items()} for row in table.to_dict("records")]
    for row in plain:
        run_id = row["run_id"]
        curves = queries.curves(store, run_id)
        row["curves"] = [[export.plain(v) for v in point] for point in curves.to_numpy().tolist()]
        row["tables"] = {k: v.to_dict("records") for k, v in queries.tables(store, run_id).items()}
    return plain


def test_runs_exported_as_parquet_come_in_as_they_were(
    store: Store, far: Store, whole: Path, tmp_path: Path
) -> None:
    assert import_runs(store, whole).added == 5
    unfinished, *ended = rows_of(store)
    assert ended == rows_of(far)[1:]
    assert (unfinished["status"], unfinished["seed"]) == ("interrupted", 9)
    assert import_runs(store, whole).added == 0
    again = parquet.read_table(export.write_runs(store, tmp_path / "again.parquet"))
    assert [row["curves"] for row in again.to_pylist()][1] == [
        {"name": "accuracy", "steps": [20, 40], "values": [0.25, 0.5]},
        {
            "name": "train_loss",
            "steps": [1, 2],
            "values": [9.0, None],
        },
    ]


@pytest.mark.parametrize("carry", ["parquet", "store"])
def test_a_run_that_is_here_by_its_fingerprint_does_not_come_in_again(
    store: Store, far: Store, whole: Path, carry: str
) -> None:
    mine = ended(store, asked_for(0), accuracy=0.75)
    file = whole if carry == "parquet" else far.path
    done = import_runs(store, file)
    assert (done.added, done.answered) == (4, 1)
    held = queries.same_config(store, asked_for(0).config_hash)
    assert list(held.run_id) == [mine]
    assert import_runs(store, file).added == 0


def test_repetitions_that_were_wanted_come_in_together(store: Store, far: Store) -> None:
    ended(far, asked_for(0))
    assert import_runs(store, far.path).added == 6
    assert len(queries.same_config(store, asked_for(0).config_hash)) == 2


def test_what_follows_from_a_config_is_computed_here(
    store: Store, whole: Path, tmp_path: Path
) -> None:
    """A file that says of a run that it is another one does not answer for that other one."""
    lying = parquet.read_table(whole)
    other = asked_for(0, "gla").config_hash
    place = lying.column_names.index("config_hash")
    lies = pa.array([other] * len(lying))
    parquet.write_table(lying.set_column(place, "config_hash", lies), tmp_path / "lies.parquet")
    import_runs(store, tmp_path / "lies.parquet")
    assert queries.same_config(store, other).empty
    for row in rows_of(store):
        assert row["config_hash"] == config_hash(json.loads(row["config"]))


def test_lies_in_a_store_are_not_believed_either(store: Store, far: Store) -> None:
    other = asked_for(0, "gla").config_hash
    with far.open(write=True) as connection:
        connection.execute("UPDATE runs SET config_hash = ?", [other])
    import_runs(store, far.path)
    assert queries.same_config(store, other).empty


SPOILED = {
    "accuracy": (1.5, r"has accuracy '1\.5', which no run can have"),
    "task": ("recall", "has task 'recall', and another one in its config"),
    "seed": (3_000_000_000, "has seed '3000000000'"),
    "status": ("done", "ended as 'done'"),
    "run_id": ("\x1b[2J", r"run '\\x1b\[2J' has run_id"),
    "metrics": ("[1]", "has metrics"),
    "config": ("no JSON", "rows in runs that no store has|rows in whole that no store has"),
    "steps": (-1, "has steps '-1'"),
    "tags": ([""], "has tag ''"),
    "note": ("x" * 20_001, "has note"),
    "started_at": ("yesterday", "column started_at is string instead of timestamp"),
    "curves": (
        [{"name": "accuracy", "steps": [1, 2], "values": [0.5]}],
        "has steps",
    ),
}


@pytest.mark.parametrize("column", SPOILED)
def test_a_row_that_no_store_has_refuses_the_file(
    store: Store, whole: Path, tmp_path: Path, column: str
) -> None:
    table = parquet.read_table(whole)
    value, words = SPOILED[column]
    place = table.column_names.index(column)
    values = [*table.column(column).to_pylist()[:-1], value]
    kept = table.schema.field(column).type if not isinstance(value, str) else pa.string()
    if isinstance(value, str):
        values = [*[None] * (len(values) - 1), value] if column == "started_at" else values
    wrong = table.set_column(place, column, pa.array(values, kept))
    parquet.write_table(wrong, tmp_path / "wrong.parquet")
    with pytest.raises(StoreError, match=words) as refusal:
        import_runs(store, tmp_path / "wrong.parquet")
    assert "wrong.parquet" in str(refusal.value)
    assert "\x1b" not in str(refusal.value)
    assert queries.runs(store, EVERY).empty


def test_a_file_without_whole_runs_is_refused(store: Store, whole: Path, tmp_path: Path) -> None:
    groups = export.write(pd.DataFrame({"layer": ["gla"], "n": [3]}), tmp_path / "groups.parquet")
    with pytest.raises(StoreError, match=r"groups\.parquet holds no whole runs: it has no column"):
        import_runs(store, groups)
    found = whole.read_bytes()
    for size in (4, len(found) // 2):
        (tmp_path / "cut.parquet").write_bytes(found[:size])
        with pytest.raises(StoreError, match=r"cut\.parquet cannot be read: it is damaged"):
            import_runs(store, tmp_path / "cut.parquet")


def test_only_parquet_holds_whole_runs(far: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"use \.parquet"):
        export.write_runs(far, tmp_path / "runs.csv")


def test_no_runs_can_be_carried(store: Store, tmp_path: Path) -> None:
    file = export.write_runs(store, tmp_path / "none.parquet")
    assert import_runs(store, file).added == 0


def test_runs_of_other_programs_keep_their_hash(store: Store, far: Store, tmp_path: Path) -> None:
    ended(far, run_like("foreign"))
    import_runs(store, export.write_runs(far, tmp_path / "runs.parquet"))
    assert len(queries.same_config(store, "foreign")) == 1
