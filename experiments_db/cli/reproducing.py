"""The command that runs what the claims of papers need, and reports what they come to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import Address, Db, Json, Who, app
from .door import Exit, door, stoppable
from .screen import print_json, print_table, say, tell
from .sweep import checking, foreseen, watch

if TYPE_CHECKING:
    from ..store import Store
    from ..sweeps import Preview, Work

FOLDER = Path("reproduced")


@app.command()
def reproduce(
    what: Annotated[
        str, typer.Argument(metavar="[CLAIM]", help="A claim, a family of claims, or all.")
    ] = "all",
    scale: Annotated[
        str, typer.Option(metavar="quick|paper", help="Minutes, or the published sizes.")
    ] = "quick",
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the report goes.")] = FOLDER,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1e6,
            metavar="HOURS",
            help="Start no run after so many processor hours.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, metavar="N", help="Runs side by side; default: one a core."),
    ] = None,
    executor: Who = "local",
    address: Address = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """Run what claims of the paper need, judge each, and write a report; run again, it resumes."""
    with door():
        import altair  # noqa: F401  # both are asked for before anything runs
        import vl_convert  # noqa: F401

        from .. import claims, store, sweeps
        from ..run.executors import check_executor, executing

        check_executor(executor, address)
        asked, size = claims.named_claims(what), claims.scale(scale)
        place = claims.check_folder(output)
        opened = store.open_store(db)
        for said in claims.with_evidence(opened, asked, size):
            say(said)
        work = claims.work(asked, size)
        work = replace(work, runs=tuple(sweeps.as_stored(opened, work.runs)))
        ahead = _told(opened, work, jobs, budget == 0)
        troubled, stopped = [], False
        if ahead.open:
            with executing(executor, address, work.device, say) as crew:
                jobs = jobs or sweeps.usual_jobs(work.runs, crew)
                seconds = None if budget is None else 3600 * budget / jobs
                spent, ahead = sweeps.Budget(seconds=seconds), replace(ahead, jobs=jobs)
                starting = sweeps.started(opened, ahead, [claims.TAG], False, spent, crew)
                with starting as (swept, kill), stoppable(kill) as stop:
                    troubled = watch(swept, stop.is_set, json)
            stopped = swept.stopped
        results = claims.judged(opened, asked, size, checking("judging claim"), ahead.pace)
        report = claims.written(results, place, size)
        rows = [claims.row(one) for one in results]
        if json:
            print_json({"scale": scale, "report": str(report), "claims": rows})
        else:
            print_table(rows, ("claim", "verdict", "n", "missing"))
            tell(f"{report} tells each claim with its numbers and its picture.")
    if stopped:
        raise typer.Exit(Exit.STOPPED)
    if troubled:
        raise typer.Exit(Exit.FAILED)


def _told(opened: Store, work: Work, jobs: int | None, idle: bool) -> Preview:
    """Returns what is to be run, and tells it; what is unlike all that is known is tried first."""
    from .. import claims, sweeps

    budget = sweeps.Budget(seconds=0.0 if idle else None)
    ahead = foreseen(opened, work, jobs, False, (), False, budget, claims.known_pace(opened))
    for line in ahead.lines():
        say(line)
    return ahead
