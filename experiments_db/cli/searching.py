"""The command that searches the design space for cells above what is published."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import Address, Db, Json, Minutes, Who, app
from .door import Exit, door, stoppable
from .screen import print_json, print_table, say, tell
from .sweep import PLANNED_ROWS, checking, watch

if TYPE_CHECKING:
    from ..run.executor import Executor
    from ..search import Outlook, Search, SearchState
    from ..store import Store
    from ..sweeps import Preview

FOLDER = Path("searched")
WAIT_SECONDS = 5.0
"""Between two looks at what other processes are running."""

NAMED = 10
"""Failed trainings that are named; --json has all."""

FRONT = ("cell", "published", "state_size", "packed_state_size", "score", "lr", "fate", "front")
FINALS = (
    "cell", "frame", "rival", "score", "rival_score", "gain", "gain_low", "p_corrected", "claimed",
)  # fmt: skip


@app.command()
def search(
    file: Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="See docs/search.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and an estimate; run nothing.")
    ] = False,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the report goes.")] = FOLDER,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, metavar="N", help="Runs side by side; default: one a core."),
    ] = None,
    minutes: Minutes = None,
    executor: Who = "local",
    address: Address = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """Search the design space for cells above what is published; the same command resumes."""
    with door():
        from .. import store, sweeps
        from ..atlas import beside
        from ..claims.folder import check_folder
        from ..run.executors import check_executor, executing
        from ..search import Search, load_search, look_ahead, space_of, write_search

        check_executor(executor, address)
        opened = store.open_store(db)
        plan, source = load_search(file)
        space = space_of(plan, source, beside(opened), checking("looking at cell"))
        kept = sweeps.evidence.files(plan.evidence, file)
        if dry_run:
            for said in sweeps.evidence.absent(kept):
                say(said)
            with sweeps.evidence.aside(kept) as more:
                ahead = look_ahead(opened, plan, source, space, checking("trying cell"), more)
                state = _show_outlook(ahead, Search(opened, ahead, more), json)
            if state.failed:
                raise typer.Exit(Exit.FAILED)
            return
        check_folder(output)
        if opened.readonly and kept:  # what it has may tell a finished search all the same
            say("Nothing is taken in from the plan's evidence: this store is read-only.")
        else:
            for said in sweeps.evidence.bring_in(opened, kept):
                say(said)
        ahead = look_ahead(opened, plan, source, space, checking("trying cell"))
        for line in ahead.lines():
            say(line)
        with executing(executor, address, space.device, say) as crew:
            hunt = Search(opened, ahead)
            code = _worked_off(opened, hunt, jobs, minutes, crew, json)
        state = hunt.state()
        hunt.adopt()
        report = write_search(ahead, state, output)
        _show_search(ahead, state, report, json)
    if code or state.failed:
        raise typer.Exit(code or Exit.FAILED)


def _worked_off(
    opened: Store, hunt: Search, jobs: int | None, minutes: float | None, crew: Executor,
    json: bool,
) -> int:  # fmt: skip
    """Runs wave after wave until nothing is missing, or something says to stop."""
    from ttr_core import how_many

    until = None if minutes is None else time.monotonic() + 60 * minutes
    failed, waiting = False, False
    while (state := hunt.state()).missing:
        hunt.adopt()
        if until is not None and time.monotonic() >= until:
            break
        wave = hunt.wave(state, jobs)
        if not wave.open:
            if not waiting:
                others = how_many(len(wave.known), "run is", "runs are")
                say(f"{state.stage}: {others} running in other processes")
            waiting = True
            time.sleep(WAIT_SECONDS)
            continue
        if said := hunt.refusal(state, wave):
            say(said)
            break
        waiting = False
        say(f"{state.stage}: {how_many(len(wave.open), 'run')}")
        ended, yielded = _wave(opened, hunt, wave, until, crew, json)
        if ended is Exit.STOPPED:
            return ended
        failed = failed or ended is Exit.FAILED
        if not yielded and hunt.state().missing == state.missing:  # nothing of it was stored
            return Exit.FAILED
    return Exit.FAILED if failed else Exit.DONE


def _wave(
    opened: Store, hunt: Search, wave: Preview, until: float | None, crew: Executor, json: bool
) -> tuple[Exit, bool]:
    """Runs one wave; returns how it ended, and whether others or the clock took of it."""
    from .. import sweeps

    left = None if until is None else max(0.0, until - time.monotonic())
    starting = sweeps.started(
        opened, wave, hunt.plan.tags, False, sweeps.Budget(seconds=left), crew
    )
    with starting as (swept, kill), stoppable(kill) as stop:
        troubled = watch(swept, stop.is_set, json)
    yielded = swept.paused or swept.skipped > 0
    if swept.stopped:
        return Exit.STOPPED, yielded
    return (Exit.FAILED if troubled else Exit.DONE), yielded


def _show_outlook(ahead: Outlook, hunt: Search, json: bool) -> SearchState:
    state = hunt.state()
    _name_failures(state)
    refused = hunt.refusal(state, hunt.wave(state, None)) if state.missing else ""
    if json:
        print_json({**ahead.document(), **_counted(state), "refused": refused})
        return state
    from ..search.outlook import COLUMNS

    rows = ahead.rows()
    print_table(rows[:PLANNED_ROWS], COLUMNS)
    if len(rows) > PLANNED_ROWS:
        tell(f"... and {len(rows) - PLANNED_ROWS:,} more; --json lists all")
    for text in (*ahead.lines(), state.told, *filter(None, [refused])):
        tell(text)
    return state


def _counted(state: SearchState) -> dict[str, object]:
    """Returns how far a search has come, as --json has it."""
    return {
        "trainings": state.trainings,
        "cpu_seconds": state.cpu_seconds,
        "failed": [one.run_id for one in state.failed],
        "stage": state.stage,
        "missing": len(state.missing),
    }


def _show_search(ahead: Outlook, state: SearchState, report: Path, json: bool) -> None:
    from ..search.search_tables import cells_table, finals_table
    from ..search.telling import conclusion

    cells = cells_table(ahead.plan, state.rungs).to_dict("records")
    found = finals_table(state.finals).to_dict("records")
    said = conclusion(ahead.plan, state)
    _name_failures(state)
    if json:
        print_json({"said": said, **_counted(state), "cells": cells, "finals": found,
                    "detectable": state.finals.detectable, "report": str(report)})  # fmt: skip
        return
    print_table(cells[:PLANNED_ROWS], FRONT)
    if found:
        print_table(found, FINALS)
    tell(said.replace("**", "").replace("`", ""))
    tell(f"{report} has all of it, and the tables beside it.")


def _name_failures(state: SearchState) -> None:
    """Says what failed of all that is told, whichever call ran it."""
    from ttr_core import how_many

    from ..installation import command

    for one in state.failed[:NAMED]:
        say(f"{one.run_id} failed and counts as 0: {one.message}".rstrip(": "))
    if more := state.failed[NAMED:]:
        say(f"... and {how_many(len(more), 'more failed', 'more failed')}.")
    if state.failed:
        say(f"{command('delete', 'RUN_ID')} has one of them run anew.")
