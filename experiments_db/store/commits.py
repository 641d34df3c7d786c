"""Group commit: what several threads write goes to disk together, a few times per second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import duckdb

from ..errors import StoreError

INTERVAL = 0.25
"""Seconds between the starts of two commits."""

T = TypeVar("T")
Write = Callable[[duckdb.DuckDBPyConnection], Any]
Piece = tuple[Write, "Future[Any]"]


class GroupCommit:
    """Runs pieces of work in shared transactions; each caller waits until its own is stored.

    A commit happens in a thread of its own, so that Ctrl-C in a waiting caller cannot tear it.
    The thread ends as soon as nothing is left to write, and the interpreter waits for it: one that
    were cut off inside DuckDB would take the process down with SIGABRT.

    Args:
        opened: opens the store for writing.
        interval: seconds between the starts of two commits.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
        interval: float,
    ) -> None:
        self._opened, self._interval = opened, interval
        self._guard, self._queue = threading.Lock(), list[Piece]()
        self._server: threading.Thread | None = None
        self._started = float("-inf")

    def submit(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Runs ``work`` in a transaction and returns its result once that is committed.

        Args:
            work: reads and writes; it raises StoreError before its first change or not at all.

        Raises:
            StoreError: the work refuses, or the file cannot be written.
        """
        answer: Future[T] = Future()
        with self._guard:
            self._queue.append((work, answer))
            serves = (self._server is not None and self._server.is_alive()) or self._start()
        if not serves:
            self._serve()
        return answer.result()

    def _start(self) -> bool:
        """Starts the thread that commits, and returns whether it runs. Inside the guard only."""
        self._server = threading.Thread(target=self._serve, name="store-commit", daemon=False)
        try:
            self._server.start()
        except (RuntimeError, MemoryError):  # no more threads, as when the interpreter is exiting
            self._server = None
        return self._server is not None

    def _serve(self) -> None:
        """Commits until nothing is left; no error ends it while somebody waits."""
        while True:
            with self._guard:
                if not self._queue:
                    self._server = None
                    return
                wait = self._started + self._interval - time.monotonic()
            time.sleep(max(0.0, wait))
            with self._guard:
                pieces, self._queue = self._queue, []
            self._started = time.monotonic()
            self._store(pieces)

    def _store(self, pieces: list[Piece]) -> None:
        try:
            answers = self._commit(pieces)
        except (StoreError, OSError) as error:  # the file or its disk: all alike
            _refuse(pieces, error)
        except BaseException as error:  # the edge of a piece of work: one of them is wrong
            if len(pieces) == 1:
                _refuse(pieces, error)
                return
            for piece in pieces:
                self._store([piece])
        else:
            _answer(pieces, answers)

    def _commit(self, pieces: list[Piece]) -> list[Any]:
        with self._opened() as connection:
            connection.begin()
            answers = [_attempt(work, connection) for work, _ in pieces]
            connection.commit()
        return answers


def _attempt(work: Write, connection: duckdb.DuckDBPyConnection) -> Any:
    try:
        return work(connection)
    except StoreError as refusal:
        return refusal


def _answer(pieces: list[Piece], answers: list[Any]) -> None:
    for (_, future), answer in zip(pieces, answers, strict=True):
        if isinstance(answer, StoreError):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _refuse(pieces: list[Piece], error: BaseException) -> None:
    for _, future in pieces:
        if not future.done():
            future.set_exception(error)
