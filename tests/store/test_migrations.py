"""Old files are brought up to date, once, after a backup, or stay as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from experiments_db.read import queries
from experiments_db.store import Outcome, Store, StoreError, open_store
from experiments_db.store.migrations import SCHEMA, migrations

SECOND = """
ALTER TABLE results ADD COLUMN joules DOUBLE;
COMMENT ON COLUMN results.joules IS 'Energy, joules.';
UPDATE results SET joules = seconds * 15;
"""


@pytest.fixture
def next_schema(tmp_path: Path) -> Path:
    folder = tmp_path / "schema"
    shutil.copytree(SCHEMA, folder)
    (folder / f"{len(migrations()) + 1:03d}_energy.sql").write_text(SECOND)
    return folder


@pytest.fixture
def old(store: Store, new_run) -> Store:
    with store.driver() as driver:
        for i in range(3):
            run_id = store.claim(driver, new_run(f"h{i}")).run_id
            store.finish(run_id, Outcome("finished", seconds=2.0))
    return store


def joules(store: Store) -> list[float]:
    with store.open() as connection:
        return [row[0] for row in connection.execute("SELECT joules FROM results").fetchall()]


def test_a_real_file_is_brought_up_to_date(old: Store, next_schema: Path) -> None:
    newest = len(migrations())
    updated = Store(old.path, schema=next_schema)
    assert joules(updated) == [30.0] * 3  # reading is enough
    assert len(queries.runs(updated)) == 3
    (saved,) = old.path.parent.glob(f"runs.schema-{newest}-*.duckdb")
    backup = open_store(saved)
    assert len(queries.runs(backup)) == 3
    with updated.open() as connection:
        steps = connection.execute("SELECT version, name FROM schema_version").fetchall()
    assert steps[-1] == (newest + 1, f"{newest + 1:03d}_energy.sql")
    updated.star(list(queries.runs(updated).run_id))
    assert len(list(old.path.parent.glob("runs.schema-*.duckdb"))) == 1
    with pytest.raises(StoreError, match="newer version of this project"):
        queries.runs(old)


def test_a_failing_step_changes_nothing(old: Store, next_schema: Path) -> None:
    (step,) = next_schema.glob("*_energy.sql")
    step.write_text(SECOND + "SELECT no_such_column FROM runs;")
    with pytest.raises(duckdb.BinderException):
        queries.runs(Store(old.path, schema=next_schema))
    assert len(queries.runs(old)) == 3
    with old.open() as connection:
        columns = [c[0] for c in connection.execute("SELECT * FROM results").description]
        newest = connection.execute("SELECT max(version) FROM schema_version").fetchone()[0]
    assert "joules" not in columns
    assert newest == len(migrations())


def test_a_read_only_store_is_not_brought_up_to_date(old: Store, next_schema: Path) -> None:
    before = old.path.read_bytes()
    with pytest.raises(StoreError, match="open it once without TTR_READONLY"):
        queries.runs(Store(old.path, readonly=True, schema=next_schema))
    assert old.path.read_bytes() == before
    assert list(old.path.parent.glob("runs.schema-*.duckdb")) == []


def test_many_processes_meet_an_old_file(old: Store, next_schema: Path, child) -> None:
    lines = "store = Store(store.path, schema=Path(sys.argv[2]))\nstore.driver()\nsay('ok')\n"
    processes = [child(lines, str(next_schema)) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == ["ok\n"] * 3
    assert len(list(old.path.parent.glob("runs.schema-*.duckdb"))) == 1


def test_numbers_have_no_gaps(tmp_path: Path) -> None:
    for name in ("001_a.sql", "003_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(StoreError, match=r"not numbered 1, 2, 3, \.\.\.: 001_a.sql, 003_b.sql"):
        migrations(tmp_path)
    with pytest.raises(StoreError, match="none"):
        migrations(tmp_path / "missing")
