"""What the command line shows of a sweep: its plan, its progress, what came out."""

from __future__ import annotations

import abc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .screen import console, print_json, print_table, say, shown, tell, without_row, wrote

if TYPE_CHECKING:
    from pathlib import Path

    from ..store import Store
    from ..sweeps import Budget, Ended, Pace, Preview, Sweep, Work

POLL_SECONDS = 0.1
TOLD_SECONDS = 2.0
LINE_SECONDS = 30.0
PLANNED_ROWS = 60
"""Rows of a plan that a dry run prints; --json has all."""

PLAN_COLUMNS = ("layer", "task", "setting", "seed", "store", "seconds")


class Screen(abc.ABC):
    """Shows the progress of a sweep."""

    @abc.abstractmethod
    def tell(self, ended: Ended, sweep: Sweep) -> None:
        """Tells how a run ended."""

    @abc.abstractmethod
    def draw(self, sweep: Sweep) -> None:
        """Shows how far the sweep is."""

    def say(self, text: str) -> None:
        """Shows a message."""
        say(text)


class Failures(Screen):
    """Failures alone."""

    def tell(self, ended: Ended, sweep: Sweep) -> None:
        if ended.status == "failed":
            self.say(line(ended))

    def draw(self, sweep: Sweep) -> None:
        pass


class Lines(Screen):
    """A plain line for every run that ends, for logs and pipes."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def tell(self, ended: Ended, sweep: Sweep) -> None:
        self._said = time.monotonic()
        self.say(f"{sweep.settled}/{sweep.planned}  {line(ended)}")

    def draw(self, sweep: Sweep) -> None:
        if time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            self.say(f"{sweep.settled}/{sweep.planned}{_left(sweep)}")


class Bars(Screen):
    """A bar for the sweep and one for each worker; what ends scrolls by above them."""

    def __init__(self, bars: Any) -> None:
        self._bars, self._workers = bars, list[Any]()
        self._total = bars.add_task("total", total=None, said="", left="")
        self._estimated, self._left = 0.0, ""

    def tell(self, ended: Ended, sweep: Sweep) -> None:
        self.say(line(ended))

    def say(self, text: str) -> None:
        self._bars.console.print(shown(text))

    def draw(self, sweep: Sweep) -> None:
        while len(self._workers) < len(sweep.slots):
            self._workers.append(self._bars.add_task("", total=None, said="", left=""))
        for number, (task, slot) in enumerate(zip(self._workers, sweep.slots, strict=True), 1):
            if slot is None:  # between two runs: the last one is being stored
                self._bars.update(task, said="", left="waiting")
                continue
            now = slot[1].snapshot()
            self._bars.update(
                task,
                description=f"{number}  {slot[0]}",
                total=now.steps or None,
                completed=now.step,
                said=now.measured,
                left=f"{now.seconds:.0f} s",
            )
        if time.monotonic() - self._estimated > TOLD_SECONDS:
            self._estimated, self._left = time.monotonic(), _left(sweep)
        failed = sweep.counts["failed"]
        self._bars.update(
            self._total,
            total=sweep.planned,
            completed=sweep.settled,
            said=f"{failed} failed" if failed else "",
            left=self._left,
        )


@contextmanager
def _screen(quiet: bool) -> Iterator[Screen]:
    if quiet or not sys.stderr.isatty():
        yield Failures() if quiet else Lines()
        return
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"), rich.BarColumn(20), rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[said]}"), rich.TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with rich.Progress(*columns, console=console(), transient=True) as bars:
        yield Bars(bars)


def watch(sweep: Sweep, stop: Callable[[], bool], quiet: bool) -> list[Ended]:
    """Shows a sweep until nothing is left to do; returns the runs that need attention.

    A page may ask it to hold, to go on and to stop.

    Args:
        sweep: the sweep, which advances here.
        stop: whether somebody asked to stop.
        quiet: show failures alone.
    """
    troubled, held = [], False
    with _screen(quiet) as screen:
        while not sweep.done:
            cancelled = sweep.heed()
            if sweep.held is not held:
                held = sweep.held
                screen.say("Paused from a page." if held else "It goes on.")
            if (stop() or cancelled) and not sweep.stopped:
                screen.say("Stopping: what runs is cancelled. Ctrl-C again kills it.")
                sweep.stop()
            for ended in sweep.advance():
                troubled += [] if ended.well else [ended]
                screen.tell(ended, sweep)
            screen.draw(sweep)
            time.sleep(POLL_SECONDS)
    return troubled


def foreseen(
    store: Store,
    work: Work,
    jobs: int | None,
    fresh: bool,
    kept: Sequence[Path],
    dry_run: bool,
    budget: Budget,
    pace: Pace | None = None,
) -> Preview:
    """Returns what a sweep will do, and tells it; `sweeps.preview` has the arguments.

    Where a plan keeps evidence or orders by cost, or the caller says what is known, runs that
    nothing is known of, or only of far smaller ones, are tried for a few steps, so that their cost
    is told before any of them begins; not for a budget of nothing.
    """
    from ttr_core import how_many

    from .. import sweeps

    held = kept if dry_run else ()
    ahead = sweeps.preview(store, work, jobs, fresh, held, pace)
    strange = [run for run in ahead.unknown if run.experiment.task.trained]
    asked = bool(kept) or sweeps.COST in work.order or pace is not None
    if asked and strange and not budget.idle:
        some = how_many(len(strange), "run")
        say(f"trying {some} for a few steps, to tell what they cost")
        ahead = ahead.at(sweeps.tried(strange, checking("trying kind"), ahead.pace))
    for text in ahead.lines() if kept and not dry_run else ():
        say(text)
    return ahead


def checking(what: str = "checking configuration") -> Callable[[int, int], None]:
    """Returns what tells how far the check of a plan is, if it takes long."""
    told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > TOLD_SECONDS:
            told = time.monotonic()
            say(f"{what} {done:,} of {total:,}")

    return tell


def show_plan(ahead: Preview, json: bool) -> None:
    """Prints what a sweep would do."""
    if json:
        print_json(ahead.document())
        return
    rows = ahead.rows()
    print_table(rows[:PLANNED_ROWS], PLAN_COLUMNS)
    if len(rows) > PLANNED_ROWS:
        tell(f"... and {len(rows) - PLANNED_ROWS:,} more; --json lists all")
    for text in ahead.lines():
        tell(text)


def show_sweep(
    store: Store,
    sweep: Sweep,
    work: Work,
    troubled: Sequence[Ended],
    json: bool,
    target: Path | None = None,
) -> None:
    """Prints what a sweep did, and prints or writes what the store has of its plan."""
    from .. import sweeps

    for ended in troubled:  # before the store is asked, which may still be held
        if ended.unstored is not None:
            say(f"{ended.run}: {without_row(ended.status, ended.message)}")
    found = sweeps.report.rows(store, sweep.runs)
    if json:
        print_json(sweeps.document(sweep, work, troubled, found))
    elif found and target is None:
        print_table(sweeps.report.table(found), sweeps.report.terminal_columns(found))
    if not json:
        tell(sweeps.summary(sweep))
    if target is not None:
        _write(sweep, found, target)


def _write(sweep: Sweep, found: Sequence[dict[str, Any]], target: Path) -> None:
    """Writes what a sweep found, unless it was stopped: half a table would replace a whole one."""
    from .. import sweeps
    from ..errors import how_many_of
    from ..read import export

    if sweep.stopped:
        say(f"{target} is as it was: the sweep was stopped. The same command resumes it.")
        return
    place = export.write(sweeps.report.frame(found, target.suffix.lower()), target)
    missing = sweep.planned - sum(row["runs"] for row in found)
    lack = how_many_of(missing, sweep.planned, "run")
    lacking = f"; {lack} missing in it" if missing else ""
    wrote(len(found), place, lacking)


def line(ended: Ended) -> str:
    """Returns how a run ended, on one line; a failure with its whole message."""
    metric = ended.run.experiment.task.main()
    value = ended.metrics.get(metric.name)
    shown = [] if value is None else [f"{metric.name} {metric.shown(value)}"]
    words = [ended.status, str(ended.run), *shown, f"{ended.seconds:.1f} s"]
    return "  ".join([*words, ended.message] if ended.message else words)


def _left(sweep: Sweep) -> str:
    from .. import sweeps

    seconds = sweep.remaining()
    return f"  about {sweeps.in_words(seconds)} to go" if seconds else ""
