"""A store's file as a file: temporary names, durable renames, whole copies."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import duckdb

from ..errors import StoreError
from .connection import connected, inspect, translated


def temporary(path: Path) -> Path:
    """Returns a name beside ``path`` that nothing has."""
    return path.with_name(f".{path.name}.new-{os.getpid()}-{secrets.token_hex(4)}")


def tidy(path: Path) -> None:
    """Removes what a killed process left under temporary names. Inside the lock only."""
    for left in path.parent.glob(f".{path.name}.new-*"):
        left.unlink(missing_ok=True)


def log_of(path: Path) -> Path:
    """Returns where DuckDB keeps what is committed but not yet in the file itself."""
    return Path(f"{path}.wal")


def remove(path: Path) -> None:
    """Removes a database file and its log, if they are there."""
    path.unlink(missing_ok=True)
    log_of(path).unlink(missing_ok=True)


def publish(fresh: Path, path: Path) -> None:
    """Gives a finished, closed file its name, so that a crash leaves the old one or the new one.

    Raises:
        StoreError: a part of it could not be written; DuckDB keeps that to itself when it closes.
    """
    if log_of(fresh).exists():
        raise StoreError(f"The disk is full: {path} could not be written.")
    _flush(fresh)
    os.replace(fresh, path)
    _flush(path.parent)


def set_aside(path: Path, name: str) -> Path:
    """Renames a database file and its log, and returns the new name."""
    aside = path.with_name(f"{path.stem}.{name}{path.suffix}")
    os.replace(path, aside)
    if log_of(path).exists():
        os.replace(log_of(path), log_of(aside))
    return aside


def copy_database(source: Path, dest: Path) -> None:
    """Copies every row of a database into a new, compact file. ``cp`` would miss the log.

    The new file gets its name when it is complete.

    Raises:
        StoreError: the source cannot be read, or the destination cannot be written.
    """
    inspect(source)
    make_folder(dest)
    fresh = temporary(dest)
    try:
        with connected(None, write=True, external=True) as connection:
            with translated(source):
                connection.execute(f"ATTACH {quoted(source)} AS source (READ_ONLY)")
                before = _sizes(connection, "source")
            with translated(dest):
                connection.execute(f"ATTACH {quoted(fresh)} AS dest")
                connection.execute("COPY FROM DATABASE source TO dest")
                connection.execute("CHECKPOINT dest")
                after = _sizes(connection, "dest")
                connection.execute("DETACH dest")
        if before != after:
            raise StoreError(f"The copy of {source} is not complete: {before} became {after}.")
        publish(fresh, dest)
    except OSError as error:
        raise StoreError(f"Cannot write {dest}: {error.strerror}.") from error
    finally:
        remove(fresh)


def make_folder(path: Path) -> None:
    """Creates the folder of a file.

    Raises:
        StoreError: it cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot create the folder {path.parent}: {error.strerror}.") from error


def quoted(path: Path) -> str:
    """Returns a path as an SQL literal; ATTACH takes no parameters."""
    return "'" + str(path).replace("'", "''") + "'"


def _sizes(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, int]:
    names = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY 1", [database]
    ).fetchall()
    count = "SELECT count(*) FROM {}.{}".format
    return {name: connection.execute(count(database, name)).fetchall()[0][0] for (name,) in names}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
