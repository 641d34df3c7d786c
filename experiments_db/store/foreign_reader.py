"""The child that opens a file which somebody else made: it hands its rows out as data.

Run as a script by `experiments_db.store.foreign`, never imported; it needs DuckDB and Arrow alone.
It may not use more memory or processor time than the operating system gives it, its database can
reach no file, and of the database it reads nothing but columns of tables: a view, a macro or a type
of the file's own could run a statement of its maker's. Of a Parquet file it reads known columns.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

ROWS, BATCH = 5_000_000, 2_000
"""Most rows of one table, and rows at a time."""

LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "memory_limit": "1GB",
    "threads": "1",
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}
VIEW = "run_rows"
"""The one view that a store of ours has; it is never read here."""


class Refused(ValueError):
    """The file is not what it should be; the text says what, and ends the sentence."""


def main() -> None:
    """Reads a request from standard input and writes one file of rows per table."""
    request = json.loads(sys.stdin.buffer.read())
    for limit, most in request["limits"].items():
        resource.setrlimit(getattr(resource, limit), (most, most))
    for name in ("numpy", "pandas"):  # an import of None fails: half of the time, not needed
        sys.modules[name] = None  # type: ignore[assignment]
    import duckdb
    import pyarrow as pa

    folder = Path(request["folder"])
    try:
        if "columns" in request:
            answer = _parquet(Path(request["path"]), request["columns"], folder)
        else:
            connection = duckdb.connect(request["path"], read_only=True, config=LOCKED)
            answer = _handed_out(connection, request["versions"], folder)
    except Refused as error:
        _complain("refused", str(error))
    except duckdb.Error as error:
        _complain("duckdb", str(error))
    except pa.ArrowException as error:
        _complain("refused", f"cannot be read: it is damaged or no Parquet file ({_line(error)})")
    except OSError as error:
        _complain("refused", f"cannot be copied: {error.strerror}")
    else:
        print(json.dumps(answer))


def _handed_out(
    connection: Any, versions: dict[str, dict[str, dict[str, str]]], folder: Path
) -> dict[str, Any]:
    tables = _tables(connection)
    if tables.get("schema_version", {}).get("version") != "INTEGER":
        raise Refused("is a DuckDB database, but holds no runs of this project")
    found = connection.execute("SELECT version FROM main.schema_version").fetchall()
    version = str(max((row[0] for row in found if row[0] is not None), default=0))
    if version == "0":
        raise Refused("is a DuckDB database, but holds no runs of this project")
    if version not in versions:
        newest = max(map(int, versions))
        raise Refused(
            f"was written by a newer version of this project (its schema is {version}, this one "
            f"knows {newest}): update the project"
        )
    _check_plain(connection)
    for table, columns in versions[version].items():
        _check_columns(table, columns, tables.get(table))
    rows = {table: _write(connection, table, columns, folder)
            for table, columns in versions[version].items()}  # fmt: skip
    return {"version": int(version), "rows": rows}


def _tables(connection: Any) -> dict[str, dict[str, str]]:
    """Returns the columns of every table, which is no view, without what its maker could name."""
    listed = connection.execute(
        "SELECT table_name, sql FROM system.main.duckdb_tables() "
        "WHERE NOT internal AND schema_name = 'main' AND database_name = current_database()"
    ).fetchall()
    columns: dict[str, dict[str, str]] = {name: {} for name, _ in listed}
    for name, sql in listed:
        if "GENERATED ALWAYS" in sql.upper():
            columns[name]["a generated column"] = "of its own"
    described = connection.execute(
        "SELECT table_name, column_name, data_type FROM system.main.duckdb_columns() "
        "WHERE NOT internal AND schema_name = 'main' AND database_name = current_database()"
    ).fetchall()
    for table, column, kind in described:
        if table in columns:
            columns[table][column] = kind
    return columns


def _check_plain(connection: Any) -> None:
    """Refuses what could run a statement of the file's maker, wherever it is."""
    for kind, place, name in (
        ("view", "duckdb_views", "view_name"),
        ("macro", "duckdb_functions", "function_name"),
        ("type", "duckdb_types", "type_name"),
    ):
        names = connection.execute(
            f"SELECT {name} FROM system.main.{place}() WHERE NOT internal"
        ).fetchall()
        for (found,) in names:
            if (kind, found) != ("view", VIEW):
                raise Refused(
                    f"has a {kind} of its own, {found!r}, which could run statements: a store has "
                    "tables alone. Export its runs, or remove that"
                )


def _check_columns(table: str, columns: dict[str, str], found: dict[str, str] | None) -> None:
    if found is None:
        raise Refused(f"has no table {table!r}, which every store of its version has")
    for name, kind in columns.items():
        if found.get(name) != kind:
            has = f"{found[name]} instead of {kind}" if name in found else "missing"
            raise Refused(f"is no store of this project: column {table}.{name} is {has}")
    if more := sorted(found.keys() - columns.keys()):
        raise Refused(f"is no store of this project: table {table} has {more[0]!r}")


def _write(connection: Any, table: str, columns: dict[str, str], folder: Path) -> int:
    import pyarrow as pa

    names = ", ".join(f'"{n}"::VARCHAR AS "{n}"' if k == "JSON" else f'"{n}"'
                      for n, k in columns.items())  # fmt: skip
    reader = connection.execute(f'SELECT {names} FROM main."{table}"').to_arrow_reader(BATCH)
    rows = 0
    with (
        pa.OSFile(str(folder / f"{table}.arrow"), "wb") as file,
        pa.ipc.new_stream(file, reader.schema) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
            if rows > ROWS:
                raise Refused(f"has more than {ROWS} rows in its table {table!r}")
    return rows


def _parquet(path: Path, columns: dict[str, str], folder: Path) -> dict[str, Any]:
    """Writes the known columns of a table of runs, each in its own type, as one file of rows."""
    import pyarrow as pa
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    if missing := [name for name in columns if name not in file.schema_arrow.names]:
        raise Refused(
            f"holds no whole runs: it has no column {missing[0]!r}. `runs --output FILE.parquet` "
            "writes what can be taken in, a table of groups or of a sweep cannot"
        )
    if file.metadata.num_rows > ROWS:
        raise Refused(f"has more than {ROWS} rows")
    schema = pa.schema([(name, _arrow(kind)) for name, kind in columns.items()])
    rows = 0
    with (
        pa.OSFile(str(folder / "whole.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, schema) as writer,
    ):
        for batch in file.iter_batches(BATCH, columns=[*columns]):
            whole = pa.table({name: _cast(batch, name, schema) for name in columns})
            writer.write_table(whole.cast(schema))
            rows += batch.num_rows
    return {"rows": {"whole": rows}}


def _arrow(kind: str) -> Any:
    """Returns the Arrow type of a type of DuckDB's."""
    import pyarrow as pa

    plain = {
        "VARCHAR": pa.string(), "JSON": pa.string(), "DOUBLE": pa.float64(), "BIGINT": pa.int64(),
        "INTEGER": pa.int32(), "BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us"),
    }  # fmt: skip
    if kind.endswith("[]"):
        return pa.list_(_arrow(kind.removesuffix("[]")))
    if kind == "CURVE":
        parts = {"name": "VARCHAR", "steps": "BIGINT[]", "values": "DOUBLE[]"}
        return pa.struct([(name, _arrow(part)) for name, part in parts.items()])
    return plain[kind]


def _cast(batch: Any, name: str, schema: Any) -> Any:
    import pyarrow as pa

    column, wanted = batch.column(name), schema.field(name).type
    if column.null_count == len(column):  # a column without any value may have any type
        return pa.nulls(len(column), wanted)
    try:
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise Refused(
            f"holds no runs of this project: column {name} is {column.type} instead of {wanted}"
        ) from None


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _complain(kind: str, text: str) -> None:
    print(json.dumps({"kind": kind, "text": text}), file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    main()
