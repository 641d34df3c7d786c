"""Results that a store could not take: one file each beside it, taken in by its next opening.

A result costs hours and cannot be had again, so that it is never only in the memory of a process:
what cannot be stored lies in ``<store>.results/`` as ``<run id>.json``, whole and on the disk,
until whoever opens the store next finds it. What the store refuses for good (a run that it does not
hold, a file that is none of ours) is renamed to ``<run id>.json.refused`` and stays.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb

from ..errors import StoreError
from . import writes
from .swap import flush, unwritable

FORMAT = 1
WAITING, REFUSED, UNFINISHED = ".json", ".refused", ".new"

TAKE_SECONDS = 1.0
"""Time in which one opening takes results in; the next one goes on."""

STALE_SECONDS = 3600.0
"""Age of an unfinished file beyond which its writer is gone."""

MOST_BYTES = 256 * 2**20

HALF = re.compile(r"[\ud800-\udfff]")
"""Half of a character, which no file can hold."""

WRONG = (
    ValueError, TypeError, RuntimeError, duckdb.DataError, duckdb.IntegrityError,
    duckdb.ProgrammingError, duckdb.NotSupportedError,
)  # fmt: skip
"""Errors that lie in the file of a result and not in the store or its disk."""

Rows = tuple[dict[str, Any], list[dict[str, Any]]]
"""The row of a result and those of its curves."""


def waits_in(path: Path) -> Path:
    """Returns where the results wait that the store at ``path`` could not take."""
    return path.with_name(f"{path.name}.results")


def waiting(path: Path) -> list[Path]:
    """Returns the files that the next opening takes in, oldest run first."""
    return _named(path, WAITING)


def refused(path: Path) -> list[Path]:
    """Returns the files that no opening takes in anymore."""
    return _named(path, REFUSED)


def spill(path: Path, row: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> Path:
    """Writes a result beside the store at ``path``, and returns its file once that is on the disk.

    Raises:
        StoreError: it cannot be written there either.
    """
    folder = waits_in(path)
    place = folder / (quote(row["run_id"], safe="") + WAITING)
    fresh = folder / f".{os.getpid()}-{secrets.token_hex(4)}{UNFINISHED}"
    document = {"format": FORMAT, "result": _plain(row), "curves": [_plain(c) for c in curves]}
    try:
        _written(fresh, json.dumps(document).encode())
        os.replace(fresh, place)
        for each in (folder, folder.parent):
            flush(each)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StoreError(unwritable(place, error)) from error
    return place


def take_in(connection: duckdb.DuckDBPyConnection, path: Path, log: logging.Logger) -> None:
    """Stores what waits, each result once, and removes its file. Inside the store's lock only.

    A result that the store holds already, since a process was killed between the two, is not
    repeated.
    """
    began = time.monotonic()
    for file in waiting(path):
        if time.monotonic() - began > TAKE_SECONDS:
            return
        try:
            kept = _stored(connection, *_read(connection, file))
        except WRONG as error:
            os.replace(file, f"{file}{REFUSED}")
            log.warning("the result in %s%s cannot be stored: %s", file, REFUSED, error)
        else:
            file.unlink()
            log.info("the result in %s %s", file, "is stored" if kept else "was stored already")
    _sweep(waits_in(path))


def look_again(path: Path) -> None:
    """Lets the next opening look at what was refused: the store has got other runs."""
    for file in refused(path):
        os.replace(file, str(file).removesuffix(REFUSED))


def in_the_way(path: Path) -> str | None:
    """Returns what is to be said about results that are not in the store, or None."""
    said = []
    if files := waiting(path):
        said.append(f"{_counted(files)} in {waits_in(path)} until the store can be written.")
    if files := refused(path):
        said.append(
            f"{_counted(files)} in {waits_in(path)} that the store does not take, since it does "
            f"not hold their runs or they are damaged ({path.name}.log says which): import the "
            "store that has the runs, or remove the files."
        )
    return " ".join(said) or None


def _counted(files: Sequence[Path]) -> str:
    return "1 result waits" if len(files) == 1 else f"{len(files)} results wait"


def _named(path: Path, ending: str) -> list[Path]:
    try:
        with os.scandir(waits_in(path)) as found:
            return sorted(Path(one.path) for one in found if one.name.endswith(ending))
    except OSError:
        return []


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row as JSON can hold it; Python's JSON knows NaN and infinities."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}


def _read(connection: duckdb.DuckDBPyConnection, file: Path) -> Rows:
    """Returns what a file says, known columns only.

    Raises:
        ValueError: it is no result of ours.
    """
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES >> 20} MB")
    document = json.loads(file.read_bytes())
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError("it is no result, or one of a newer version of this project")
    row, curves = document.get("result"), document.get("curves")
    if not isinstance(row, dict) or not isinstance(curves, list):
        raise ValueError("it lacks the result or its curves")
    _check(connection, "results", row, file)
    for curve in curves:
        _check(connection, "curves", curve, file)
    return row, curves


def _check(connection: duckdb.DuckDBPyConnection, table: str, row: Any, file: Path) -> None:
    """Refuses rows with unknown columns or values, or of another run than the file's name."""
    known = {name for name, *_ in connection.execute(f"DESCRIBE {table}").fetchall()}
    if not isinstance(row, dict) or not row.keys() <= known:
        raise ValueError(f"it has what {table} has no column for")
    if not isinstance(row.get("run_id"), str):
        raise ValueError(f"a row of {table} names no run")
    if quote(row["run_id"], safe="") + WAITING != file.name:
        raise ValueError(f"a row of {table} belongs to run {row['run_id']}")
    strange = [name for name, value in row.items() if not _is_plain(value)]
    if strange:
        raise ValueError(f"{table} cannot hold its {', '.join(strange)}")


def _is_plain(value: Any) -> bool:
    """Says whether a value is a text, a number or nothing, or a list of numbers.

    Nothing else is handed to DuckDB, whose C++ takes apart whatever it is given.
    """
    if isinstance(value, str):
        return not HALF.search(value)
    if isinstance(value, list):
        return all(isinstance(one, (int, float)) and _is_plain(one) for one in value)
    return value is None or isinstance(value, float) or (isinstance(value, int) and _fits(value))


def _fits(number: int) -> bool:
    """Says whether a whole number has room in eight bytes."""
    return -(2**63) <= number < 2**63


def _stored(
    connection: duckdb.DuckDBPyConnection, row: dict[str, Any], curves: list[dict[str, Any]]
) -> bool:
    """Stores a result; returns whether it was not there yet."""
    there = "SELECT 1 FROM results WHERE run_id = ?"
    if connection.execute(there, [row["run_id"]]).fetchone():
        return False
    connection.begin()
    try:
        writes.insert_result(connection, row, curves)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return True


def _written(fresh: Path, data: bytes) -> None:
    for attempt in range(3):
        fresh.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            break
        except FileNotFoundError:  # whoever took the last result in has removed the empty folder
            if attempt == 2:
                raise
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sweep(folder: Path) -> None:
    """Removes what writers that were killed left unfinished, and the folder once it is empty."""
    for left in folder.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
