"""A database that somebody else made, taken in as data: its rows, in tables of our own making.

A file may hold more than rows: views, macros and types whose statements run when they are read, and
damage that takes a process down. So a child under limits of the operating system reads it
(`foreign_reader`), known columns of known tables only, and hands them out by Arrow; here they fill
a new database whose schema is this project's own.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb

from ..errors import StoreError
from .connection import connected, explained, inspect
from .files import raw_copy
from .lock import FileLock
from .migrations import SCHEMA, migrate, migrations
from .records import ENDED
from .swap import alone, finish, note_of

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

UNIQUE = ("runs", "results", "marks", "live")
"""Tables with one row per run at most."""

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
    inspect(source)
    lock = FileLock(source.with_name(f"{source.name}.lock"))
    with lock.held(write=False) if lock.path.exists() else nullcontext():
        if note_of(source).exists():
            with alone(source.parent):
                finish(source)
        raw = raw_copy(source, folder)
    answer = _read(raw, source, folder)
    raw.unlink()
    fresh = folder / "fresh.duckdb"
    with connected(fresh, write=True, fresh=True) as connection:
        migrate(connection, SCHEMA, 0, answer["version"])
        for table, rows in answer["rows"].items():
            _fill(connection, table, rows, folder, source)
        _check(connection, source)
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


def _read(raw: Path, source: Path, folder: Path) -> dict[str, Any]:
    """Lets the child write the rows of a file into ``folder``, and returns what it says of them."""
    request = {
        "path": str(raw),
        "folder": str(folder),
        "versions": known_columns(),
        "limits": _allowed(),
    }
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
    if said.get("kind") == "duckdb":
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
                connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fed")
            except (duckdb.DataError, duckdb.IntegrityError) as error:
                raise StoreError(
                    f"{source} has rows in {table} that no store has: {error}"
                ) from error
            finally:
                connection.unregister("fed")
        (stored,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0]
        if stored != rows:
            raise StoreError(f"Of {rows} rows in {table} of {source}, {stored} arrived.")
    file.unlink()


def _check(connection: duckdb.DuckDBPyConnection, source: Path) -> None:
    """Refuses rows that this project never writes.

    Raises:
        StoreError: a run is there twice, or ended in an unknown way.
    """
    for table in UNIQUE:
        twice = connection.execute(
            f"SELECT run_id FROM {table} GROUP BY run_id HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        if twice is not None:
            raise StoreError(f"{source} is no sound store: {table} has run {twice[0]!r} twice.")
    endings = ", ".join(f"'{status}'" for status in ENDED)
    strange = connection.execute(
        f"SELECT run_id, status FROM results WHERE status NOT IN ({endings}) LIMIT 1"
    ).fetchone()
    if strange is not None:
        raise StoreError(f"{source} is no sound store: run {strange[0]!r} ended as {strange[1]!r}.")
