"""SQL from people, run where it can reach nothing: a child process with a copy of the rows.

The child holds an in-memory DuckDB that was fed by Arrow. It may not touch a file, load an
extension or change its configuration; it runs one SELECT and is ended after a few seconds. DuckDB
counts its own buffers only, and a text of a gigabyte is none: so the operating system limits what
the process may use in all, and a process runs one query at a time, whoever asks. This file is both
the parent's side (`query`) and, run as a script, the child.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

ROWS, SECONDS, MEMORY_MB, RESULT_MB, SQL_CHARS = 10_000, 5, 512, 64, 10_000
START_SECONDS = 20  # imports and the copy of the rows, before the query's own clock starts
WAIT_SECONDS = 30  # for the queries of others

PROCESS_MB = 1280
"""Address space of a child. Python, Arrow and DuckDB map 250 MB before the first row; a query that
fills DuckDB's 512 MB peaks at 830 to 890 MB, and the rows that it is fed come on top."""

LEAN = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
"""Allocators that map what they use: the usual ones map 1.3 GB ahead, and use 0.1 of it."""

STARVED = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGKILL)
"""How a process ends that gets no more memory and does not notice."""
UNUSED = ("numpy", "pandas")
"""What DuckDB and Arrow would import in the child although nothing needs it: half of its time."""

LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": f"{MEMORY_MB}MB",
    "threads": "1",
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}

_alone = threading.Semaphore(1)
"""Held while a child runs: all that ask one server share its memory."""


LIMITS = {
    resource.RLIMIT_AS: PROCESS_MB * 2**20,
    resource.RLIMIT_CPU: START_SECONDS + SECONDS,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
}
"""What the operating system gives a child: bytes of address space and of a file, seconds."""

TOO_LARGE = (
    f"The query needs more memory than it may have ({MEMORY_MB} MB for its rows, {PROCESS_MB} MB "
    "in all): narrow it down."
)


class QueryError(ValueError):
    """A query that cannot be run as it stands; the text says why."""


def query(
    tables: Mapping[str, pd.DataFrame | pa.Table],
    sql: str,
    rows: int = ROWS,
    seconds: int = SECONDS,
) -> tuple[pd.DataFrame, bool]:
    """Runs one SELECT over copies of ``tables``.

    Args:
        tables: name -> rows; lists and dictionaries in cells are allowed.
        sql: one SELECT statement.
        rows: most rows to return.
        seconds: time that the query may take.

    Returns:
        The result, and whether rows beyond ``rows`` were left out.

    Raises:
        QueryError: the statement is refused, wrong, too slow or too large.
    """
    if len(sql) > SQL_CHARS:
        raise QueryError(f"The query has {len(sql)} characters; {SQL_CHARS} are allowed.")
    done = _child(_request(tables, sql, rows, seconds), seconds)
    if done.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
        raise QueryError(f"The query was ended after {seconds} s; narrow it down.")
    if done.returncode in STARVED:
        raise QueryError(TOO_LARGE)
    if done.returncode != 0:
        raise QueryError(_complaint(done.stderr))
    header, _, body = done.stdout.partition(b"\n")
    import pyarrow as pa

    return pa.ipc.open_stream(body).read_pandas(), bool(json.loads(header)["truncated"])


def where(
    frame: pd.DataFrame | pa.Table, condition: str, key: str, table: str = "runs"
) -> list[Any]:
    """Returns the ``key`` of every row of ``frame`` that meets an SQL condition, in order.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"run_id": ["a", "b"], "accuracy": [0.1, 0.9]})
        >>> where(frame, "accuracy > 0.5", "run_id")
        ['b']
    """
    found, _ = query({table: frame}, where_sql(condition, key, table), rows=max(1, len(frame)))
    kept = set(found[key])
    return [value for value in frame[key].to_numpy() if value in kept]


def where_sql(condition: str, key: str, table: str = "runs") -> str:
    """Returns the SELECT that a condition stands for."""
    return f'SELECT "{key}" FROM "{table}" WHERE (\n{condition}\n)'


def _request(
    tables: Mapping[str, pd.DataFrame | pa.Table], sql: str, rows: int, seconds: int
) -> bytes:
    import pyarrow as pa

    sizes, bodies = [], []
    for name, frame in tables.items():
        arrow = isinstance(frame, pa.Table)
        table = frame if arrow else pa.Table.from_pandas(frame, preserve_index=False)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        bodies.append(sink.getvalue().to_pybytes())
        sizes.append([name, len(bodies[-1])])
    header = {"sql": sql, "rows": rows, "seconds": seconds, "tables": sizes}
    return b"\n".join([json.dumps(header).encode(), b"".join(bodies)])


def _child(request: bytes, seconds: int) -> subprocess.CompletedProcess[bytes]:
    if not _alone.acquire(timeout=WAIT_SECONDS):
        raise QueryError(
            f"Other queries have kept this one waiting for {WAIT_SECONDS} s: try again."
        )
    try:
        return subprocess.run(
            [sys.executable, "-P", __file__],
            input=request,
            capture_output=True,
            timeout=START_SECONDS + seconds,
            start_new_session=True,
            check=False,
            env={**os.environ, **LEAN},
        )
    except subprocess.TimeoutExpired:
        raise QueryError(f"The query was ended after {seconds} s; narrow it down.") from None
    finally:
        _alone.release()


def _complaint(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    if not lines or any(sign in lines[-1] for sign in ("MemoryError", "bad_alloc", "malloc")):
        return TOO_LARGE
    said = json.loads(lines[-1]) if lines[-1].startswith("{") else {}
    return str(said.get("refused") or lines[-1])


# ---- the child


def _serve() -> None:
    import pyarrow as pa

    header = json.loads(sys.stdin.buffer.readline())
    connection = locked(
        {
            name: pa.ipc.open_stream(sys.stdin.buffer.read(size)).read_all()
            for name, size in header["tables"]
        }
    )
    signal.alarm(header["seconds"])
    result, truncated = select(connection, header["sql"], header["rows"])
    if result.nbytes > RESULT_MB * 2**20:
        raise QueryError(f"The result has {result.nbytes >> 20} MB; {RESULT_MB} are allowed.")
    sys.stdout.buffer.write(json.dumps({"truncated": truncated}).encode() + b"\n")
    with pa.ipc.new_stream(sys.stdout.buffer, result.schema) as writer:
        writer.write_table(result)


def locked(tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory database with copies of ``tables`` that can reach nothing else."""
    import duckdb

    connection = duckdb.connect(":memory:", config=LOCKED)
    for name, table in tables.items():
        connection.register("fed", table)
        connection.execute(f"CREATE TABLE {_quoted(name)} AS SELECT * FROM fed")
        connection.unregister("fed")
    connection.execute("SET TimeZone = 'UTC'")  # as the times of a store are
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def select(con: duckdb.DuckDBPyConnection, sql: str, rows: int) -> tuple[pa.Table, bool]:
    """Runs one SELECT and returns at most ``rows`` rows, and whether there were more.

    Raises:
        QueryError: it is not one SELECT, or the database refuses it.
    """
    import duckdb

    try:
        statements = con.extract_statements(sql)
        kinds = [statement.type for statement in statements]
        if kinds != [duckdb.StatementType.SELECT] or re.match(r"\s*pragma\b", sql, re.IGNORECASE):
            raise QueryError("Only one SELECT statement can be run here.")
        relation = con.sql(statements[0].query)
        result = relation.limit(rows + 1).to_arrow_table()
    except (duckdb.OutOfMemoryException, MemoryError):
        raise QueryError(TOO_LARGE) from None
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    return result.slice(0, rows), result.num_rows > rows


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def main() -> None:
    """Serves one query from standard input, within what the operating system allows."""
    for limit, most in LIMITS.items():
        hard = resource.getrlimit(limit)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (allowed, allowed))
    for name in UNUSED:  # an import of None fails, and the module is taken for missing
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        _serve()
    except QueryError as error:
        print(json.dumps({"refused": str(error)}), file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
