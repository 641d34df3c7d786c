"""What a sweep would do, in a few lines and as a JSON-able document."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ttr_core import how_many
from ttr_core.lab import TrainConfig

from ..run.executor import Executor
from ..run.process import LocalExecutor
from ..store import Store
from . import evidence, questions
from .anywhere import on_other_device
from .estimate import LESS, Kind, Pace, in_words
from .expansion import Planned, Work, times_of
from .order import COST
from .outcome import OUTCOMES
from .tuned import followers

SHORT = 600.0
"""Seconds of processor up to which an estimate is told in seconds or minutes."""

AT_MOST = " (at most: many end earlier, when they are flat{})"
GUESS = "; {} where they are as early as others on the task"

COLUMNS = ("layer", "task", "setting", "seed", "store", "seconds")


def usual_jobs(runs: Sequence[Planned], executor: Executor | None = None) -> int:
    """Returns how many runs go side by side by default: what an executor has room for.

    Args:
        runs: the runs.
        executor: where workers come from; by default processes of this machine.
    """
    device = "cuda" if any(run.experiment.device == "cuda" for run in runs) else "cpu"
    return max(1, min((executor or LocalExecutor()).slots(device), len(runs)))


@dataclass(frozen=True)
class Preview:
    """A sweep before it begins.

    Args:
        work: its runs.
        known: what the store has of them: config hash -> complete or running.
        pace: how long runs take.
        jobs: how many go side by side.
        cores: how many of these have a core for themselves, where not all do.
    """

    work: Work
    known: dict[str, str]
    pace: Pace
    jobs: int
    cores: int | None = None

    def at(self, pace: Pace) -> Preview:
        """Returns the same with another knowledge of how long runs take."""
        return dataclasses.replace(self, work=in_order(self.work, pace), pace=pace)

    @property
    def open(self) -> list[Planned]:
        """The runs that are to be run."""
        return [run for run in self.work.runs if run.config_hash not in self.known]

    @property
    def unknown(self) -> list[Planned]:
        """Those of them, and of what follows, of whose layer on the task nothing is known."""
        return [run for run in (*self.open, *self.later) if not self.pace.knows(run.kind)]

    @property
    def later(self) -> list[Planned]:
        """The runs that will follow at a rate which is not known yet: how long, not which."""
        left = [run for run in self.open if run.experiment.train.lr == "auto"]
        return [
            one
            for run in left
            for one in followers(run, float(TrainConfig().lr), self.work.seeds_later)
        ]

    def lines(self) -> list[str]:
        """Returns the plan in sentences."""
        work, left = self.work, len(self.open)
        lines = [f"{how_many(len(work.runs), 'run')}: {work.axes}"]
        if work.repeated:
            lines.append(
                f"{how_many(work.repeated, 'more is', 'more are')} asked for twice and run once."
            )
        lines += [f"Left out: {what}. {why.splitlines()[0]}" for what, why in work.left_out]
        if later := len(self.later):
            more = how_many(later, "more follows", "more follow")
            lines.append(f"{more}, at the rates that these choose.")
        running = sum(state == "running" for state in self.known.values())
        lines.append(
            f"{how_many(len(self.known) - running, 'is', 'are')} in the store, "
            f"{how_many(running, 'is', 'are')} running elsewhere, {left:,} to run"
        )
        return [*lines, self._estimate()] if left else lines

    def _seconds(self) -> tuple[float, int]:
        """Returns the seconds by the clock, and how many runs are unknown."""
        asked = [run.kind for run in (*self.open, *self.later)]
        return self.pace.total(asked, self.jobs, self.cores)

    def _estimate(self) -> str:
        asked = [run.kind for run in (*self.open, *self.later)]
        seconds, missing = self._seconds()
        jobs = how_many(self.jobs, "job")
        if missing == len(asked):
            return f"No estimate: the store has no run of these tasks yet. ({jobs})"
        alone = self.pace.processor(asked)[0]
        hours = f"{alone / 3600:.1f} processor hours"
        whole = hours if alone > SHORT else f"{in_words(alone)} of processor"
        most = "" if all(map(self.pace.settles, asked)) else AT_MOST.format(self._guess(asked))
        said = (
            f"Estimate: {in_words(seconds)} with {jobs}, {whole} in all, by {self.pace.told}{most}"
        )
        unlike = how_many(missing, "is", "are")
        return f"{said}; {unlike} like none of them." if missing else f"{said}."

    def _guess(self, asked: Sequence[Kind]) -> str:
        share = self.pace.guessed(asked)
        return GUESS.format(in_words(share * self._seconds()[0])) if share < LESS else ""

    def rows(self) -> list[dict[str, Any]]:
        """Returns one row per run."""
        return [
            {
                "layer": run.layer,
                "task": run.task,
                "setting": run.setting,
                "seed": run.experiment.seed,
                "store": self.known.get(run.config_hash),
                "seconds": self.pace.seconds(run.kind),
                "config": run.config,
            }
            for run in self.work.runs
        ]

    def document(self) -> dict[str, Any]:
        """Returns what ``--dry-run --json`` prints."""
        counts = dict.fromkeys(OUTCOMES, 0)
        seconds = self._seconds()[0]
        return {
            "planned": len(self.work.runs),
            "skipped": len(self.known),
            "following": len(self.later),
            **counts,
            "seconds": 0.0,
            "estimated_seconds": seconds or None,
            "left_out": dict(self.work.left_out),
            "runs": self.rows(),
        }


def in_order(work: Work, pace: Pace) -> Work:
    """Returns the work with its runs in the order that its plan asks for.

    What follows from another run has its place.

    Args:
        work: what a plan amounts to.
        pace: how long runs take; those that nothing is known of come last.
    """
    if not work.order:
        return work

    leaders = {run.config_hash: run for run in work.runs}

    def place(run: Planned) -> tuple[tuple[int, ...], float]:
        first = leaders.get(run.leader or "", run)
        seconds = pace.seconds(first.kind) if COST in work.order else 0.0
        return first.rank, math.inf if seconds is None else seconds

    return dataclasses.replace(work, runs=tuple(sorted(work.runs, key=place)))


def _answered(ahead: Iterable[Path], work: Work) -> dict[str, str]:
    """Returns which of the runs are complete in files, on the device asked for or on any."""
    ahead, asked = list(ahead), times_of(work.runs)
    if not (ahead and work.anywhere):
        return evidence.answered(ahead, asked)
    others = {run.config_hash: on_other_device(run).config_hash for run in work.runs}
    found = evidence.answered(ahead, asked | {others[name]: asked[name] for name in asked})
    states = {name: found.get(name, found.get(other)) for name, other in others.items()}
    return {name: state for name, state in states.items() if state is not None}


def preview(
    store: Store,
    work: Work,
    jobs: int | None,
    fresh: bool = False,
    ahead: Iterable[Path] = (),
    pace: Pace | None = None,
) -> Preview:
    """Looks up what a plan needs to be previewed; creates nothing.

    Args:
        store: where runs are kept.
        work: the runs.
        jobs: how many go side by side, or None for the usual number.
        fresh: whether runs that the store holds are run again.
        ahead: files of runs that the store would take in first.
        pace: how long runs take, or None to ask the store.
    """
    asked = times_of(work.runs)
    known = {} if fresh else {**_answered(ahead, work), **questions.held(store, asked)}
    if pace is None:
        pace = Pace(questions.past(store, {run.experiment.task.name for run in work.runs}))
    return Preview(in_order(work, pace), known, pace, jobs or usual_jobs(work.runs))
