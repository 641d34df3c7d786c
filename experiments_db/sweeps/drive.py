"""A sweep on its way: hands a plan's runs to a Supervisor, a few at a time, and counts.

Whoever else works on the same plan is respected: a run that is complete, or running under a living
driver, is skipped. The claim inside the store's lock decides; what is asked before only saves it.
"""

from __future__ import annotations

import collections
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ttr_core import RequestError

from ..run.executor import Executor
from ..run.jobs import RUNNING, Job
from ..run.supervisor import Supervisor
from ..store import Store, StoreError
from ..store.driver import Wish, asked_here
from ..store.writes import clean_tags
from . import questions
from .estimate import Pace, taken
from .expansion import Planned, times_of
from .outcome import OUTCOMES, Ended
from .preview import Preview
from .tuned import followers

LOOK_SECONDS = 10.0
"""Seconds between two looks at what other drivers have done."""

REFUSALS = 3
"""Runs in a row that get no row in the store, after which the sweep gives up."""


@dataclass(frozen=True)
class Budget:
    """How much of a plan is to be run now; the same command goes on with the rest.

    Args:
        runs: runs at most, or None.
        seconds: no run starts after so many, or None.
        each: processor seconds after which a single run is ended and has failed, or None.
    """

    runs: int | None = None
    seconds: float | None = None
    each: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is to be run now, so that only what there is gets written down."""
        return self.seconds == 0


class Sweep:
    """The runs of a plan, worked off by a Supervisor.

    Args:
        store: where they are kept.
        supervisor: who runs them.
        runs: the runs.
        workers: how many run side by side.
        tags: labels of every run.
        fresh: run what the store holds already.
        pace: how long runs take.
        seeds_later: seeds that a run which tries several rates is followed by, at the best rate.
        budget: how much is to be run now.
        session: the browser session that asks, whose runs are limited; where there is no room
            for another one, the sweep waits.
    """

    def __init__(
        self,
        store: Store,
        supervisor: Supervisor,
        runs: Iterable[Planned],
        workers: int = 1,
        tags: Iterable[str] = (),
        fresh: bool = False,
        pace: Pace | None = None,
        seeds_later: Sequence[int] = (),
        budget: Budget = Budget(),
        session: str = "",
    ) -> None:
        self._session = session
        self._store, self._supervisor, self._workers = store, supervisor, workers
        self._tags, self._fresh, self.pace = tuple(tags), fresh, pace or Pace()
        self.runs = list(runs)
        self._pending = collections.deque(self.runs)
        self._seeds_later, self._budget, self._begun = tuple(seeds_later), budget, 0
        self._known = {run.config_hash for run in self.runs}
        self._active: list[tuple[Planned, Job]] = []
        self._slots: list[tuple[Planned, Job] | None] = [None] * workers
        self._started, self._looked = time.monotonic(), float("-inf")
        self._refused = 0
        self.planned, self.skipped = len(self._pending), 0
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.stopped = self.paused = self.held = False

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not (self._pending or self._active)

    @property
    def settled(self) -> int:
        """Runs that are complete or ended here."""
        return self.skipped + sum(self.counts.values())

    def elsewhere(self) -> int:
        """Returns how many of its runs other processes are making now."""
        states = questions.held(self._store, times_of(self.runs)).values()
        return sum(state == "running" for state in states)

    @property
    def seconds(self) -> float:
        """Seconds since the sweep began."""
        return time.monotonic() - self._started

    @property
    def slots(self) -> tuple[tuple[Planned, Job] | None, ...]:
        """What runs now, one place for each worker."""
        return tuple(self._slots)

    def remaining(self) -> float:
        """Returns the seconds still to go, about; 0 when nothing is known."""
        left = [*self._pending, *(run for run, _ in self._active)]
        return self.pace.total((run.kind for run in left), self._workers)[0]

    def advance(self) -> list[Ended]:
        """Collects what has ended and hands out what comes next; call it a few times a second.

        Raises:
            StoreError: the store refused several runs in a row.
        """
        ended = self._collect()
        if not (self.stopped or self.held):
            self._submit()
        self._place()
        return ended

    def hold(self) -> None:
        """Hands out nothing more until `resume`; what was handed out goes on to its end."""
        self.held = True

    def resume(self) -> None:
        """Goes on after `hold`."""
        self.held = False

    def stop(self) -> None:
        """Cancels what runs and starts nothing more; `advance` until `done`."""
        self.stopped = True
        self._pending.clear()
        for _, job in self._active:
            job.cancel()

    def heed(self) -> bool:
        """Holds or goes on as others ask of this process; returns whether they ask to stop."""
        wish = asked_here(self._store.path)
        self.held = wish is Wish.HOLD
        return wish is Wish.STOP

    def _submit(self) -> None:
        room = 2 * self._workers - len(self._active)
        if room <= 0 or not self._pending:
            return
        self._look()
        while room > 0 and self._pending and not self._used_up():
            run = self._pending[0]
            try:
                job = self._supervisor.start(
                    run.experiment, tags=self._tags, fresh=self._fresh, limit=self._budget.each,
                    session=self._session,
                )  # fmt: skip
            except RequestError:  # the session has its share: it is asked for again soon
                return
            self._begun += 1
            self._pending.popleft()
            self._active.append((run, job))
            room -= 1

    def _used_up(self) -> bool:
        """Whether the budget is used up, after which nothing more starts."""
        most, seconds = self._budget.runs, self._budget.seconds
        late = seconds is not None and self.seconds >= seconds
        if late or (most is not None and self._begun >= most):
            self.paused = True
            self._pending.clear()
        return self.paused

    def _follow(self, run: Planned, result: Mapping[str, Any]) -> None:
        """Adds the runs that waited for the rate which a run has chosen; they are next.

        Those of an earlier run come before them, so that its row is whole first.
        """
        place = sum(1 for _ in itertools.takewhile(lambda one: one.leader, self._pending))
        for one in reversed(followers(run, result.get("lr"), self._seeds_later)):
            if one.config_hash not in self._known:
                self._known.add(one.config_hash)
                self.runs.append(one)
                self.planned += 1
                if not (self.stopped or self.paused):
                    self._pending.insert(place, one)

    def _look(self) -> None:
        """Drops pending runs that the store holds by now."""
        if self._fresh or time.monotonic() - self._looked < LOOK_SECONDS:
            return
        known = questions.held(self._store, times_of(self._pending))
        left = [run for run in self._pending if run.config_hash not in known]
        self.skipped += len(self._pending) - len(left)
        self._pending, self._looked = collections.deque(left), time.monotonic()

    def _collect(self) -> list[Ended]:
        ended, active = [], []
        for run, job in self._active:
            if not job.ended:
                active.append((run, job))
            elif job.existing is not None:
                self.skipped += 1
                self._begun -= 1
            elif job.run_id is not None or job.status == "failed":
                ended.append(self._ended(run, job))
        self._active = active
        return ended

    def _ended(self, run: Planned, job: Job) -> Ended:
        result = job.result or {}
        seconds = float(result.get("seconds") or job.snapshot().seconds)
        self.counts[job.status] += 1
        if job.status == "finished":
            self.pace.add_whole(run.kind, seconds, taken(result))
            self._follow(run, result)
        self._refused = self._refused + 1 if job.run_id is None else 0
        if self._refused >= REFUSALS:
            self.stop()
            raise StoreError(f"{REFUSALS} runs in a row could not begin. {job.message}")
        metrics = dict(result.get("metrics") or {})
        message = job.message or ""
        return Ended(run, job.run_id, job.status, message, metrics, seconds, job.unstored)

    def _place(self) -> None:
        """Gives each running job a place of its own for as long as it runs."""
        going = [(run, job) for run, job in self._active if job.status == RUNNING]
        here = {job.id for _, job in going}
        self._slots = [slot if slot and slot[1].id in here else None for slot in self._slots]
        placed = {slot[1].id for slot in self._slots if slot}
        for pair in going:
            if pair[1].id not in placed and None in self._slots:
                self._slots[self._slots.index(None)] = pair


@contextmanager
def started(
    store: Store,
    ahead: Preview,
    tags: Iterable[str],
    fresh: bool,
    budget: Budget = Budget(),
    executor: Executor | None = None,
) -> Iterator[tuple[Sweep, Callable[[], None]]]:
    """Starts the workers of a sweep for the duration of the block.

    Args:
        store: where runs are kept.
        ahead: what is to be done.
        tags: labels of every run.
        fresh: run what the store holds already.
        budget: how much is to be run now.
        executor: where workers come from; by default processes of this machine.

    Yields:
        The sweep, and what kills this process and its workers at once: their runs stay behind as
        interrupted, and the next sweep of the plan runs them.

    Raises:
        StoreError: the store is read-only, or a tag is none.
    """
    store.allow_writing()
    labels = clean_tags(list(tags))
    jobs = min(ahead.jobs, max(1, len(ahead.open)))
    with Supervisor(store, jobs, executor) as supervisor:

        def kill() -> None:
            supervisor.executor.kill_all()
            os._exit(130)

        work = ahead.work
        sweep = Sweep(
            store, supervisor, work.runs, jobs, labels, fresh, ahead.pace, work.seeds_later, budget
        )
        yield sweep, kill
