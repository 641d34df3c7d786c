"""A file that somebody else made, taken in as data: its rows, in tables of our own making.

A file may hold more than rows: views, macros and types whose statements run when they are read, and
damage that takes a process down. So a child under limits of the operating system reads it
(`foreign_reader`), known columns of known tables only, and hands them out by Arrow; here they fill
a new database whose schema is this project's own. A Parquet file of whole runs goes the same way.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb

from ..errors import StoreError
from .connection import connected, explained, inspect, no_file
from .files import raw_copy
from .lock import FileLock
from .migrations import SCHEMA, migrate, migrations
from .records import RELEASED
from .swap import alone, finish, note_of
from .validation import check_rows

READER = Path(__file__).with_name("foreign_reader.py")

SECONDS, CPU_SECONDS = 900, 600
"""Most time that reading a file may take, by the clock and of a processor."""

LIMITS = {
    "RLIMIT_AS": 4 * 2**30,
    "RLIMIT_CPU": CPU_SECONDS,
    "RLIMIT_FSIZE": 16 * 2**30,
    "RLIMIT_CORE": 0,
}
"""What the operating system gives the child: bytes of address space and of a file, seconds."""

PARQUET = b"PAR1"
"""How every Parquet file begins."""

WHOLE = {
    **dict.fromkeys(("run_id", "status", "layer", "spec", "frame", "task"), "VARCHAR"),
    "seed": "BIGINT",
    **dict.fromkeys(("device", "protocol"), "VARCHAR"),
    **dict.fromkeys((*RELEASED, "last", "best"), "DOUBLE"),
    **dict.fromkeys(("best_step", "steps"), "BIGINT"),
    **dict.fromkeys(("seconds", "seconds_to_target"), "DOUBLE"),
    **dict.fromkeys(("parameters", "state_size"), "BIGINT"),
    "lr": "DOUBLE",
    **dict.fromkeys(("lrs_tried", "metrics", "accuracy_by"), "JSON"),
    "message": "VARCHAR",
    **dict.fromkeys(("started_at", "finished_at"), "TIMESTAMP"),
    "tags": "VARCHAR[]",
    "note": "VARCHAR",
    **dict.fromkeys(("starred", "archived"), "BOOLEAN"),
    "host": "VARCHAR",
    "pid": "INTEGER",
    "driver": "VARCHAR",
    **dict.fromkeys(("versions", "environment", "config"), "JSON"),
    "config_hash": "VARCHAR",
    "tables": "JSON",
    "curves": "CURVE[]",
}
"""Column -> type of what an export of whole runs has, beside columns that only repeat these."""

OF_WHOLE = {
    "runs": "SELECT * FROM whole",
    "results": "SELECT * FROM whole WHERE status NOT IN ('running', 'interrupted')",
    "curves": 'SELECT run_id, each.name, each.steps, each."values" FROM '
    "(SELECT run_id, unnest(curves) AS each FROM whole)",
    "marks": "SELECT * FROM whole WHERE note <> '' OR starred OR archived",
    "tags": "SELECT run_id, unnest(tags) AS tag FROM whole",
}
"""Table -> its rows in an export of whole runs."""

COMPUTED_HERE = ("config_group", "series")
"""Columns of runs that follow from their config."""

Columns = dict[str, dict[str, str]]
"""Table -> column -> type."""


def sound_copy(source: Path, folder: Path) -> Path:
    """Copies the rows of a store that somebody else may have made into a new one, up to date.

    The source is held only while it is copied byte by byte.

    Args:
        source: the file; it is left as it is.
        folder: where the copies go, and stay until their user removes them.

    Raises:
        StoreError: the file is no sound store; the text says why.
    """
    if _is_parquet(source):
        return _of_whole(source, folder)
    inspect(source)
    lock = FileLock(source.with_name(f"{source.name}.lock"))
    with lock.held(write=False) if lock.path.exists() else nullcontext():
        if note_of(source).exists():
            with alone(source.parent):
                finish(source)
        raw = raw_copy(source, folder)
    answer = _read(raw, source, folder, {"versions": known_columns()})
    raw.unlink()
    fresh = folder / "fresh.duckdb"
    with connected(fresh, write=True, fresh=True) as connection:
        migrate(connection, SCHEMA, 0, answer["version"])
        for table, rows in answer["rows"].items():
            _fill(connection, table, rows, folder, source)
        check_rows(connection, source)
        migrate(connection, SCHEMA, answer["version"])
        connection.execute("CHECKPOINT")
    return fresh


def known_columns(folder: Path = SCHEMA) -> dict[int, Columns]:
    """Returns the tables and columns of every version of the schema."""
    known: dict[int, Columns] = {}
    with connected(None, write=True) as connection:
        for step in migrations(folder):
            migrate(connection, folder, step.version - 1, step.version)
            rows = connection.execute(
                "SELECT table_name, column_name, data_type FROM duckdb_columns() JOIN "
                "duckdb_tables() USING (database_name, schema_name, table_name) "
                "WHERE schema_name = 'main' AND NOT duckdb_tables.internal ORDER BY column_index"
            ).fetchall()
            known[step.version] = {}
            for table, column, kind in rows:
                known[step.version].setdefault(table, {})[column] = kind
    return known


def _is_parquet(source: Path) -> bool:
    if no_file(source) is not None:  # `inspect` says what it is
        return False
    try:
        with source.open("rb") as file:
            return file.read(len(PARQUET)) == PARQUET
    except OSError:
        return False


def _of_whole(source: Path, folder: Path) -> Path:
    """Makes a store of the runs in a Parquet file."""
    answer = _read(source, source, folder, {"columns": WHOLE})
    fresh = folder / "fresh.duckdb"
    columns = ", ".join(f"{name} {_stored_as(kind)}" for name, kind in WHOLE.items())
    with connected(fresh, write=True, fresh=True) as connection:
        migrate(connection, SCHEMA, 0)
        connection.execute(f"CREATE TEMP TABLE whole ({columns})")
        _fill(connection, "whole", answer["rows"]["whole"], folder, source)
        known = known_columns()
        for table, rows in OF_WHOLE.items():
            names = ", ".join(f'"{n}"' for n in known[max(known)][table] if n not in COMPUTED_HERE)
            with _as_rows_of(table, source):
                connection.execute(f"INSERT INTO {table} BY NAME SELECT {names} FROM ({rows})")
        check_rows(connection, source)
        connection.execute("DROP TABLE whole")
        connection.execute("CHECKPOINT")
    return fresh


def _stored_as(kind: str) -> str:
    curve = 'STRUCT(name VARCHAR, steps BIGINT[], "values" DOUBLE[])'
    return kind.replace("CURVE", curve)


def _read(raw: Path, source: Path, folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Lets the child write the rows of a file into ``folder``, and returns what it says of them."""
    request = {"path": str(raw), "folder": str(folder), "limits": _allowed(), **asked}
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(READER)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=SECONDS,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StoreError(f"{source} took more than {SECONDS} s to read: it was left.") from None
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    raise StoreError(_complaint(done, source))


def _allowed() -> dict[str, int]:
    """Returns the limits, none above what this process itself is allowed."""
    allowed = {}
    for name, most in LIMITS.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        allowed[name] = most if hard == resource.RLIM_INFINITY else min(most, hard)
    return allowed


def _complaint(done: subprocess.CompletedProcess[bytes], source: Path) -> str:
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
    said: Mapping[str, str] = json.loads(last[0]) if last[0].startswith('{"kind"') else {}
    if said.get("kind") == "refused":
        return f"{source} {said['text']}."
    if said.get("kind") == "duckdb" and "out of memory" not in said["text"].lower():
        return explained(duckdb.Error(said["text"]), source)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"{source} could not be read within {CPU_SECONDS} s of processor time."
    return f"{source} could not be read: it is damaged, or needs too much memory. ({last[0][:200]})"


def _fill(
    connection: duckdb.DuckDBPyConnection, table: str, rows: int, folder: Path, source: Path
) -> None:
    import pyarrow as pa

    file = folder / f"{table}.arrow"
    if table != "schema_version":  # the migrations have said so themselves
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as reader:
            connection.register("fed", reader)
            try:
                with _as_rows_of(table, source):
                    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fed")
            finally:
                connection.unregister("fed")
        (stored,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
        if stored != rows:
            raise StoreError(f"Of {rows} rows in {table} of {source}, {stored} arrived.")
    file.unlink()


@contextmanager
def _as_rows_of(table: str, source: Path) -> Iterator[None]:
    """Says of rows that a table cannot take where they come from."""
    try:
        yield
    except (duckdb.DataError, duckdb.IntegrityError) as error:
        raise StoreError(f"{source} has rows in {table} that no store has: {error}") from error
