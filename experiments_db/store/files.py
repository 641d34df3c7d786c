"""A store's file as a file: work that is not finished, whole copies.

What is not finished lies in a folder of its own beside its place, with a lock that lives as long as
the process: whoever comes next removes what nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ..errors import StoreError
from .connection import connected, inspect, translated
from .lock import is_held
from .swap import forget_unannounced, log_of, publish, replace, unwritable

ALIVE = "alive"
"""The lock in a folder of unfinished work."""

UNLOCKED_SECONDS = 60.0
"""Age beyond which unfinished work without a lock is nobody's."""

LEFT_FILE = re.compile(r"\..+\.new-(\d+)-[0-9a-f]{8}")


def absolute(path: Path | str) -> Path:
    """Returns the one absolute name of a file, whether it exists or not.

    Raises:
        StoreError: no file can have that name.
    """
    try:
        place = Path(path).expanduser().resolve()
        str(place).encode()
    except UnicodeEncodeError:  # any bytes name a file, but DuckDB takes text
        raise StoreError(f"{str(path)!a} names no file: it is no text in UTF-8.") from None
    except (RuntimeError, OSError, ValueError) as error:  # links in a circle, ~nobody, a zero byte
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreError(f"{str(path)!a} names no file: {(said or '').rstrip('.')}.") from None
    return place


def same(one: Path, other: Path) -> bool:
    """Says whether two names are of one file, as a link to it is."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def temporary(path: Path) -> Path:
    """Returns a name beside ``path`` that nothing has."""
    return path.with_name(f".{path.name}.new-{os.getpid()}-{secrets.token_hex(4)}")


@contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """Makes a folder beside ``path`` for the duration of the block, for what will be ``path``.

    If the process is killed, the next one that works in that folder removes it.
    """
    tidy(path.parent)
    folder = path.with_name(f".{path.name}.new-{secrets.token_hex(4)}")
    folder.mkdir()
    draft = folder / "new"
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with contextlib.suppress(OSError):  # no locks here: its age has to do
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        draft.rename(folder / ALIVE)  # locked before anybody looks at it
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def tidy(folder: Path) -> None:
    """Removes the unfinished work that processes left behind in a folder when they were killed."""
    try:
        with os.scandir(folder) as found:
            names = [Path(entry.path) for entry in found if ".new-" in entry.name]
        for left in names:
            if left.is_dir() and _is_nobodys(left):
                shutil.rmtree(left, ignore_errors=True)
            elif (of := LEFT_FILE.fullmatch(left.name)) and left.is_file() and _is_gone(int(of[1])):
                left.unlink(missing_ok=True)
        forget_unannounced(folder)
    except OSError:
        return  # a folder that cannot be written to: then nothing was left by us


def _is_nobodys(folder: Path) -> bool:
    if not re.fullmatch(r"\..+\.new-[0-9a-f]{8}", folder.name):
        return False
    if (folder / ALIVE).exists():
        return not is_held(folder / ALIVE)
    return time.time() - folder.stat().st_mtime > UNLOCKED_SECONDS


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def raw_copy(source: Path, folder: Path) -> Path:
    """Copies a database and its log byte by byte; inside its lock, where nobody writes it.

    Raises:
        StoreError: there is no database, or a program that does not know the lock writes it.
    """
    inspect(source)
    copy = folder / "raw.duckdb"
    with source.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # the lock that DuckDB itself takes
        except OSError:
            raise StoreError(
                f"{source} is open in another program, outside this project's lock: close it there "
                "first."
            ) from None
        shutil.copyfile(source, copy)
        if log_of(source).exists():
            shutil.copyfile(log_of(source), log_of(copy))
    return copy


def copy_database(source: Path, dest: Path, overwrite: bool = False) -> None:
    """Copies every row of a database into a new, compact file. ``cp`` would miss the log.

    The new file gets its name when it is complete.

    Args:
        source: the database.
        dest: the new file.
        overwrite: replace what is there, its log included.

    Raises:
        StoreError: the source cannot be read, or the destination cannot be written or exists.
    """
    inspect(source)
    make_folder(dest)
    try:
        with workplace(dest) as folder:
            fresh = folder / "fresh.duckdb"
            _copy(source, fresh, dest)
            (replace if overwrite else publish)(fresh, dest)
    except OSError as error:
        raise StoreError(unwritable(dest, error)) from error


def _copy(source: Path, fresh: Path, dest: Path) -> None:
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


def make_folder(path: Path) -> None:
    """Creates the folder of a file.

    Raises:
        StoreError: it cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot create the folder {path.parent}: {error.strerror}.") from error
    except RecursionError:
        raise StoreError(f"Cannot create the folder {path.parent}: it lies too deep.") from None


def no_place(path: Path) -> str | None:
    """Says why a file that does not exist cannot be made, or None; makes nothing."""
    nearest = next(folder for folder in path.parents if os.path.exists(folder))
    if not nearest.is_dir():
        return f"No store can be made at {path}: {nearest} is not a folder."
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"No store can be made at {path}: nothing may be written in {nearest}."
    return None


def quoted(path: Path) -> str:
    """Returns a path as an SQL literal; ATTACH takes no parameters."""
    return "'" + str(path).replace("'", "''") + "'"


def _sizes(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, int]:
    names = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY 1", [database]
    ).fetchall()
    count = "SELECT count(*) FROM {}.{}".format
    return {name: connection.execute(count(database, name)).fetchall()[0][0] for (name,) in names}
