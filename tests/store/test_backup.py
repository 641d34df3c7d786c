"""Backup, restore, import: everything arrives once, nothing is overwritten unasked."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from experiments_db.read import queries
from experiments_db.read.filters import Conditions
from experiments_db.store import Outcome, Store, StoreError, open_store
from experiments_db.store.backup import backup, import_runs, restore


@pytest.fixture
def filled(store: Store, new_run) -> Store:
    with store.driver() as driver:
        for i in range(3):
            run_id = store.claim(driver, new_run(f"h{i}", seed=i, tags=[f"t{i}"])).run_id
            curves = {"train_loss": [[1, 0.5], [2, 0.25]]}
            store.finish(run_id, Outcome("finished", {"accuracy": i / 4}, curves=curves))
            store.set_note([run_id], f"note {i}")
    return store


def everything(store: Store) -> list[pd.DataFrame]:
    table = queries.runs(store, Conditions(archived=True), order="run_id")
    return [table, queries.curves(store, list(table.run_id))]


def same(a: Store, b: Store) -> None:
    for left, right in zip(everything(a), everything(b), strict=True):
        pd.testing.assert_frame_equal(left, right)


def test_a_backup_is_a_store(filled: Store, tmp_path: Path) -> None:
    place = backup(filled, tmp_path / "deep" / "it's a copy.duckdb")
    same(filled, open_store(place))
    with duckdb.connect(str(place), read_only=True) as connection:
        comment = connection.execute(
            "SELECT comment FROM duckdb_columns() "
            "WHERE table_name = 'runs' AND column_name = 'seed'"
        ).fetchone()
    assert comment == ("Seed of every generator.",)
    assert [p.name for p in place.parent.iterdir() if p.suffix == ".wal"] == []


def test_a_backup_includes_what_is_only_in_the_log(filled: Store, tmp_path: Path, child) -> None:
    lines = """
import os, signal
with store.open(write=True) as connection:
    connection.execute("UPDATE marks SET note = 'only in the log'")
    say("committed")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child(lines).communicate()
    assert Path(f"{filled.path}.wal").stat().st_size > 0
    copy = open_store(backup(filled, tmp_path / "copy.duckdb"))
    assert set(queries.runs(copy).note) == {"only in the log"}


def test_backup_refuses(filled: Store, tmp_path: Path) -> None:
    alias = tmp_path / "alias.duckdb"
    alias.hardlink_to(filled.path)
    for own in (filled.path, alias):
        with pytest.raises(StoreError, match="is the store itself"):
            backup(filled, own, overwrite=True)
    place = backup(filled, tmp_path / "copy.duckdb")
    with pytest.raises(StoreError, match="exists already"):
        backup(filled, place)
    backup(filled, place, overwrite=True)
    with pytest.raises(StoreError, match="There is no store"):
        backup(open_store(tmp_path / "none.duckdb"), tmp_path / "x.duckdb")
    with pytest.raises(StoreError, match="Cannot create the folder"):
        backup(filled, place / "below" / "x.duckdb")


def test_restore_is_the_inverse(filled: Store, tmp_path: Path) -> None:
    place = backup(filled, tmp_path / "copy.duckdb")
    fresh = open_store(tmp_path / "elsewhere" / "runs.duckdb")
    assert restore(place, fresh) is None
    same(filled, fresh)
    fresh.delete(list(queries.runs(fresh).run_id))
    with pytest.raises(StoreError, match="exists already"):
        restore(place, fresh)
    aside = restore(place, fresh, overwrite=True)
    same(filled, fresh)
    assert queries.runs(open_store(aside)).empty


def test_restore_replaces_a_damaged_store(filled: Store, tmp_path: Path) -> None:
    place = backup(filled, tmp_path / "copy.duckdb")
    filled.path.write_bytes(b"rubbish")
    aside = restore(place, filled, overwrite=True)
    assert len(queries.runs(filled)) == 3
    assert aside.read_bytes() == b"rubbish"


def test_restore_refuses(filled: Store, tmp_path: Path) -> None:
    alias = tmp_path / "alias.duckdb"
    alias.hardlink_to(filled.path)
    for own in (filled.path, alias):
        with pytest.raises(StoreError, match="is the store itself"):
            restore(own, filled, overwrite=True)
        with pytest.raises(StoreError, match="is the store itself"):
            import_runs(filled, own)
    place = backup(filled, tmp_path / "copy.duckdb")
    with filled.driver() as driver, pytest.raises(StoreError, match=f"{driver.id} drives the runs"):
        restore(place, filled, overwrite=True)
    with pytest.raises(StoreError, match="is read-only here"):
        restore(place, Store(filled.path, readonly=True), overwrite=True)
    before = filled.path.read_bytes()
    (tmp_path / "text.duckdb").write_text("hello")
    for bad in ("text.duckdb", "missing.duckdb"):
        with pytest.raises(StoreError, match=bad):
            restore(tmp_path / bad, filled, overwrite=True)
    assert filled.path.read_bytes() == before
    assert list(tmp_path.glob(".*")) == []


def test_import_adds_what_is_missing(filled: Store, tmp_path: Path, new_run) -> None:
    place = backup(filled, tmp_path / "copy.duckdb")
    other = open_store(place)
    with other.driver() as driver:
        extra = other.claim(driver, new_run("h9", tags=["far"])).run_id
        unfinished = other.claim(driver, new_run("h10")).run_id
        other.finish(extra, Outcome("finished", curves={"train_loss": [[1, 1.0]]}))
        assert import_runs(filled, place).added == 2
        assert import_runs(filled, place).added == 0
        assert queries.run(filled, unfinished)["status"] == "interrupted"
        other.finish(unfinished, Outcome("diverged"))
    assert import_runs(filled, place).added == 0
    same(filled, other)
    assert len(queries.runs(filled)) == 5


def test_import_keeps_what_is_here(filled: Store, tmp_path: Path) -> None:
    place = backup(filled, tmp_path / "copy.duckdb")
    run_id = queries.runs(filled).run_id[0]
    filled.set_note([run_id], "newer")
    filled.tag([run_id], ["newer"])
    assert import_runs(filled, place).added == 0
    row = queries.run(filled, run_id)
    assert (row["note"], "newer" in row["tags"]) == ("newer", True)


def test_import_refuses(filled: Store, tmp_path: Path) -> None:
    for bad in (filled.path, tmp_path / "missing.duckdb"):
        with pytest.raises(StoreError):
            import_runs(filled, bad)
    with duckdb.connect(str(tmp_path / "foreign.duckdb")) as connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
    with pytest.raises(StoreError, match=r"foreign.duckdb is a DuckDB database, but holds no runs"):
        import_runs(filled, tmp_path / "foreign.duckdb")
    assert len(queries.runs(filled)) == 3
