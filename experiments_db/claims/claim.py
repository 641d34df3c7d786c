"""What a claim is: a sentence with its source, the runs that decide it, and a verdict."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import pandas as pd

from ..sweeps.estimate import Timed

if TYPE_CHECKING:
    import altair as alt

    from .found import Found
    from .party import Party

Scale = Literal["quick", "paper"]
SCALES: tuple[Scale, ...] = ("quick", "paper")


class Word(StrEnum):
    """What is said of a claim."""

    HOLDS = "holds"
    IF = "holds if"
    PART = "holds in part"
    FAILS = "does not hold"
    REDUCED = "shown beside, reduced: no verdict"
    OPEN = "not settled"


@dataclass(frozen=True)
class Ruling:
    """A word on a claim and the sentence that belongs to it."""

    word: Word
    said: str


@dataclass(frozen=True)
class Finding:
    """What the runs say of a claim.

    Args:
        verdict: the word and its reason.
        table: the numbers behind it, a row for each contender or comparison.
        chart: their picture, where there is one.
        n: seeds, or streams, that each number is of; the fewest.
        cpu_seconds: of the runs.
    """

    verdict: Ruling
    table: pd.DataFrame
    chart: alt.TopLevelMixin | None = None
    n: int = 0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Thesis(abc.ABC):
    """A sentence that runs decide.

    Args:
        name: for commands, files and addresses.
        sentence: what is claimed.
        source: where; ``ours`` for what the paper leaves out.
        link: the state of Explore that shows it, as an address has it.
        evidence: files of ``docs/evidence`` whose runs count for it, in a checkout.
    """

    name: str
    sentence: str
    source: str
    link: str = ""
    evidence: tuple[str, ...] = ()

    @abc.abstractmethod
    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        """Returns what has to be run; nothing for what is computed on the spot."""

    @abc.abstractmethod
    def judged(self, found: Found, scale: Scale) -> Finding:
        """Returns what the runs say; called only when none of them is missing."""


@dataclass(frozen=True)
class Judged:
    """A claim with what is said of it.

    Args:
        claim: it.
        outcome: what the runs say.
        missing: its runs that there are not.
        times: what one of its runs of each kind took.
    """

    claim: Thesis
    outcome: Finding
    missing: int = 0
    times: tuple[Timed, ...] = ()
