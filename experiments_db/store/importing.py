"""Adds runs from elsewhere to a store that is in use, a piece at a time.

Others write between two pieces. Each piece is one transaction, so that an import that is killed has
added whole runs, and the next one goes on.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ..errors import StoreError, WrongFile
from . import spill
from .connection import connected
from .files import absolute, same, workplace
from .foreign import sound_copy
from .records import COMPLETE, CUT_SHORT
from .store import Store
from .swap import unwritable
from .validation import check_values, compute_identities

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


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Args:
        added: runs that this store lacked.
        answered: complete runs that were left out, since this store has another run that is the
            same by its fingerprint.
    """

    added: int
    answered: int


def import_runs(store: Store, file: Path | str, only: Collection[str] | None = None) -> Imported:
    """Adds the runs that this store lacks: of another store, or of an export of whole runs.

    A run that both have is not repeated; its result is taken over if this store has none. Nor is a
    complete run taken in whose fingerprint a complete run of this store's own has already.

    Args:
        store: what they are added to.
        file: a store, a backup, or a Parquet file as `experiments_db.read.export.write_runs` and
            ``runs --output FILE.parquet`` write it.
        only: fingerprints; runs of others are left where they are. None takes in all.

    Raises:
        StoreError: the file is no sound store, or this one cannot be written.
    """
    store.allow_writing()
    place = other(file, store)
    with store.open(write=True):
        pass  # brings an old schema up to date, so that the two have the same columns
    added = 0
    try:
        with workplace(store.path) as folder:
            copy = sound_copy(place, folder)
            with connected(copy, write=True) as source:
                check_values(source, place)
                compute_identities(source, place)
                answered = _answered(store, source)
                for piece in _pieces(store, source, answered | _others(source, only)):
                    added += piece
    except OSError as error:
        raise StoreError(unwritable(store.path, error)) from error
    spill.look_again(store.path)
    store.log.info("imported %d runs from %s; %d are answered here", added, place, len(answered))
    return Imported(added, len(answered))


def other(file: Path | str, store: Store) -> Path:
    """Returns a file that is to become a part of a store, or all of it.

    Raises:
        WrongFile: there is none, or it is that store.
    """
    place = absolute(file)
    if not place.exists():
        raise WrongFile(f"There is no file {place} to take runs from.")
    if same(place, store.path):
        raise WrongFile(f"{place} is the store itself.")
    return place


def _answered(store: Store, source: duckdb.DuckDBPyConnection) -> set[str]:
    """Returns the complete runs of a file whose fingerprint a run here has that the file has not.

    Repetitions inside the file come in together: whoever repeated a run wanted both.
    """
    complete = (
        "SELECT run_id, config_hash FROM runs JOIN results USING (run_id) "
        f"WHERE results.status IN {COMPLETE} AND NOT {CUT_SHORT}"
    )
    theirs = source.execute(complete).fetchall()
    known = {run_id for (run_id,) in source.execute("SELECT run_id FROM runs").fetchall()}
    with store.open() as connection:
        ours = connection.execute(
            f"{complete} AND config_hash IN (SELECT unnest($hashes::VARCHAR[]))",
            {"hashes": [config_hash for _, config_hash in theirs]},
        ).fetchall()
        here = connection.execute(
            "SELECT run_id FROM runs WHERE run_id IN (SELECT unnest($ids::VARCHAR[]))",
            {"ids": [run_id for run_id, _ in theirs]},
        ).fetchall()
    held = {config_hash for run_id, config_hash in ours if run_id not in known}
    repeated = {run_id for run_id, config_hash in theirs if config_hash in held}
    return repeated - {run_id for (run_id,) in here}


def _others(source: duckdb.DuckDBPyConnection, only: Collection[str] | None) -> set[str]:
    """Returns the runs of a file that nobody asks for."""
    if only is None:
        return set()
    rows = source.execute("SELECT run_id, config_hash FROM runs").fetchall()
    return {run_id for run_id, config_hash in rows if config_hash not in only}


def _pieces(
    store: Store, source: duckdb.DuckDBPyConnection, left_out: Collection[str]
) -> Iterator[int]:
    """Adds one piece after another and yields how many runs each has added."""
    rows = source.execute("SELECT run_id FROM runs ORDER BY 1").fetchall()
    source.execute(
        "CREATE TEMP TABLE left_out AS SELECT unnest($ids::VARCHAR[]) AS run_id",
        {"ids": [*left_out]},
    )
    names = [run_id for (run_id,) in rows if run_id not in left_out]
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
            f"SELECT * FROM {table} WHERE run_id BETWEEN $first AND $last "
            "AND run_id NOT IN (SELECT run_id FROM left_out)",
            within,
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
