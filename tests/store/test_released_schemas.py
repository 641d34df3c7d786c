"""Files that released versions wrote are brought up to date with everything in them."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import duckdb
import pytest

from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.store import NewRun, Outcome, Store, open_store
from experiments_db.store.backup import import_runs
from experiments_db.store.migrations import migrations
from ttr_core.lab import TASKS

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("schema_*.duckdb.gz"))


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments_db.store.store.INTERVAL", 0.0)


@pytest.fixture(params=FILES, ids=lambda file: file.name.split(".")[0])
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store as a released version left it: runs of every status, tags, notes, an archived one."""
    place = tmp_path / "runs.duckdb"
    place.write_bytes(gzip.decompress(request.param.read_bytes()))
    return place


def rows_of(path: Path) -> dict[str, list[tuple]]:
    """Returns the rows of every table by its columns of old, read without this program."""
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        kept = [name for name in tables if name not in ("run_rows", "schema_version")]
        return {name: connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in kept}


def test_every_released_schema_has_a_file() -> None:
    assert len(FILES) >= len(migrations()) - 1  # the newest is written by the tests themselves


def test_nothing_is_lost(released: Path) -> None:
    before = rows_of(released)
    store = open_store(released)
    table = queries.runs(store, Conditions(archived=True), limit=1000)
    after = rows_of(released)
    assert set(before) <= set(after)
    for name, rows in before.items():
        width = len(rows[0]) if rows else 0
        assert sorted(map(str, rows)) == sorted(str(row[:width]) for row in after[name])
    (saved,) = released.parent.glob("runs.schema-*.duckdb")
    assert {k: sorted(map(str, v)) for k, v in rows_of(saved).items()} == {
        k: sorted(map(str, v)) for k, v in before.items()
    }
    assert set(table.status) == {"finished", "diverged", "failed", "cancelled", "interrupted"}
    assert table.archived.sum() == 1


def test_what_is_computed_for_old_runs_is_what_new_runs_get(released: Path) -> None:
    old = open_store(released)
    table = queries.runs(old, Conditions(archived=True), limit=1000)
    points = queries.curves(old, list(table.run_id))
    new = open_store(released.with_name("new.duckdb"))
    with new.driver() as driver:
        for row in table.to_dict("records"):
            run = NewRun(
                json.loads(row["config"]), row["config_hash"], row["layer"], row["spec"],
                row["frame"], row["task"], row["seed"], row["device"], row["protocol"],
            )  # fmt: skip
            curves = {
                name: part[["step", "value"]].values.tolist()
                for name, part in points[points.run_id == row["run_id"]].groupby("name")
            }
            metric = TASKS[row["task"]].main()
            claim = new.claim(driver, run, fresh=True)
            new.finish(str(claim.run_id), Outcome("finished", curves=curves, metric=metric))
    again = queries.runs(new, limit=1000)
    columns = ["last", "best", "best_step", "config_group"]
    assert facts(again, columns) == facts(table[table.status.notna()], columns)
    assert table.best.notna().sum() >= 3


def facts(table, columns: list[str]) -> list[tuple]:
    """Returns the rows as comparable tuples, in an order of their own."""
    rows = table[columns].astype(object).where(table[columns].notna(), None).values.tolist()
    return sorted(
        (
            tuple(v if not isinstance(v, float) or math.isfinite(v) else None for v in row)
            for row in rows
        ),
        key=str,
    )


def test_an_old_store_goes_on(released: Path, new_run) -> None:
    store = Store(released)
    known = len(queries.runs(store, Conditions(archived=True)))
    with store.driver() as driver:
        store.finish(str(store.claim(driver, new_run("new")).run_id), Outcome("finished"))
    assert len(queries.runs(store, Conditions(archived=True))) == known + 1
    fresh = open_store(released.with_name("fresh.duckdb"))
    assert import_runs(fresh, released) == known + 1


def test_an_old_backup_can_be_imported(released: Path) -> None:
    before = released.read_bytes()
    fresh = open_store(released.with_name("fresh.duckdb"))
    assert import_runs(fresh, released) == len(queries.runs(fresh, Conditions(archived=True)))
    assert released.read_bytes() == before
