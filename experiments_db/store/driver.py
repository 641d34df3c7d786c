"""Drivers: the processes that runs belong to, and who of them is still there.

A driver holds a lock on a file of its own for life. The kernel drops it with the process, however
that ends, so that a run whose driver is gone shows at once. Where locks do not reach, on another
host, the age of the last heartbeat decides.

What stands in that file is what others on this host ask of the driver: to hold, or to stop.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, unquote

import duckdb

from ..errors import StoreError
from . import writes
from .lock import is_held
from .log import handler_of
from .records import Live, utc_now

PACKAGE_LOG = logging.getLogger("experiments_db")
"""What the package says while a driver lives goes into the log beside its store."""

SILENCE = timedelta(seconds=60)
"""Age of a heartbeat beyond which a driver on another host counts as gone."""


T = TypeVar("T")


class Wish(StrEnum):
    """What others ask of a driver: to go on, to begin nothing more for now, to stop."""

    GO, HOLD, STOP = "", "hold", "stop"


class Kept(Protocol):
    """What a driver needs of the store that its runs are kept in."""

    path: Path
    log: logging.Logger

    def open(self, write: bool = False) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Opens the file for the duration of the block."""
        ...

    def allow_writing(self) -> None:
        """Refuses changes to a read-only store."""
        ...

    def write(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Runs ``work`` in a grouped transaction."""
        ...


class Driver:
    """A process that runs experiments; make one with `Store.driver` and close it at the end.

    It belongs to the process that made it: a forked child would keep the lock alive.

    Args:
        store: where its runs are kept.
    """

    def __init__(self, store: Kept) -> None:
        self._store, self.host = store, socket.gethostname()
        self._folder = folder_of(store.path)
        with store.open(write=True):  # nobody sweeps between the file's birth and its lock
            self._sweep()
            self.id, self._descriptor = self._take()
        self._handler = handler_of(store.path)
        PACKAGE_LOG.addHandler(self._handler)
        store.log.info("driver %s starts", self.id)

    @property
    def owner(self) -> writes.Owner:
        """What a run's row says about its driver."""
        return writes.Owner(self.id, self.host)

    def heartbeat(self, lives: Sequence[Live] = ()) -> None:
        """Notes that the driver lives, and how far its runs are, in one transaction.

        Raises:
            StoreError: the store cannot be written.
        """
        self._store.write(lambda connection: writes.beat(connection, self.id, lives))

    def close(self) -> None:
        """Gives the lock back; a run that has not ended counts as interrupted from now on."""
        if self._descriptor is None:
            return
        _file_of(self._folder, self.id).unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None
        PACKAGE_LOG.removeHandler(self._handler)
        self._store.log.info("driver %s ends", self.id)

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _take(self) -> tuple[str, int | None]:
        try:
            self._folder.mkdir(exist_ok=True)
            while True:
                name = f"{self.host}:{os.getpid()}:{utc_now():%Y%m%dT%H%M%S.%f}"
                path = _file_of(self._folder, name)
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
                except FileExistsError:
                    continue  # another driver of this process, in the same microsecond
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                return name, descriptor
        except OSError as error:
            raise StoreError(f"Cannot write to {self._folder}: {error.strerror}.") from error

    def _sweep(self) -> None:
        """Removes the files of drivers that are gone; locks of other hosts may be invisible."""
        for name in drivers_in(self._folder):
            path = _file_of(self._folder, name)
            if name.split(":")[0] == self.host and not is_held(path):
                path.unlink(missing_ok=True)


def folder_of(path: Path) -> Path:
    """Returns where the drivers of a store keep their lock files."""
    return path.with_name(f"{path.name}.drivers")


def drivers_in(folder: Path) -> list[str]:
    """Returns the drivers that have a file, alive or not."""
    return sorted(unquote(file.name) for file in folder.glob("*"))


def held_in(folder: Path) -> list[str]:
    """Returns the drivers that hold their locks."""
    return [name for name in drivers_in(folder) if is_held(_file_of(folder, name))]


def ask_of(path: Path, driver: str, wish: Wish) -> bool:
    """Asks something of a driver on this host; returns whether it is still there to be asked.

    Args:
        path: of its store.
        driver: its name.
        wish: what is asked, until something else is.
    """
    file = _file_of(folder_of(path), driver)
    if not is_held(file):
        return False
    try:
        descriptor = os.open(file, os.O_WRONLY)  # makes none: the driver may end here
    except OSError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as asked:
        asked.truncate()
        asked.write(wish)
    return True


def wish_of(path: Path, driver: str) -> Wish:
    """Returns what is asked of a driver.

    Args:
        path: of its store.
        driver: its name.
    """
    try:
        return Wish(_file_of(folder_of(path), driver).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it is gone, or another program wrote there
        return Wish.GO


def asked_here(path: Path) -> Wish:
    """Returns what is asked of this process, whose drivers do as one: to stop before to hold.

    Args:
        path: of their store.
    """
    own = [socket.gethostname(), str(os.getpid())]
    drivers = [name for name in drivers_in(folder_of(path)) if name.split(":")[:2] == own]
    wishes = {wish_of(path, driver) for driver in drivers}
    return next((wish for wish in (Wish.STOP, Wish.HOLD) if wish in wishes), Wish.GO)


def alive(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """Returns the drivers of unfinished runs that are still there.

    Inside the store's lock this is exact for drivers of this host: they cannot store a result
    between the answer and its use.
    """
    rows = connection.execute(
        "SELECT driver, any_value(host), max(beat_at) FROM live GROUP BY driver"
    ).fetchall()
    return [driver for driver, host, beat in rows if _lives(driver, host, beat, path)]


def _lives(driver: str, host: str, beat: datetime, path: Path) -> bool:
    if is_held(_file_of(folder_of(path), driver)):
        return True
    return host != socket.gethostname() and utc_now() - beat < SILENCE


def _file_of(folder: Path, driver: str) -> Path:
    return folder / quote(driver, safe="")
