"""The store of runs: one DuckDB file that many processes share.

No connection outlives ``with store.open()``, and every open goes through the store's lock. What a
process writes it writes through `Store.write`, which groups it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from ..errors import StoreError, WrongVariable
from ..installation import data_folder
from . import spill, weights, writes
from .commits import INTERVAL, GroupCommit
from .connection import check_whole, connected, inspect
from .driver import Driver, alive
from .files import absolute, copy_database, make_folder
from .lock import TIMEOUT, FileLock
from .log import logger_of
from .migrations import SCHEMA, create, is_current, migrate, version
from .records import Claim, Live, NewRun, Outcome, storable
from .series import series_of
from .swap import alone, finish, note_of, unused

__all__ = ["Claim", "Driver", "Live", "NewRun", "Outcome", "Store", "StoreError", "open_store"]

YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")

T = TypeVar("T")


class Store:
    """The runs in one file. Making a Store opens nothing; it may be made as often as needed.

    Args:
        path: the file; it is created by the first write.
        readonly: refuse every change.
        timeout: seconds to wait for the file.
        schema: the folder of migrations.
    """

    def __init__(
        self, path: Path, readonly: bool = False, timeout: float = TIMEOUT, schema: Path = SCHEMA
    ) -> None:
        self.path, self.readonly, self._schema = path, readonly, schema
        self._looked = False
        self.lock = FileLock(path.with_name(f"{path.name}.lock"), timeout)
        self.log = logger_of(path)
        self._group = GroupCommit(lambda: self.open(write=True), INTERVAL)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, readonly={self.readonly})"

    @contextmanager
    def open(self, write: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Opens the file for the duration of the block, in which nobody else does.

        A store that does not exist yet reads as empty. Do not nest, and leave the block soon.

        Args:
            write: False opens it read-only.

        Raises:
            StoreError: the file cannot be used; the text says why.
        """
        if not write and not (self.path.exists() or self.lock.path.exists()):
            with self._empty() as connection:
                yield connection
            return
        with self.locked(write):
            if not self.path.exists():
                with self._empty() as connection:
                    yield connection
                return
            if spill.waiting(self.path):
                self._take_in(patient=write)
            with connected(self.path, write) as connection:
                if is_current(version(connection, self.path), self._schema, self.path):
                    self._look_closer(connection, write)
                    yield connection
                    return
            self._upgrade()
            with connected(self.path, write) as connection:
                yield connection

    @contextmanager
    def locked(self, write: bool) -> Iterator[None]:
        """Keeps everybody else out for the duration of the block, without opening the file.

        Args:
            write: whether the file may be changed; it is created if it does not exist.

        Raises:
            StoreError: the store is read-only, or another process keeps it.
        """
        if write:
            self.allow_writing()
            make_folder(self.path)
        self._refuse_foreign()
        with self.lock.held(write):
            if note_of(self.path).exists():
                self._finish_replacement()
            if write and not self.path.exists():
                create(self.path, self._schema)
                self.log.info("created %s", self.path)
            yield

    def allow_writing(self) -> None:
        """Refuses changes to a read-only store.

        Raises:
            StoreError: it is read-only.
        """
        if self.readonly:
            raise StoreError(f"{self.path} is read-only here (TTR_READONLY): nothing was changed.")

    def write(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Runs ``work`` in a grouped transaction; returns once it is stored.

        Raises:
            StoreError: the work refuses, or the file cannot be written.
        """
        self.allow_writing()
        return self._group.submit(work)

    def driver(self) -> Driver:
        """Returns a new driver, which lives until it is closed or the process ends.

        Raises:
            StoreError: the store cannot be written.
        """
        self.allow_writing()
        self._refuse_foreign()
        return Driver(self)

    def claim(self, driver: Driver, run: NewRun, fresh: bool = False) -> Claim:
        """Inserts a run as running, unless somebody has or had it.

        Args:
            driver: who will run it.
            run: what is to be run.
            fresh: insert it in any case.

        Returns:
            The new run's id, or the live or complete run that has its configuration, unless that
            one ended for want of less time than is given now.

        Raises:
            StoreError: the store cannot be written.
        """
        self.allow_writing()
        row, tags = writes.run_row(run), writes.clean_tags(run.tags)
        series, _ = series_of(row["config"])  # outside the lock: it may have to import PyTorch

        def work(connection: duckdb.DuckDBPyConnection) -> Claim:
            living = alive(connection, self.path)
            found = (
                None if fresh else writes.holder(connection, run.config_hash, living, run.seconds)
            )
            if found is not None:
                return Claim(None, found[0], found[1])
            return writes.insert_run(connection, row, series, tags, driver.owner)

        claim = self.write(work)
        said = f"{claim.run_id} claimed" if claim.run_id else f"{claim.existing} {claim.status}"
        self.log.info("configuration %s: %s", run.config_hash, said)
        return claim

    def finish(self, run_id: str, outcome: Outcome) -> None:
        """Ends a run; returns once that is stored.

        Raises:
            StoreError: there is no such run, it has ended, or the store cannot be written.
        """
        self.allow_writing()
        row, curves = writes.result_rows(run_id, outcome)
        self.write(lambda connection: writes.insert_result(connection, row, curves))
        self.log.info("run %s %s", run_id, outcome.status)

    def set_note(self, ids: Sequence[str], text: str) -> int:
        """Replaces the note of some runs and returns their number."""
        return self._mark(ids, "note", writes.clean_note(text))

    def star(self, ids: Sequence[str]) -> int:
        """Stars some runs and returns their number."""
        return self._mark(ids, "starred", True)

    def unstar(self, ids: Sequence[str]) -> int:
        """Takes the star off some runs and returns their number."""
        return self._mark(ids, "starred", False)

    def archive(self, ids: Sequence[str]) -> int:
        """Puts some runs away and returns their number; `restore` brings them back."""
        return self._mark(ids, "archived", True)

    def restore(self, ids: Sequence[str]) -> int:
        """Brings archived runs back and returns their number."""
        return self._mark(ids, "archived", False)

    def tag(self, ids: Sequence[str], tags: Sequence[str]) -> int:
        """Adds tags to some runs and returns the number of runs."""
        cleaned = writes.clean_tags(tags)
        return self._change(ids, lambda c: writes.add_tags(c, ids, cleaned), f"tag {cleaned}")

    def untag(self, ids: Sequence[str], tags: Sequence[str]) -> int:
        """Takes tags off some runs and returns the number of runs."""
        return self._change(ids, lambda c: writes.remove_tags(c, ids, tags), f"untag {tags}")

    def delete(self, ids: Sequence[str]) -> int:
        """Removes runs for good and returns their number.

        Raises:
            StoreError: one is unknown or still running; then none is removed.
        """
        count = self._change(ids, lambda c: writes.delete(c, ids, alive(c, self.path)), "delete")
        weights.forget(self.path, ids)
        return count

    def _mark(self, ids: Sequence[str], column: str, value: str | bool) -> int:
        return self._change(ids, lambda c: writes.mark(c, ids, column, value), f"mark {column}")

    def _change(
        self, ids: Sequence[str], work: Callable[[duckdb.DuckDBPyConnection], int], what: str
    ) -> int:
        self.allow_writing()
        if not ids:
            return 0
        for run_id in ids:
            storable(run_id, f"The run id {run_id!a}")
        changed = self.write(work)
        self.log.info("%s: %s", what, ", ".join(ids))
        return changed

    def _refuse_foreign(self) -> None:
        """Refuses a file that never was a store, so that no lock is left beside it.

        Who makes a store makes its lock first: where there is none, nobody is writing here.
        """
        if not self.lock.path.exists() and self.path.exists():
            inspect(self.path)

    @contextmanager
    def _empty(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Opens what a store that does not exist reads as."""
        with connected(None, write=True) as connection:
            migrate(connection, self._schema, 0)
            yield connection

    def _finish_replacement(self) -> None:
        """Does the rest of a restore that was killed. Inside the lock only."""
        if self.readonly:
            raise StoreError(
                f"A restore of {self.path} was interrupted: open it once without TTR_READONLY, "
                "and it is finished."
            )
        try:
            with alone(self.path.parent):
                aside = finish(self.path)
        except OSError as error:
            raise StoreError(
                f"A restore of {self.path} was interrupted and cannot be finished: "
                f"{error.strerror}."
            ) from error
        self.log.warning("finished a restore that was interrupted; the old store is %s", aside)

    def _look_closer(self, connection: duckdb.DuckDBPyConnection, write: bool) -> None:
        """Checks the file before this Store's first write: a damaged file must stay as it is."""
        if write and not self._looked:
            check_whole(connection, self.path)
            self._looked = True

    def _take_in(self, patient: bool) -> None:
        """Stores the results that wait beside the store, if that is possible now.

        Args:
            patient: whether to wait for a stranger who has the file open; a reader does not.
        """
        if self.readonly:
            return
        wait = None if patient else 0.0
        try:
            with connected(self.path, write=True, patience=wait) as connection:
                current = is_current(version(connection, self.path), self._schema, self.path)
            if not current:
                self._upgrade()
            with connected(self.path, write=True, patience=wait) as connection:
                self._look_closer(connection, write=True)
                spill.take_in(connection, self.path, self.log)
        except (StoreError, OSError) as error:
            self.log.warning("results wait in %s: %s", spill.waits_in(self.path), error)

    def _upgrade(self) -> None:
        """Brings an older file up to date, after a backup. Inside the lock only."""
        if self.readonly:
            raise StoreError(
                f"{self.path} was written by an older version of this project: open it once "
                "without TTR_READONLY, and it is brought up to date."
            )
        with connected(self.path, write=False) as connection:
            found = version(connection, self.path)
        saved = unused(self.path, f"schema-{found}")
        copy_database(self.path, saved)
        self.log.info("schema %d is old; backup in %s", found, saved)
        with connected(self.path, write=True) as connection:
            migrate(connection, self._schema, found)


def open_store(
    path: Path | str | None = None, readonly: bool | None = None, timeout: float = TIMEOUT
) -> Store:
    """Returns the store at a path; nothing is opened yet.

    Args:
        path: the file; by default TTR_DB, then ``runs.duckdb`` in TTR_HOME, then in
            `installation.data_folder`.
        readonly: refuse every change; by default as TTR_READONLY says.
        timeout: seconds to wait for the file.

    Raises:
        WrongVariable: a variable has no valid value.
    """
    if path is None:
        path = os.environ.get("TTR_DB") or data_folder() / "runs.duckdb"
    place = absolute(path)  # one file, one lock, by whatever name
    return Store(place, _readonly() if readonly is None else readonly, timeout)


def _readonly() -> bool:
    said = os.environ.get("TTR_READONLY", "").strip().lower()
    if said not in (*YES, *NO):
        raise WrongVariable(f"TTR_READONLY is {said[:80]!r}; say 1 to forbid every change, or 0.")
    return said in YES
