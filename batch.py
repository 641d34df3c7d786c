"""The headless door: the catalog, the grid, runs and their store from a terminal or a script.

Exit codes: 0 all is done (a diverged run counts, and is reported); 1 a run failed or the store
refused; 2 the request was wrong; 130 stopped by Ctrl-C. With --json exactly one JSON document goes
to standard output; progress and messages go to standard error.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from experiments_db.jobs import Job

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Sequence layers as test-time regression: list them, run them, keep the runs.",
    epilog="Exit codes: 0 done, 1 a run failed or the store refused, 2 wrong request, 130 stopped.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Db = Annotated[
    Path | None,
    typer.Option("--db", metavar="FILE", help="The store; default: TTR_DB, then TTR_HOME."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
PIPE_WIDTH = 200
LINE_SECONDS = 5.0


class Exit(IntEnum):
    """What the process tells its caller."""

    DONE, FAILED, WRONG, STOPPED = 0, 1, 2, 130


@contextmanager
def door() -> Iterator[None]:
    """Turns what a user can fix into one message on standard error and an exit code."""
    from experiments_db.errors import StoreError
    from experiments_db.sandbox import QueryError

    try:
        yield
    except (StoreError, OSError) as error:
        _complain(str(error), Exit.FAILED)
    except QueryError as error:
        _complain(str(error), Exit.WRONG)
    except ValueError as error:
        from ttr_core.errors import RequestError

        if not isinstance(error, RequestError):
            raise
        _complain(str(error), Exit.WRONG)
    except KeyboardInterrupt:
        _complain("Stopped.", Exit.STOPPED)


@app.command()
def layers(json: Json = False) -> None:
    """List the catalog of published layers."""
    with door():
        from experiments_db import catalog

        rows = catalog.layers()
        if json:
            _print_json(rows)
        else:
            _print_table(map(catalog.cited, rows), catalog.LAYER_COLUMNS)


@app.command()
def grid(json: Json = False) -> None:
    """List every cell of the design space, with its verdict and its published names."""
    with door():
        from experiments_db import catalog

        rows = catalog.grid()
        if json:
            _print_json(rows)
        else:
            _print_table(rows, catalog.GRID_COLUMNS)


@app.command()
def run(
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="A published layer, see `layers`.")
    ] = None,
    spec: Annotated[
        str | None, typer.Option(metavar="TEXT", help='Three ingredients: "Gate | Linear | SGD".')
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
    db: Db = None,
    json: Json = False,
) -> None:
    """Run one layer on one task and keep the run in the store."""
    with door(), _terminated():
        from experiments_db import plan, runner, store

        opened = store.open_store(db)
        with runner.Supervisor(opened) as supervisor:
            supervisor.warm()
            experiment = plan.request(layer, spec, task, frame, set_ or (), seed, device)
            job = supervisor.start(experiment, tags=tag or (), fresh=fresh)
            stopped = _follow(job)
        if note and job.run_id is not None:
            opened.set_note([job.run_id], note)
        _report(opened, job, json)
        if job.existing is not None and (tag or note):
            _say("Its tags and its note are left as they were.")
    if stopped:
        raise typer.Exit(Exit.STOPPED)
    if job.status == "failed":
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
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write .csv, .parquet, .json or .md instead."),
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Include archived runs.")] = False,
    db: Db = None,
    json: Json = False,
) -> None:
    """List the runs of the store, newest first."""
    with door():
        from experiments_db import documents, export, listing, store

        target = None if output is None else listing.output_path(output)
        frame = listing.runs(store.open_store(db), where, archived)
        if group:
            frame = documents.grouped(frame)
        if target is not None:
            _say(f"{len(frame)} rows written to {export.write(frame, target)}.")
        if json:
            _print_json(documents.rows(frame))
        elif target is None:
            _say(f"{len(frame)} {'configurations' if group else 'runs'}")
            columns = listing.GROUP_COLUMNS if group else listing.RUN_COLUMNS
            _print_table(documents.rows(frame), [c for c in columns if c in frame.columns])


@app.command()
def bench(json: Json = False) -> None:
    """Measure speed and memory of every solver on this machine; it takes minutes."""
    with door():
        from ttr_core import bench as measure

        result = measure.run(lambda done, total, what: _say(f"{done} of {total}: {what}"))
        if json:
            _print_json(result)
            return
        for name, value in result["machine"].items():
            typer.echo(f"{name}: {value}")
        _print_table(result["rows"], tuple(result["rows"][0]))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    overwrite: Overwrite = False,
    db: Db = None,
) -> None:
    """Copy the store into a file, safely while others use it."""
    with door():
        from experiments_db import backup, store

        _say(f"The store is copied to {backup.backup(store.open_store(db), file, overwrite)}.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `backup` wrote.")],
    overwrite: Overwrite = False,
    db: Db = None,
) -> None:
    """Make a store from a backup."""
    with door():
        from experiments_db import backup, store

        opened = store.open_store(db)
        backup.restore(file, opened, overwrite)
        _say(f"{opened.path} is restored from {file}.")


@app.command()
def delete(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID...", help="Runs to delete.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    db: Db = None,
) -> None:
    """Delete runs for good; in the app they can only be archived."""
    with door():
        from experiments_db import listing, store

        opened = store.open_store(db)
        found = listing.existing(opened, run_ids)
        for row in found:
            _say(f"{row['run_id']}  {row['status']}  {row['layer'] or row['spec']}  {row['task']}")
        if not yes:
            typer.confirm(f"Delete {len(found)} runs for good?", abort=True, err=True)
        _say(f"{opened.delete([row['run_id'] for row in found])} runs deleted.")


@app.command()
def doctor(db: Db = None, json: Json = False) -> None:
    """Say what is installed, where runs go and whether the store is well."""
    with door():
        from experiments_db import documents, listing
        from ttr_core.experiment import resolve_device

        health = listing.health(db)
        machine = {**documents.machine(), "device": resolve_device("auto"), "threads_per_run": 1}
        report = {"versions": documents.versions(), "machine": machine, "store": health}
        if json:
            _print_json(report)
        else:
            typer.echo(documents.outline(report))
    if health["problem"] is not None:
        _complain(health["problem"], Exit.FAILED)


# ---- a run on the screen


def _follow(job: Job) -> bool:
    """Shows a job's progress until it ends; returns whether somebody stopped it."""
    try:
        if sys.stderr.isatty():
            _draw(job)
        else:
            _tell(job)
    except KeyboardInterrupt:
        job.cancel()
        job.wait(10)
        return True
    return False


def _draw(job: Job) -> None:
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[measured]}"), rich.TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with rich.Progress(*columns, console=_console(), transient=True) as bar:
        task = bar.add_task("starting", total=None, measured="", left="")
        while not job.wait(0.2):
            now = job.snapshot()
            bar.update(
                task,
                description=now.status,
                total=now.steps or None,
                completed=now.step,
                measured=now.measured,
                left=now.timed,
            )


def _tell(job: Job) -> None:
    told = 0
    while not job.wait(LINE_SECONDS):
        now = job.snapshot()
        if now.step != told:
            told = now.step
            _say(f"step {now.step}/{now.steps}  {now.measured}  {now.timed}")


def _report(opened: Any, job: Job, json: bool) -> None:
    """Prints the run as the store has it, or what is known of one that never got there."""
    from experiments_db import documents, queries

    run_id = job.run_id or job.existing
    row = queries.run(opened, run_id) if run_id is not None else None
    if row is None:
        _say(f"The run {job.status}: {job.message or 'it never started.'}")
        if json:
            _print_json(documents.unrecorded(job))
        return
    document = {**documents.run_document(row), "existing": job.existing is not None}
    if job.existing is not None:
        _say(f"This run is in the store ({row['status']}); --fresh runs it again.")
    if json:
        _print_json(document)
    else:
        typer.echo(documents.summary(document, opened.path))
    if job.status == "failed":
        _say(f"The run failed. {job.error}")


@contextmanager
def _terminated() -> Iterator[None]:
    """Lets a request to terminate stop the run like Ctrl-C does."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


# ---- printing


def _print_json(document: Any) -> None:
    from experiments_db import documents

    typer.echo(documents.dumped(document))


def _print_table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    names = tuple(columns)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    _console(stderr=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    return str(value)


def _console(stderr: bool = True) -> Console:
    """Returns a console that takes no text for markup."""
    from rich.console import Console

    out = sys.stderr if stderr else sys.stdout
    width = None if out.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _complain(text: str, code: Exit) -> None:
    _say(text)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
