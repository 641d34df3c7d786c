"""Adds the runs of another store to one that is in use, a piece at a time.

Others write between two pieces. Each piece is one transaction, so that an import that is killed has
added whole runs, and the next one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from ..errors import StoreError
from . import spill
from .connection import connected
from .files import workplace
from .foreign import sound_copy
from .store import Store
from .swap import unwritable

FIRST, LEAST, MOST = 500, 50, 8_000
"""Runs in the first piece, and in any."""

PIECE_SECONDS = 0.4
"""Time for which a piece should keep the store."""

BY_RUN = {
    "runs": "runs",
    "tags": "runs",
    "marks": "runs",
    "results": "results",
    "curves": "results",
}
"""Table -> whose lack in the store decides that a run's rows are taken over."""


def import_runs(store: Store, file: Path | str) -> int:
    """Adds the runs of another store that this one lacks, and returns their number.

    A run that both have is not repeated; its result is taken over if this store has none.

    Raises:
        StoreError: the file is no sound store, or this one cannot be written.
    """
    store.allow_writing()
    place = other(file, store)
    with store.open(write=True):
        pass  # brings an old schema up to date, so that the two have the same columns
    added = 0
    try:
        with (
            workplace(store.path) as folder,
            connected(sound_copy(place, folder), write=False) as source,
        ):
            for piece in _pieces(store, source):
                added += piece
    except OSError as error:
        raise StoreError(unwritable(store.path, error)) from error
    spill.look_again(store.path)
    store.log.info("imported %d runs from %s", added, place)
    return added


def other(file: Path | str, store: Store) -> Path:
    """Returns a file that is to become a part of a store, or all of it.

    Raises:
        StoreError: it is that store.
    """
    place = Path(file).expanduser().resolve()
    if place == store.path:
        raise StoreError(f"{place} is the store itself.")
    return place


def _pieces(store: Store, source: duckdb.DuckDBPyConnection) -> Iterator[int]:
    """Adds one piece after another and yields how many runs each has added."""
    names = [row[0] for row in source.execute("SELECT run_id FROM runs ORDER BY 1").fetchall()]
    size = FIRST
    while names:
        piece, names = names[:size], names[size:]
        tables = _read(source, piece[0], piece[-1])
        with store.open(write=True) as connection:
            began = time.monotonic()
            added = _add(connection, tables)
        took = time.monotonic() - began
        yield added
        size = round(size * min(1.5, max(0.25, PIECE_SECONDS / max(took, 1e-3))))
        size = min(MOST, max(LEAST, size))


SHARED = {"configs": "config_group", "series": "series"}
"""Tables whose rows several runs share -> the column of `runs` that names a row."""


def _read(source: duckdb.DuckDBPyConnection, first: str, last: str) -> dict[str, Any]:
    """Returns the rows of the runs between two names, table by table."""
    within = {"first": first, "last": last}
    tables = {
        table: source.execute(
            f"SELECT * FROM {table} WHERE run_id BETWEEN $first AND $last", within
        ).to_arrow_table()
        for table in BY_RUN
    }
    shared = {
        table: source.execute(
            f"SELECT * FROM {table} WHERE {key} IN "
            f"(SELECT {key} FROM runs WHERE run_id BETWEEN $first AND $last)",
            within,
        ).to_arrow_table()
        for table, key in SHARED.items()
    }
    return {**tables, **shared}


def _add(connection: duckdb.DuckDBPyConnection, tables: dict[str, Any]) -> int:
    for table, rows in tables.items():
        connection.register(f"fed_{table}", rows)
    connection.begin()
    for table in ("runs", "results"):
        connection.execute(
            f"CREATE TEMP TABLE new_{table} AS SELECT run_id FROM fed_{table} "
            f"WHERE run_id NOT IN (SELECT run_id FROM {table})"
        )
    for table, lacking in BY_RUN.items():
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT * FROM fed_{table} "
            f"WHERE run_id IN (SELECT run_id FROM new_{lacking})"
        )
    for table, key in SHARED.items():
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT * FROM fed_{table} "
            f"WHERE {key} NOT IN (SELECT {key} FROM {table})"
        )
    connection.execute("DELETE FROM live WHERE run_id IN (SELECT run_id FROM new_results)")
    ((added,),) = connection.execute("SELECT count(*) FROM new_runs").fetchall()
    connection.commit()
    return int(added)
