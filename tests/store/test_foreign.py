"""A file that somebody else made is data: nothing of it is run."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import duckdb
import pytest

from experiments_db.read import queries
from experiments_db.store import Outcome, Store, StoreError, foreign, open_store
from experiments_db.store.backup import backup, import_runs, restore
from experiments_db.store.migrations import SCHEMA, migrations
from tests.store.conftest import run_like

SECRET = "the content of a file of mine"
USES = (import_runs, lambda store, file: restore(file, store, overwrite=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a backup of it."""
    store = open_store(tmp_path_factory.mktemp("foreign") / "runs.duckdb")
    with store.driver() as driver:
        run_id = store.claim(driver, run_like(tags=["t"])).run_id
        store.finish(run_id, Outcome("finished", {"accuracy": 0.5}, curves={"c": [[1, 2.0]]}))
        store.set_note([run_id], "a note")
    return backup(store, store.path.with_name("copy.duckdb")).parent


@pytest.fixture
def filled(store: Store, made: Path) -> Store:
    shutil.copy(made / "runs.duckdb", store.path)
    return store


@pytest.fixture
def file(filled: Store, made: Path, tmp_path: Path) -> Path:
    """Another store, which somebody may have changed."""
    (tmp_path / "far").mkdir()
    (tmp_path / "secret").write_text(SECRET)
    return Path(shutil.copy(made / "copy.duckdb", tmp_path / "far"))


def changed(file: Path, *statements: str) -> None:
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)


LEAK = "(SELECT content FROM read_text('{folder}/secret'))"

SPOILED = {
    "a view in the place of a table": (
        "ALTER TABLE marks RENAME TO marked",
        f"CREATE VIEW marks AS SELECT run_id, {LEAK} AS note, starred, archived FROM marked",
        "has a view of its own, 'marks'",
    ),
    "a view in another schema": (
        "CREATE SCHEMA elsewhere",
        f"CREATE VIEW elsewhere.runs AS SELECT {LEAK} AS x",
        "has a view of its own, 'runs'",
    ),
    "a macro": (
        f"CREATE MACRO max(x) AS {LEAK}",
        "has a macro of its own, 'max'",
    ),
    "a table macro that hides a catalog": (
        "CREATE MACRO duckdb_views() AS TABLE SELECT 'x' AS view_name WHERE false",
        "has a macro of its own, 'duckdb_views'",
    ),
    "a type": ("CREATE TYPE mood AS ENUM ('a')", "has a type of its own, 'mood'"),
    "a generated column": (
        "DROP VIEW run_rows",
        "CREATE TABLE more AS SELECT run_id, starred, archived FROM marks",
        "DROP TABLE marks",
        "CREATE TABLE marks (run_id VARCHAR, starred BOOLEAN, archived BOOLEAN, "
        "note VARCHAR GENERATED ALWAYS AS (upper(run_id)))",
        "table marks has 'a generated column'",
    ),
    "a column too many": (
        "DROP VIEW run_rows",
        "ALTER TABLE runs ADD COLUMN more VARCHAR",
        "table runs has 'more'",
    ),
    "a column too few": (
        "DROP VIEW run_rows",
        "ALTER TABLE results DROP COLUMN loss",
        "column results.loss is missing",
    ),
    "a wrong type": (
        "DROP VIEW run_rows",
        "ALTER TABLE runs ALTER seed TYPE VARCHAR",
        "column runs.seed is VARCHAR instead of BIGINT",
    ),
    "a table too few": ("DROP VIEW run_rows", "DROP TABLE tags", "has no table 'tags'"),
    "a run twice": ("INSERT INTO runs SELECT * FROM runs", "runs has run"),
    "an unknown ending": ("UPDATE results SET status = 'won'", "ended as 'won'"),
    "no version": ("DELETE FROM schema_version", "holds no runs of this project"),
    "a version as a view": (
        "DROP TABLE schema_version",
        f"CREATE VIEW schema_version AS SELECT length({LEAK}) AS version",
        "holds no runs of this project",
    ),
    "a newer version": (
        "INSERT INTO schema_version VALUES (99, 'x', now()::TIMESTAMP)",
        "by a newer version of this project (its schema is 99",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_file_that_holds_more_or_less_than_rows_is_refused(
    filled: Store, file: Path, tmp_path: Path, name: str
) -> None:
    *statements, words = SPOILED[name]
    changed(file, *(statement.replace("{folder}", str(tmp_path)) for statement in statements))
    before = filled.path.read_bytes()
    for use in USES:
        with pytest.raises(StoreError) as refusal:
            use(filled, file)
        assert words in str(refusal.value)
        assert str(file) in str(refusal.value)
        assert SECRET not in str(refusal.value)
    assert filled.path.read_bytes() == before
    assert list(tmp_path.rglob(".*")) == []


def test_what_a_view_reads_does_not_get_into_a_note(
    filled: Store, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the views of a file are not looked at, its statements reach no other file."""
    *statements, _ = SPOILED["a view in the place of a table"]
    changed(file, *(statement.replace("{folder}", str(tmp_path)) for statement in statements))
    careless = tmp_path / "careless.py"
    reader = foreign.READER.read_text()
    for sure, unsure in (
        ("    _check_plain(connection)\n", ""),
        (
            "        if table in columns:\n",
            "        if columns.setdefault(table, {}) is not None:\n",
        ),
    ):
        assert sure in reader
        reader = reader.replace(sure, unsure)
    careless.write_text(reader)
    monkeypatch.setattr(foreign, "READER", careless)
    filled.delete(list(queries.runs(filled).run_id))
    with pytest.raises(StoreError, match="disabled by configuration"):
        import_runs(filled, file)
    assert queries.runs(filled).empty


def test_what_a_child_may_use_is_limited_by_the_operating_system(
    filled: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(foreign.LIMITS, "RLIMIT_AS", 200 * 2**20)
    with pytest.raises(StoreError, match="could not be read"):
        import_runs(filled, file)
    monkeypatch.undo()
    monkeypatch.setitem(foreign.LIMITS, "RLIMIT_FSIZE", 100)
    with pytest.raises(StoreError, match=r"cannot be copied: .*File too large"):
        import_runs(filled, file)
    monkeypatch.undo()
    monkeypatch.setattr(foreign, "SECONDS", 0.01)
    with pytest.raises(StoreError, match=r"took more than 0\.01 s"):
        import_runs(filled, file)


def test_a_file_that_takes_the_process_down_is_refused(
    filled: Store, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fatal = tmp_path / "fatal.py"
    fatal.write_text(f"import os\nos.kill(os.getpid(), {int(signal.SIGSEGV)})\n")
    monkeypatch.setattr(foreign, "READER", fatal)
    with pytest.raises(StoreError, match="it is damaged, or needs too much memory"):
        import_runs(filled, file)
    assert len(queries.runs(filled)) == 1


@pytest.mark.parametrize("share", [0.003, 0.05, 0.6, 0.9])
def test_a_damaged_file_is_refused(filled: Store, file: Path, share: float) -> None:
    os.truncate(file, int(file.stat().st_size * share))
    before = filled.path.read_bytes()
    for use in USES:
        with pytest.raises(StoreError, match=r"copy\.duckdb"):
            use(filled, file)
    assert filled.path.read_bytes() == before


def test_a_store_of_every_version_is_taken_in(tmp_path: Path) -> None:
    """The columns that are known are those of the migrations, version by version."""
    known = foreign.known_columns()
    assert sorted(known) == [step.version for step in migrations(SCHEMA)]
    assert "configs" not in known[1]
    assert known[2]["configs"] == {"config_group": "VARCHAR", "config": "JSON"}
    newest = open_store(tmp_path / "runs.duckdb")
    newest.driver().close()
    with newest.open() as connection:
        tables = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT internal"
        ).fetchall()
    assert known[max(known)].keys() == {name for (name,) in tables}
