"""Rows that somebody else wrote, looked at one by one before any of them enters a store.

What follows from a run's config (its fingerprint, its series) is computed here and never taken from
the file, so that no file can answer for an experiment that it does not hold.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from ..errors import StoreError
from .computed import fingerprints
from .records import ENDED, RELEASED
from .series import tell_series
from .writes import MESSAGE_CHARS, NOTE_CHARS, TAG_CHARS

UNIQUE = ("runs", "results", "marks", "live")
"""Tables with one row per run at most."""

SHARE = RELEASED[0]
"""The metric that lies between 0 and 1."""

MOST_SEED = 2**31 - 1
NAME_CHARS = 100

SAYS = {
    "task": "$.task.name",
    "seed": "$.seed",
    "device": "$.device",
    "frame": "$.model.frame",
    "protocol": "$.train.protocol",
    "layer": "$.layer",
}
"""Columns of a run that its config has, too -> where."""

IMPOSSIBLE = {
    "runs": {
        "run_id": f"NOT regexp_full_match(run_id, '[!-~]{{1,{NAME_CHARS}}}')",
        "seed": f"seed NOT BETWEEN 0 AND {MOST_SEED}",
        "config": "json_type(config) IS DISTINCT FROM 'OBJECT'",
        "environment": "json_type(environment) IS DISTINCT FROM 'OBJECT'",
        "versions": "json_type(versions) IS DISTINCT FROM 'OBJECT'",
        **{
            name: f"json_exists(config, '{place}') AND "
            f"(config ->> '{place}') IS DISTINCT FROM {name}::VARCHAR"
            for name, place in SAYS.items()
        },
    },
    "results": {
        SHARE: f"{SHARE} < 0 OR ({SHARE} > 1 AND NOT isnan({SHARE}))",
        **{
            name: f"json_type({name}) IS DISTINCT FROM 'OBJECT'"
            for name in ("metrics", "accuracy_by", "tables")
        },
        "lrs_tried": "json_type(lrs_tried) NOT IN ('ARRAY', 'OBJECT', 'NULL')",
        **{name: f"{name} < 0" for name in ("steps", "seconds", "parameters", "state_size")},
        "message": f"length(message) > {MESSAGE_CHARS}",
    },
    "curves": {"steps": 'len(steps) <> len("values")'},
    "marks": {"note": f"length(note) > {NOTE_CHARS}"},
    "tags": {"tag": f"length(tag) NOT BETWEEN 1 AND {TAG_CHARS} OR contains(tag, chr(10))"},
}
"""Table -> column -> what no row of this program's own has."""

SHOWN_CHARS = 60


def check_rows(connection: duckdb.DuckDBPyConnection, source: Path) -> None:
    """Refuses rows that make no store: a run that is there twice, or ended in an unknown way.

    Raises:
        StoreError: names the run.
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


def check_values(connection: duckdb.DuckDBPyConnection, source: Path) -> None:
    """Refuses rows with a value that no run of this program has.

    Raises:
        StoreError: names the run, the column and the value.
    """
    for table, columns in IMPOSSIBLE.items():
        for column, wrong in columns.items():
            found = connection.execute(
                f'SELECT run_id, "{column}"::VARCHAR FROM {table} WHERE {wrong} LIMIT 1'
            ).fetchone()
            if found is not None:
                raise StoreError(_impossible(source, table, column, *found))


def _impossible(source: Path, table: str, column: str, run_id: str, value: str | None) -> str:
    said = f"{source} cannot be taken in: run {run_id[:SHOWN_CHARS]!a} has "
    shown = f"{column} {value[:SHOWN_CHARS]!a}" if value is not None else f"no {column}"
    if table == "runs" and column in SAYS:
        return f"{said}{shown}, and another one in its config."
    return f"{said}{shown}, which no run can have."


def compute_identities(connection: duckdb.DuckDBPyConnection, source: Path) -> None:
    """Computes what follows from the config of every run, whatever the file said of it.

    Raises:
        StoreError: a config has no form that can be hashed.
    """
    connection.begin()
    connection.execute("DELETE FROM configs")
    connection.execute("DELETE FROM series")
    patched = "json_merge_patch(config, '{\"seed\": null}')"
    connection.execute(f"UPDATE runs SET config_group = md5({patched}::VARCHAR)")
    connection.execute(
        f"INSERT INTO configs SELECT config_group, any_value({patched}) FROM runs "
        "GROUP BY config_group"
    )
    try:
        fingerprints(connection)
        tell_series(connection)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        connection.rollback()
        raise StoreError(f"{source} has a run whose config cannot be read: {error}.") from error
    connection.commit()
