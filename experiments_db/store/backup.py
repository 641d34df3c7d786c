"""Stores as a whole: backup, restore, merge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import duckdb

from ..errors import StoreError
from . import spill
from .connection import connected, translated
from .driver import folder_of, held_in
from .files import copy_database, make_folder, publish, quoted, remove, set_aside, temporary
from .lock import FileLock
from .migrations import SCHEMA, is_current, migrate, version
from .records import utc_now
from .store import Store


def backup(store: Store, dest: Path | str, overwrite: bool = False) -> Path:
    """Copies a store into a file of its own, complete and compact, and returns its path.

    Args:
        store: the store; others wait meanwhile.
        dest: the new file.
        overwrite: replace a file that is there.

    Raises:
        StoreError: there is no store, or ``dest`` exists or cannot be written.
    """
    place = Path(dest).expanduser().resolve()
    if place == store.path:
        raise StoreError(f"{place} is the store itself: name another file for the backup.")
    if place.exists() and not overwrite:
        raise StoreError(f"{place} exists already: name another file or allow to overwrite it.")
    if not store.path.exists():
        raise StoreError(f"There is no store at {store.path}.")
    with store.locked(write=False):
        copy_database(store.path, place)
    store.log.info("backup in %s", place)
    return place


def restore(source: Path | str, dest: Store, overwrite: bool = False) -> Path | None:
    """Makes a backup the store.

    Args:
        source: the backup; it is left as it is.
        dest: the store to be.
        overwrite: replace a store that is there; it is renamed, not removed.

    Returns:
        Where the old store went, or None if there was none.

    Raises:
        StoreError: the source is no sound store, the store exists, or a process drives runs.
    """
    dest.allow_writing()
    place = _other(source, dest)
    make_folder(dest.path)
    with dest.lock.held():
        if dest.path.exists() and not overwrite:
            raise StoreError(f"{dest.path} exists already: allow to overwrite it, or import.")
        driving = held_in(folder_of(dest.path))
        if dest.path.exists() and driving:
            raise StoreError(f"{driving[0]} drives the runs of {dest.path}: end it first.")
        with _sound_copy(place, dest.path) as fresh:
            aside = None
            if dest.path.exists():
                aside = set_aside(dest.path, f"replaced-{utc_now():%Y%m%dT%H%M%S}")
            publish(fresh, dest.path)
    spill.look_again(dest.path)
    dest.log.info("restored from %s; the old store is %s", place, aside)
    return aside


def import_runs(store: Store, file: Path | str) -> int:
    """Adds the runs of another store that this one lacks, and returns their number.

    A run that both have is not repeated; its result is taken over if this store has none.

    Raises:
        StoreError: the file is no sound store, or this one cannot be written.
    """
    store.allow_writing()
    place = _other(file, store)
    with store.open(write=True):
        pass  # brings an old schema up to date, so that the two have the same columns
    with (
        store.locked(write=True),
        _sound_copy(place, store.path) as fresh,
        connected(None, write=True, external=True) as connection,
        translated(store.path),
    ):
        connection.execute(f"ATTACH {quoted(fresh)} AS source (READ_ONLY)")
        connection.execute(f"ATTACH {quoted(store.path)} AS store")
        added = _merge(connection)
        connection.execute("DETACH store")
    spill.look_again(store.path)
    store.log.info("imported %d runs from %s", added, place)
    return added


def _merge(connection: duckdb.DuckDBPyConnection) -> int:
    lacking = "CREATE TEMP TABLE {0} AS SELECT run_id FROM source.{1} EXCEPT SELECT run_id FROM {2}"
    connection.execute(lacking.format("new_runs", "runs", "store.runs"))
    connection.execute(lacking.format("new_results", "results", "store.results"))
    wanted = {
        "runs": "new_runs",
        "tags": "new_runs",
        "marks": "new_runs",
        "results": "new_results",
        "curves": "new_results",
    }
    connection.begin()
    for table, new in wanted.items():
        connection.execute(
            f"INSERT INTO store.{table} BY NAME "
            f"SELECT * FROM source.{table} WHERE run_id IN (SELECT run_id FROM {new})"
        )
    connection.execute(
        "INSERT INTO store.configs SELECT * FROM source.configs "
        "WHERE config_group NOT IN (SELECT config_group FROM store.configs)"
    )
    connection.execute("DELETE FROM store.live WHERE run_id IN (SELECT run_id FROM new_results)")
    connection.commit()
    return connection.table("new_runs").shape[0]


def _other(file: Path | str, store: Store) -> Path:
    place = Path(file).expanduser().resolve()
    if place == store.path:
        raise StoreError(f"{place} is the store itself.")
    return place


@contextmanager
def _sound_copy(source: Path, beside: Path) -> Iterator[Path]:
    """Copies a store under a temporary name, brings it up to date and removes it at the end."""
    fresh = temporary(beside)
    lock = FileLock(source.with_name(f"{source.name}.lock"))
    try:
        with lock.held(write=False) if lock.path.exists() else nullcontext():
            copy_database(source, fresh)
        with connected(fresh, write=True) as connection:
            found = version(connection, source)
            if not is_current(found, SCHEMA, source):
                migrate(connection, SCHEMA, found)
                connection.execute("CHECKPOINT")
        yield fresh
    finally:
        remove(fresh)
