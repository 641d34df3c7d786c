"""A DuckDB connection to a store's file, and its errors in words.

Only for use inside the store's lock. The file is looked at before DuckDB touches it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ..errors import StoreError

MAGIC, MAGIC_AT = b"DUCK", 8
SMALLEST = 3 * 4096
"""Bytes of headers that every DuckDB file begins with."""

PATIENCE = 2.0
"""Seconds to wait for a program that opened the file without this project's lock."""

DAMAGE = (
    "could not read enough bytes",
    "corrupt",
    "checksum",
    "deserialize",
    "invalidated",
    "failed to load metadata",
    "wal file",
)
Configuration = dict[str, str | bool | int | float | list[str]]

SETTINGS: Configuration = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "threads": str(min(4, os.cpu_count() or 1)),
}

ZONE = "SET TimeZone = 'UTC'"
"""Times are stored in UTC, without a zone: what compares them with now must be at UTC, too."""

ONE_THREAD: Configuration = {"threads": "1"}
"""For writing: a commit of a few rows by two threads costs twice the processor time of one."""


@contextmanager
def connected(
    path: Path | None,
    write: bool,
    external: bool = False,
    fresh: bool = False,
    patience: float | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens a file for the duration of the block.

    Args:
        path: the file, or None for an empty database in memory.
        write: False opens it read-only.
        external: whether statements may reach other files (ATTACH, for backups).
        fresh: whether the file does not exist yet.
        patience: seconds to wait for a program that has the file open; by default `PATIENCE`.

    Raises:
        StoreError: the file cannot be opened, read or written; the text says why.
    """
    if path is not None and not fresh:
        inspect(path)
    settings = SETTINGS if external else {**SETTINGS, "enable_external_access": "false"}
    if write and path is not None:
        settings = {**settings, **ONE_THREAD}
    connection = _connect(path, write, settings, PATIENCE if patience is None else patience)
    try:
        with translated(path):
            connection.execute(ZONE)
            yield connection
    finally:
        with translated(path):
            connection.close()


@contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """Turns DuckDB's errors about a file or its disk into words; wrong statements stay as is.

    Raises:
        StoreError: the block failed for a reason that lies in the file.
    """
    try:
        yield
    except (duckdb.ProgrammingError, duckdb.IntegrityError, duckdb.DataError):
        raise
    except duckdb.Error as error:
        raise StoreError(explained(error, path)) from error


def inspect(path: Path) -> None:
    """Refuses what is certainly no DuckDB file.

    Raises:
        StoreError: empty, cut off, a folder, unreadable, or something else altogether.
    """
    if (said := no_file(path)) is not None:
        raise StoreError(f"{path} is {said}, not a store.")
    try:
        with path.open("rb") as file:
            head = file.read(SMALLEST)
    except FileNotFoundError:
        raise StoreError(f"There is no store at {path}.") from None
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {os.strerror(error.errno or 0)}.") from error
    if not head:
        raise StoreError(f"{path} is empty (0 bytes), no store: remove it or restore a backup.")
    if head[MAGIC_AT : MAGIC_AT + len(MAGIC)] != MAGIC:
        raise StoreError(f"{path} is not a DuckDB database.")
    if len(head) < SMALLEST:
        raise StoreError(f"{path} is cut off after {len(head)} bytes: restore a backup.")


def no_file(path: Path) -> str | None:
    """Says what stands at a path if that is no file that can be read to its end, or None.

    Opening a pipe waits for somebody who writes into it.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"


def check_whole(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Refuses an open file that ends before its own table of contents does.

    DuckDB reads a block when it needs it, so that it opens a file whose end is missing, and writes.

    Raises:
        StoreError: blocks are missing.
    """
    size = connection.execute("SELECT block_size FROM pragma_database_size()").fetchall()[0][0]
    tables = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    last = -1
    for (table,) in tables:
        found = connection.execute(
            "SELECT max(greatest(block_id, coalesce(list_max(additional_block_ids), -1))) "
            f"FROM pragma_storage_info('{table}')"
        ).fetchall()[0][0]
        last = max(last, -1 if found is None else found)
    needed, there = SMALLEST + (last + 1) * size, path.stat().st_size
    if there < needed:
        raise StoreError(
            f"{path} is cut off: it has {there} bytes and needs {needed}; restore a backup."
        )


def explained(error: duckdb.Error, path: Path | None) -> str:
    """Returns one sentence for an error that the file or its disk caused."""
    text, name = str(error), path or "The database in memory"
    low = text.lower()
    if "could not set lock" in low:
        holder = re.search(r"\(PID (\d+)\)", text)
        who = f"process {holder[1]}" if holder else "another program"
        return f"{name} is open in {who}, outside this project's lock: close it there first."
    if "version number" in low:
        return (
            f"{name} was written by a newer DuckDB than {duckdb.__version__}: install the version "
            "of DuckDB that wrote it, or export the runs with that version."
        )
    if "no space left" in low or "file too large" in low or "quota exceeded" in low:
        return f"The disk is full: {name} cannot grow, and nothing was stored. Free some space."
    if "read-only file system" in low or "permission denied" in low:
        return f"{name} may not be written to here: check the permissions of the file and folder."
    if "not a valid duckdb" in low:
        return f"{name} is not a DuckDB database."
    if any(sign in low for sign in DAMAGE):
        return f"{name} is damaged or cut off: restore a backup. (DuckDB: {_first(text)})"
    return f"{name} could not be used. (DuckDB: {_first(text)})"


def _connect(
    path: Path | None, write: bool, settings: Configuration, patience: float
) -> duckdb.DuckDBPyConnection:
    if path is None:
        return duckdb.connect(":memory:", config=settings)
    deadline = time.monotonic() + patience
    while True:
        try:
            return duckdb.connect(str(path), read_only=not write, config=settings)
        except duckdb.Error as error:
            waits = "could not set lock" in str(error).lower() and time.monotonic() < deadline
            if not waits:
                raise StoreError(explained(error, path)) from error
        time.sleep(0.05)  # a stranger: it knows nothing of our lock, so there is none to wait for


def _first(text: str) -> str:
    return text.strip().splitlines()[0][:300]
