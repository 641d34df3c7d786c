"""How many runs a server takes at a time, for all who look at it and for each of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from ttr_core import RequestError, how_many

from ..errors import WrongVariable
from .jobs import Job

IN_ALL, EACH = "TTR_QUEUE", "TTR_SHARE"
"""Variables that limit the runs of a server."""

DIGITS = 9
"""Digits of a number of runs at most."""


@dataclass(frozen=True)
class Room:
    """How many runs may wait or run at a time; None is no limit.

    Whoever opens many sessions has the share of each, so that the limit in all is the one that
    holds against ill will.

    Args:
        in_all: of all sessions together.
        each: of one browser session.
    """

    in_all: int | None = None
    each: int | None = None

    def check(self, jobs: Iterable[Job], session: str) -> None:
        """Refuses one more run where there is no room for it.

        Args:
            jobs: those that are known.
            session: who asks.

        Raises:
            RequestError: says how many there are and may be.
        """
        going = [job for job in jobs if not job.ended]
        own = [job for job in going if job.session == session]
        if self.each is not None and len(own) >= self.each:
            raise RequestError(
                f"You have {how_many(len(own), 'run')} on this server, which takes {self.each} of "
                "each browser session at a time: wait until one has ended, or stop one."
            )
        if self.in_all is not None and len(going) >= self.in_all:
            raise RequestError(
                f"{how_many(len(going), 'run waits or runs', 'runs wait or run')} on this server, "
                f"which takes {self.in_all} at a time: try again when one has ended."
            )


UNLIMITED = Room()


def room() -> Room:
    """Returns the limits that the environment says; without them there are none.

    Raises:
        WrongVariable: a variable is no number of runs.
    """
    return Room(runs_said(IN_ALL), runs_said(EACH))


def runs_said(name: str) -> int | None:
    """Returns how many runs a variable of the environment says; None where it says nothing.

    Raises:
        WrongVariable: it is no number of runs.
    """
    said = os.environ.get(name, "").strip()
    if not said:
        return None
    if not said.isdecimal() or len(said) > DIGITS or int(said) == 0:
        raise WrongVariable(
            f"{name} is {said[:80]!r}; say how many runs at most, 1 or more, or nothing."
        )
    return int(said)
