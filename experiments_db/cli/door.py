"""How a command ends: its exit codes, errors in words, requests to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from ..installation import lacking
from .screen import say


class Exit(IntEnum):
    """What the process tells its caller."""

    DONE, FAILED, WRONG, ELSEWHERE, STOPPED = 0, 1, 2, 3, 130


RENAMED = {"--force": "--overwrite", "-f": "--overwrite"}
"""What an option is called elsewhere -> its name in all commands here."""


class Commands(TyperGroup):
    """The commands, of which an unknown one is answered as any unknown name is."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Returns the command that is named first."""
        if self.get_command(ctx, args[0]) is None and args[0][:1].isalnum():
            from ttr_core import unknown

            ctx.fail(str(unknown("command", args[0][:80], self.list_commands(ctx))))
        name, command, rest = super().resolve_command(ctx, args)
        known = {text for one in command.params for text in one.opts} if command else set()
        for old, new in RENAMED.items():
            if old in rest and new in known:
                ctx.fail(f"There is no {old} here: {new} replaces what is there.")
        return name, command, rest


@contextmanager
def door() -> Iterator[None]:
    """Turns what a user can fix into one message on standard error and an exit code."""
    from ..errors import StoreError, WrongFile, WrongVariable
    from ..read.sandbox import QueryError

    try:
        yield
    except (QueryError, WrongFile, WrongVariable) as error:
        complain(str(error), Exit.WRONG)
    except StoreError as error:
        complain(str(error), Exit.FAILED)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        complain(f"{what}{error.strerror}." if error.strerror else str(error), Exit.FAILED)
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
