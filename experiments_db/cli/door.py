"""How a command ends: its exit codes, errors in words, requests to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer

from ..installation import lacking
from .screen import say


class Exit(IntEnum):
    """What the process tells its caller."""

    DONE, FAILED, WRONG, ELSEWHERE, STOPPED = 0, 1, 2, 3, 130


@contextmanager
def door() -> Iterator[None]:
    """Turns what a user can fix into one message on standard error and an exit code."""
    from ..errors import StoreError
    from ..read.sandbox import QueryError

    try:
        yield
    except (StoreError, OSError) as error:
        complain(str(error), Exit.FAILED)
    except QueryError as error:
        complain(str(error), Exit.WRONG)
    except ValueError as error:
        from ttr_core import RequestError

        if not isinstance(error, RequestError):
            raise
        complain(str(error), Exit.WRONG)
    except ModuleNotFoundError as error:
        if (sentence := lacking(error)) is None:
            raise
        complain(sentence, Exit.FAILED)
    except KeyboardInterrupt:
        complain("Stopped.", Exit.STOPPED)


@contextmanager
def terminated() -> Iterator[None]:
    """Lets a request to terminate stop the run like Ctrl-C does."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def stoppable(kill: Callable[[], None]) -> Iterator[threading.Event]:
    """Turns Ctrl-C, and a request to terminate, into an event; the second one kills."""
    stop = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            kill()
        stop.set()  # nothing is printed here: the signal may have come in the middle of a print

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def complain(text: str, code: Exit) -> None:
    """Says what is wrong and ends the command.

    Raises:
        typer.Exit: always.
    """
    say(text)
    raise typer.Exit(code)
