"""The command that measures every cell of the design space by the probes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import Address, Db, Json, Minutes, Output, Who, app
from .door import Exit, door, stoppable
from .screen import print_json, print_table, say, tell, wrote
from .sweep import checking, watch

if TYPE_CHECKING:
    import pandas as pd

    from ..atlas import Survey
    from ..run.executor import Executor
    from ..store import Store
    from ..sweeps import Budget, Ended, Preview

AGREED = ("runs", "training", "probe", "rho", "low", "high", "n")
OUTSIDE = 0.05
"""The share of intervals that leave out the truth."""

COLUMNS = ("probe", "functions", "measured", "ended", "failed", "missing", "cpu_seconds")


@app.command()
def atlas(
    quick: Annotated[
        bool, typer.Option("--quick", help="Give up on what takes longer than 20 s.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=1e6,
            metavar="S",
            help="Processor seconds that a probe of a cell may take; 600.",
        ),
    ] = None,
    probe: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; repeatable.")
    ] = None,
    cells: Annotated[
        str, typer.Option(metavar="TEXT", help="Only cells with this in their spec or name.")
    ] = "",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, metavar="N", help="Runs side by side; default: two a core."),
    ] = None,
    minutes: Minutes = None,
    executor: Who = "local",
    address: Address = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Measure nothing: how probes agree with these runs."),
    ] = None,
    output: Output = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """Measure every cell by the probes, without training; run again, it resumes."""
    with door():
        from ttr_core import how_many

        from .. import store, sweeps
        from ..atlas import LIMITS, QUICK, beside, surveyed
        from ..read import listing
        from ..run.executors import check_executor, executing

        check_executor(executor, address)
        target = None if output is None else listing.output_path(output)
        limit = seconds or (QUICK if quick else LIMITS["thorough"])
        opened = store.open_store(db)
        if against is not None:
            _compare(against, opened, target, json)
            return
        survey = surveyed(probe or (), cells, checking("planning run"))
        ahead, ended = survey.preview(opened, limit, jobs, beside(opened))
        for line in ahead.lines():
            say(line)
        if ended:
            more = how_many(ended, "more was", "more were")
            say(f"{more} ended after {limit:g} s or more before; --seconds asks anew.")
        troubled: list[Ended] = []
        stopped = False
        if ahead.open:
            spent = sweeps.Budget(seconds=None if minutes is None else 60 * minutes, each=limit)
            with executing(executor, address, "cpu", say) as crew:
                if jobs is None and executor != "local":
                    ahead = replace(ahead, jobs=sweeps.usual_jobs(survey.runs, crew))
                troubled, stopped = _measured(opened, ahead, spent, crew, json)
        _report(opened, survey, target, json)
    if stopped:
        raise typer.Exit(Exit.STOPPED)
    if any(not _was_ended(one.message) for one in troubled):
        raise typer.Exit(Exit.FAILED)


def _measured(
    opened: Store, ahead: Preview, spent: Budget, crew: Executor, json: bool
) -> tuple[list[Ended], bool]:
    """Runs what is open; returns what needs attention, and whether somebody stopped it."""
    from .. import sweeps
    from ..atlas.survey import TAG

    starting = sweeps.started(opened, ahead, [TAG], False, spent, crew)
    with starting as (swept, kill), stoppable(kill) as stop:
        troubled = watch(swept, stop.is_set, json)
    return troubled, swept.stopped


def _compare(file: Path, opened: Store, target: Path | None, json: bool) -> None:
    """Prints how the probes agree with trainings, or writes it."""
    import pandas as pd

    from ..atlas import agreements, beside
    from ..read import export

    say("Comparing every number of the probes with every training: some ten seconds.")
    found = agreements(file, beside(opened))
    table = pd.DataFrame([asdict(one) for one in found])
    rows = table.to_dict("records")
    if target is not None:
        wrote(len(rows), export.write(table, target))
    if json:
        print_json(rows)
    elif target is None:
        print_table(rows, AGREED)
    say(
        f"{len(rows)} rank correlations, with 95 % intervals by the bootstrap over functions, "
        f"not corrected for their number: by chance {round(len(rows) * OUTSIDE)} leave out 0."
    )


def _report(opened: Store, survey: Survey, target: Path | None, json: bool) -> None:
    from ttr_core import how_many

    from ..atlas import SUMMARY, Atlas, charted, with_earlier
    from ..atlas.chart_rows import rows_of
    from ..read import export
    from ..store.files import make_folder

    table = rows_of(opened, survey)
    counts = [_counted(table, name) for name in survey.probes]
    make_folder(opened.path)
    kept = table if survey.whole else with_earlier(opened, table)
    place = export.write(kept, opened.path.with_suffix(SUMMARY))
    wrote = place
    if target is not None:
        whole = charted().under(Atlas(table.set_index("spec"))).table.reindex(table["spec"])
        wrote = export.write(whole.reset_index(), target)
    if json:
        print_json({"file": str(wrote), "probes": counts})
        return
    print_table(counts, COLUMNS)
    measured = sum(int(str(one["measured"])) for one in counts)
    asked = len(table) * len(survey.probes)
    tell(
        f"{place} has {how_many(len(kept), 'function')}: with this store {measured:,} of "
        f"{how_many(asked, 'measurement is', 'measurements are')} made, by "
        f"{', '.join(survey.probes)}."
    )
    if target is not None:
        tell(f"{wrote} has all {len(table):,}, with what came with the program where it has none.")


def _counted(table: pd.DataFrame, probe: str) -> dict[str, object]:
    from ..atlas import MEASURED

    said = table[probe].dropna().astype(str)
    ended = int(sum(map(_was_ended, said)))
    measured = int((said == MEASURED).sum())
    return {
        "probe": probe, "functions": len(table), "measured": measured, "ended": ended,
        "failed": len(said) - ended - measured, "missing": len(table) - len(said),
        "cpu_seconds": round(float(table[f"{probe}_seconds"].fillna(0).sum()), 1),
    }  # fmt: skip


def _was_ended(message: str) -> bool:
    from ..run.hearing import OVER_LIMIT

    return message.startswith(OVER_LIMIT)
