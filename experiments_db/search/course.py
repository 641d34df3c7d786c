"""A search on its way: what its store has, what comes next, and whether the budget lets it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttr_core import how_many

from ..store import Store
from ..sweeps import Preview, Work, in_words, preview, usual_jobs
from .finals import Finals, finals
from .halving import Climb, Rung, climb
from .ledger import Ledger, Reached
from .outlook import Outlook
from .trainings import Training


@dataclass(frozen=True)
class SearchState:
    """How far a search has come. It follows from the plan and the store alone.

    Args:
        climb: of halving.
        finals: what came after it.
        cpu_seconds: of the processor, of all trainings that count.
        trainings: how many these are.
        failed: those of them that failed, which count as 0.
    """

    climb: Climb
    finals: Finals = field(default_factory=Finals)
    cpu_seconds: float = 0.0
    trainings: int = 0
    failed: tuple[Reached, ...] = ()

    @property
    def missing(self) -> tuple[Training, ...]:
        """What is to be trained next; nothing at the end."""
        return self.climb.missing or self.finals.missing

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs of halving that are complete."""
        return self.climb.rungs

    @property
    def stage(self) -> str:
        """What is done now."""
        if self.climb.missing:
            return f"rung {len(self.rungs) + 1}, {self.climb.missing[0].steps:,} steps"
        return self.finals.stage or "done"

    @property
    def told(self) -> str:
        """What of it is there, and what comes next."""
        spent = f", {in_words(self.cpu_seconds)} of a processor" if self.trainings else ""
        missing = how_many(len(self.missing), "run")
        after = f"next is {self.stage}: {missing} to go" if self.missing else "none is left to run"
        there = how_many(self.trainings, "training is", "trainings are")
        return f"{there} in the store or in the evidence of the plan{spent}; {after}."


class Search:
    """A search, which several processes may work on.

    Args:
        store: where its runs are.
        ahead: what it is to do.
        beside: where more of them are, such as those of files that a dry run looks at.
    """

    def __init__(self, store: Store, ahead: Outlook, beside: Store | None = None) -> None:
        self._store, self._ahead, self.plan = store, ahead, ahead.plan
        first = ahead.space.candidates[0]
        self._book = Ledger(store, first.experiment.task.main(), beside)

    def state(self) -> SearchState:
        """Returns how far it has come."""
        climbed, last = climb(self.plan, self._ahead.space, self._book), Finals()
        if not climbed.missing:
            last = finals(self.plan, climbed.rungs[-1], self._book)
        book = self._book
        return SearchState(climbed, last, book.cpu_seconds, len(book), book.failed)

    def adopt(self) -> None:
        """Puts the plan's tags on the runs that count so far, whatever they were made for."""
        self._book.adopt(self.plan.tags)

    def wave(self, state: SearchState, jobs: int | None) -> Preview:
        """Returns the runs that come next.

        Args:
            state: how far it has come.
            jobs: runs side by side; None for one a core.
        """
        runs = tuple(one.planned for one in state.missing)
        work = Work(runs, axes=state.stage)
        return preview(self._store, work, jobs or usual_jobs(runs), pace=self._ahead.pace)

    def refusal(self, state: SearchState, wave: Preview) -> str:
        """Returns why the budget does not let the next runs begin, or nothing.

        Args:
            state: how far it has come.
            wave: the runs that come next.
        """
        if self.plan.budget is None:
            return ""
        left = 3600 * self.plan.budget - state.cpu_seconds
        needed = wave.pace.processor(run.kind for run in wave.open)[0]
        if needed <= left:
            return ""
        runs = how_many(len(wave.open), "run")
        return (
            f"The budget of {self.plan.budget:g} processor hours has {in_words(max(0.0, left))} "
            f"left, and {state.stage} takes {in_words(needed)} ({runs}): with a "
            "larger one the same command goes on."
        )
