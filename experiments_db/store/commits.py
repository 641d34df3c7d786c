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
Work = Callable[[duckdb.DuckDBPyConnection], Any]
Piece = tuple[Work, "Future[Any]"]


class GroupCommit:
    """Runs pieces of work in shared transactions; each caller waits until its own is stored.

    A commit happens in a thread of its own, so that Ctrl-C in a waiting caller cannot tear it.
    The thread ends when nothing is left to write.

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
        self._guard, self._queue, self._busy = threading.Lock(), list[Piece](), False
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
            starts, self._busy = not self._busy, True
        if starts:
            self._start()
        return answer.result()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._serve, name="store-commit", daemon=True).start()
        except RuntimeError:  # the interpreter is exiting and starts no more threads
            self._serve()

    def _serve(self) -> None:
        while True:
            time.sleep(max(0.0, self._started + self._interval - time.monotonic()))
            with self._guard:
                pieces, self._queue = self._queue, []
                if not pieces:
                    self._busy = False
                    return
            self._started = time.monotonic()
            self._store(pieces)

    def _store(self, pieces: list[Piece]) -> None:
        try:
            self._commit(pieces)
        except (StoreError, OSError) as error:  # the file or its disk: all alike
            _refuse(pieces, error)
        except (duckdb.Error, TypeError, ValueError) as error:  # one of them is wrong
            if len(pieces) == 1:
                _refuse(pieces, error)
            else:
                for piece in pieces:
                    self._store([piece])
        except BaseException as error:
            _refuse(pieces, error)
            raise

    def _commit(self, pieces: list[Piece]) -> None:
        with self._opened() as connection:
            connection.begin()
            answers = [_attempt(work, connection) for work, _ in pieces]
            connection.commit()
        for (_, future), answer in zip(pieces, answers, strict=True):
            if isinstance(answer, StoreError):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _attempt(work: Work, connection: duckdb.DuckDBPyConnection) -> Any:
    try:
        return work(connection)
    except StoreError as refusal:
        return refusal


def _refuse(pieces: list[Piece], error: BaseException) -> None:
    for _, future in pieces:
        if not future.done():
            future.set_exception(error)
