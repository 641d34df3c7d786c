"""The headless door: the catalog, the grid, runs and their store from a terminal or a script.

Exit codes: 0 all is done (a diverged run counts, and is reported); 1 a run failed, or the store
refused or lacks a result; 2 the request was wrong; 3 another process is making the run; 130 stopped
by Ctrl-C. With --json exactly one JSON document goes to standard output; progress and messages go
to standard error.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .door import Commands, Exit, door, stoppable, terminated
from .screen import print_json, print_table, say, show_run, wrote
from .sweep import checking, foreseen, show_plan, show_sweep, watch
from .waiting import left_as_it_is, made_elsewhere, obtained

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Sequence layers as test-time regression: list them, run them, keep the runs.",
    epilog="Exit codes: 0 done, 1 a run failed or the store refused, 2 wrong request, 3 another "
    "process is making the run, 130 stopped.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Db = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="The store; default: TTR_DB, then TTR_HOME."),
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write .csv, .parquet, .json, .md, .tex or .html instead."),
]
Who = Annotated[
    str, typer.Option("--executor", metavar="local|ray", help="Processes here, or of a cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The head of a Ray cluster; default: a Ray of our own."),
]
Minutes = Annotated[
    float | None,
    typer.Option(min=0, max=1e6, metavar="M", help="Start no run after so many minutes."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@app.command()
def layers(json: Json = False) -> None:
    """List the catalog of published layers."""
    with door():
        from ttr_core.words import LAYER_COLUMNS, cited, layer_rows

        rows = layer_rows()
        if json:
            print_json(rows)
        else:
            print_table(map(cited, rows), LAYER_COLUMNS)


@app.command()
def grid(output: Output = None, db: Db = None, json: Json = False) -> None:
    """List every cell of the design space, with its verdict and what it is known as."""
    with door():
        from ttr_core.words import GRID_COLUMNS, grid_rows

        rows = grid_rows()
        if json or output is not None:
            from ..read import export, learned, listing
            from ..store import open_store

            rows = learned.beside_cells(rows, open_store(db))
        if output is not None:
            target = export.write(learned.as_table(rows), listing.output_path(output))
            wrote(len(rows), target)
        if json:
            print_json(rows)
        elif output is None:
            print_table(rows, GRID_COLUMNS)


@app.command()
def run(
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="A published layer, see `layers`.")
    ] = None,
    spec: Annotated[
        str | None, typer.Option(metavar="TEXT", help='Three ingredients: "Gate | Linear | SGD".')
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(metavar="FILE:Class", help="A torch module of your own, see docs/modules.md."),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=1e6, metavar="GIB", help="What a module may take, on a CPU; default: 4."
        ),
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(
            min=1, max=1e6, metavar="S", help="Seconds that a module may be silent; default: 60."
        ),
    ] = None,
    task: Annotated[str, typer.Option(metavar="TASK", help="What the layer has to do.")] = "mqar",
    frame: Annotated[
        str | None,
        typer.Option(
            metavar="standard|paper|published",
            help="What surrounds the layer; default: published for --layer, standard for --spec.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="layer.*, task.*, train.* or model.*."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides weights and batches.")] = 0,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to run.")] = "auto",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run although the store holds this very run.")
    ] = False,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Label the run; repeatable.")
    ] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="A note kept with the run.")] = "",
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep what was trained beside the store.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for this run if another process has it.")
    ] = True,
    db: Db = None,
    json: Json = False,
) -> None:
    """Run one layer on one task and keep the run in the store."""
    with door(), terminated():
        from ttr_core.lab import too_long

        from .. import store
        from ..run.brought import brought
        from ..run.request import check_labels, request
        from ..run.supervisor import Supervisor

        opened = store.open_store(db)
        check_labels(tag or (), note)
        with Supervisor(opened) as supervisor:
            supervisor.warm()
            own = brought(module, memory, patience)
            name = None if own is None else own.name
            experiment = request(layer, spec, task, frame, set_ or (), seed, device, name)
            for sentence in too_long(experiment):
                say(sentence)
            job, stopped = obtained(
                opened,
                lambda: supervisor.start(
                    experiment, tags=tag or (), fresh=fresh, weights=keep_weights, own=own
                ),
                wait,
            )
        elsewhere = made_elsewhere(opened, job)
        if note and job.run_id is not None and not job.unstored:
            opened.set_note([job.run_id], note)
        show_run(opened, job, json)
        if note and job.unstored:
            say("Its note was not kept.")
        left_as_it_is(opened, job, {"labels": bool(tag or note), "weights": keep_weights})
        if elsewhere is not None:
            say(f"{elsewhere}: without --no-wait this command waits for it.")
    if stopped:
        raise typer.Exit(Exit.STOPPED)
    if elsewhere is not None:
        raise typer.Exit(Exit.ELSEWHERE)
    if job.status == "failed" or job.unstored:
        raise typer.Exit(Exit.FAILED)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="See docs/sweeps.md.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=A,B,C", help="Replace what the plan says."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=256, metavar="N", help="Runs side by side; default: one a core."),
    ] = None,
    executor: Who = "local",
    address: Address = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs and an estimate; run nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run also what the store holds already.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Start at most so many runs now.")
    ] = None,
    minutes: Minutes = None,
    output: Output = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """Run every combination that a plan lists; the same command resumes."""
    with door():
        from .. import store, sweeps
        from ..read import listing
        from ..run.executors import check_executor, executing

        check_executor(executor, address)
        target = None if output is None else listing.output_path(output)
        opened = store.open_store(db)
        plan, source = sweeps.load(file, set_ or ())
        work = sweeps.expanded(plan, source, checking())
        work = replace(work, anywhere=work.anywhere and not fresh)  # what runs anew, runs here
        kept = sweeps.evidence.files(plan.evidence, file)
        budget = sweeps.Budget(limit, None if minutes is None else 60 * minutes)
        if dry_run:
            for said in sweeps.evidence.absent(kept):
                say(said)
            work = sweeps.with_followers(opened, work)
            show_plan(foreseen(opened, work, jobs, fresh, kept, dry_run, budget), json)
            if target is not None:
                say(f"A dry run writes nothing: {target} is as it was.")
            return
        with executing(executor, address, work.device, say) as crew:
            for said in sweeps.evidence.bring_in(opened, kept):
                say(said)
            work = sweeps.with_followers(opened, work)
            jobs = jobs or sweeps.usual_jobs(work.runs, crew)
            ahead = foreseen(opened, work, jobs, fresh, kept, dry_run, budget)
            starting = sweeps.started(opened, ahead, plan.tags, fresh, budget, crew)
            with starting as (swept, kill), stoppable(kill) as stop:
                troubled = watch(swept, stop.is_set, json)
        show_sweep(opened, swept, work, troubled, json, target)
    if swept.stopped:
        raise typer.Exit(Exit.STOPPED)
    if troubled:
        raise typer.Exit(Exit.FAILED)


@app.command()
def runs(
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="A condition: \"task = 'mqar' AND accuracy > 0.9\"."),
    ] = None,
    group: Annotated[
        bool, typer.Option("--group", help="One row per configuration: mean and std over seeds.")
    ] = False,
    output: Output = None,
    archived: Annotated[bool, typer.Option("--archived", help="Include archived runs.")] = False,
    db: Db = None,
    json: Json = False,
) -> None:
    """List the runs of the store, newest first."""
    with door():
        from ttr_core import how_many

        from .. import store
        from ..read import export, listing
        from . import printout

        target = None if output is None else listing.output_path(output)
        ask = listing.groups if group else listing.runs
        held = store.open_store(db)
        if not held.path.exists():
            say(f"There is no store at {held.path}: a first run makes it.")
        frame = ask(held, where, archived, flat=target is not None)
        if target is not None:
            whole = target.suffix.lower() == ".parquet" and not group
            place = export.write_runs(held, target, frame) if whole else export.write(frame, target)
            wrote(len(frame), place)
        if json:
            print_json(printout.records(frame))
        elif target is None:
            say(how_many(len(frame), "configuration" if group else "run"))
            print_table(printout.readable(printout.records(frame)), listing.in_terminal(frame))


@app.command()
def compare(
    run_ids: Annotated[
        list[str],
        typer.Argument(metavar="RUN_ID...", help="Two to eight runs, the first is the baseline."),
    ],
    alone: Annotated[
        bool, typer.Option("--alone", help="Compare the runs, not their configurations over seeds.")
    ] = False,
    output: Output = None,
    db: Db = None,
    json: Json = False,
) -> None:
    """Compare runs or configurations: means with errors, differences, settings that differ."""
    with door():
        from .. import store
        from ..read import export, listing
        from .comparison import compared

        target = None if output is None else listing.output_path(output)
        found = compared(store.open_store(db), run_ids, over_seeds=not alone)
        for sentence in found.unlike:
            say(sentence)
        if target is not None:
            place = export.write(found.numbers, target)
            wrote(len(found.numbers), place)
        if json:
            print_json(found.document())
        elif target is None:
            print_table(found.told(), found.columns())
            if len(found.differing):
                print_table(found.settings(), ["setting", *found.sides])


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    overwrite: Overwrite = False,
    db: Db = None,
) -> None:
    """Copy the store into a file, safely while others use it."""
    with door():
        from .. import store
        from ..store import backup

        say(f"The store is copied to {backup.backup(store.open_store(db), file, overwrite)}.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `backup` wrote.")],
    overwrite: Overwrite = False,
    db: Db = None,
) -> None:
    """Make a store from a backup."""
    with door():
        from .. import store
        from ..store import backup

        opened = store.open_store(db)
        aside = backup.restore(file, opened, overwrite)
        old = "" if aside is None else f" The old store is {aside}."
        say(f"{opened.path} is restored from {file}.{old}")


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A store, a backup, or runs as .parquet.")
    ],
    db: Db = None,
) -> None:
    """Add runs from elsewhere that this store lacks: of a store, or exported as Parquet."""
    with door():
        from ttr_core import how_many

        from .. import store
        from ..store import backup

        opened = store.open_store(db)
        done = backup.import_runs(opened, file)
        same = how_many(done.answered, "more is here as another run", "more are here as other runs")
        more = f" {same} already." if done.answered else ""
        say(f"{how_many(done.added, 'run')} added to {opened.path}.{more}")


@app.command()
def delete(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID...", help="Runs to delete.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    db: Db = None,
) -> None:
    """Delete runs for good; in the app they can only be archived."""
    with door():
        from ttr_core import how_many

        from .. import store
        from ..read import listing

        opened = store.open_store(db)
        found = listing.existing(opened, run_ids)
        for row in found:
            say(f"{row['run_id']}  {row['status']}  {row['layer'] or row['spec']}  {row['task']}")
        if not yes:
            typer.confirm(f"Delete {how_many(len(found), 'run')} for good?", abort=True, err=True)
        deleted = opened.delete([row["run_id"] for row in found])
        say(f"{how_many(deleted, 'run')} deleted.")
