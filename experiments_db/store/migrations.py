"""The numbered steps of the schema: which a file has, which it lacks, how it gets them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from ..errors import StoreError
from .computed import COMPUTED
from .connection import connected
from .files import workplace
from .records import utc_now
from .swap import publish, unwritable

SCHEMA = Path(__file__).resolve().parents[1] / "schema"


@dataclass(frozen=True)
class Migration:
    """One step.

    Args:
        version: its number, from 1.
        file: the statements.
    """

    version: int
    file: Path


def migrations(folder: Path = SCHEMA) -> tuple[Migration, ...]:
    """Returns every step in order.

    Raises:
        StoreError: a number is missing or used twice.
    """
    found = [(re.match(r"\d+", file.name), file) for file in folder.glob("*.sql")]
    numbered = [Migration(int(number[0]), file) for number, file in found if number]
    steps = tuple(sorted(numbered, key=lambda step: step.version))
    if not steps or [step.version for step in steps] != list(range(1, len(steps) + 1)):
        names = ", ".join(step.file.name for step in steps) or "none"
        raise StoreError(f"The migrations in {folder} are not numbered 1, 2, 3, ...: {names}.")
    return steps


def version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Returns the version of an open file's schema.

    Raises:
        StoreError: the file is a DuckDB database, but not one of ours.
    """
    try:
        row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):
        row = None
    if row is None or row[0] is None:
        raise StoreError(f"{path} is a DuckDB database, but holds no runs of this project.")
    return int(row[0])


def is_current(found: int, folder: Path, path: Path) -> bool:
    """Returns whether a schema of version ``found`` is up to date.

    Raises:
        StoreError: it is newer than this program.
    """
    newest = migrations(folder)[-1].version
    if found > newest:
        raise StoreError(
            f"{path} was written by a newer version of this project (its schema is {found}, "
            f"this one knows {newest}): update the project."
        )
    return found == newest


def migrate(
    connection: duckdb.DuckDBPyConnection, folder: Path, found: int, until: int | None = None
) -> None:
    """Applies what is missing, each step in one transaction; ``until`` an older version, if asked.

    The version that the file has is ``found``.
    """
    for step in migrations(folder)[found:until]:
        connection.begin()
        try:
            connection.execute(step.file.read_text(encoding="utf-8"))
            if step.file.stem in COMPUTED:
                COMPUTED[step.file.stem](connection)
            row = [step.version, step.file.name, utc_now()]
            connection.execute("INSERT INTO schema_version VALUES (?, ?, ?)", row)
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def create(path: Path, folder: Path) -> None:
    """Creates an empty store under another name, then gives it its own. Inside the lock only.

    Raises:
        StoreError: the disk is full, or the log of a store that is gone lies there.
    """
    try:
        with workplace(path) as work:
            fresh = work / path.name
            with connected(fresh, write=True, fresh=True) as connection:
                migrate(connection, folder, 0)
                connection.execute("CHECKPOINT")  # to hear of a full disk
            publish(fresh, path)
    except OSError as error:
        raise StoreError(unwritable(path, error)) from error
