"""What a migration computes that SQL cannot say, by the name of its file.

A step runs after the statements of its file and in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from .series import Series, series_of


def fingerprints(connection: duckdb.DuckDBPyConnection) -> None:
    """Gives every run its series, and the hash of what decides it.

    Runs that were asked for in the same way share a config but for the seed, and the work. A config
    that this program cannot read, of a choice that is gone or of another program, keeps its hash.
    """
    asked = connection.execute(
        "SELECT config_group, any_value(config), list(run_id), list(seed) "
        "FROM runs GROUP BY config_group"
    ).fetchall()
    found: dict[str, Series] = {}
    rows: list[tuple[str, str, str | None]] = []
    for _, config, run_ids, seeds in asked:
        series, readable = series_of(config)
        found[series.name] = series
        for run_id, seed in zip(run_ids, seeds, strict=True):
            rows.append((run_id, series.name, series.hash(seed) if readable else None))
    _insert(connection, [*found.values()])
    _update(connection, rows)


def parts(connection: duckdb.DuckDBPyConnection) -> None:
    """Names anew what takes part in the runs of every series that this program can read.

    What decides them stays as it is: a part that is told apart since has its first revision there.
    """
    asked = connection.execute(
        "SELECT series, any_value(config) FROM runs WHERE series IS NOT NULL GROUP BY series"
    ).fetchall()
    found = ((name, series_of(config)) for name, config in asked)
    named = {name: list(series.parts) for name, (series, readable) in found if readable}
    connection.execute(
        """
        UPDATE series SET parts = new.parts
        FROM (SELECT unnest($names::VARCHAR[]) AS name, unnest($parts::VARCHAR[][]) AS parts) AS new
        WHERE new.name = series.series AND new.parts <> series.parts
        """,
        {"names": [*named], "parts": [*named.values()]},
    )


def _insert(connection: duckdb.DuckDBPyConnection, found: list[Series]) -> None:
    columns = {
        "names": [one.name for one in found],
        "prints": [one.fingerprint for one in found],
        "parts": [list(one.parts) for one in found],
    }
    connection.execute(
        "INSERT INTO series BY NAME SELECT unnest($names::VARCHAR[]) AS series, "
        "unnest($prints::VARCHAR[]) AS fingerprint, unnest($parts::VARCHAR[][]) AS parts",
        columns,
    )


def _update(connection: duckdb.DuckDBPyConnection, rows: list[tuple[str, str, str | None]]) -> None:
    ids, names, hashes = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 3
    connection.execute(
        """
        UPDATE runs SET series = new.series, config_hash = coalesce(new.hash, config_hash)
        FROM (
            SELECT unnest($ids::VARCHAR[]) AS run_id, unnest($names::VARCHAR[]) AS series,
                unnest($hashes::VARCHAR[]) AS hash
        ) AS new
        WHERE new.run_id = runs.run_id
        """,
        {"ids": ids, "names": names, "hashes": hashes},
    )


COMPUTED: dict[str, Callable[[duckdb.DuckDBPyConnection], None]] = {
    "003_fingerprints": fingerprints,
    "004_parts": parts,
}
"""Name of a file of the schema, without its ending -> what follows it."""
