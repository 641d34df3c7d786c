"""What the command line shows: a run in progress, tables, documents, messages."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from ..run.jobs import Job
    from ..store import Store

PIPE_WIDTH = 200

UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Letters that steer a terminal, turn the direction of what follows, or are half of one."""
LINE_SECONDS = 5.0


def wrote(rows: int, place: Path, more: str = "") -> None:
    """Says how many rows a file has got."""
    from ttr_core import how_many

    say(f"{how_many(rows, 'row')} written to {place}{more}.")


def follow(job: Job) -> bool:
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
    with rich.Progress(*columns, console=console(), transient=True) as bar:
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
            say(f"step {now.step}/{now.steps}  {now.measured}  {now.timed}")


def show_run(opened: Store, job: Job, json: bool) -> None:
    """Prints the run as the store has it, or what is known of one that never got there."""
    from ..read import queries
    from ..read.trained_views import own_layer
    from . import printout

    run_id = job.run_id or job.existing
    asks = run_id is not None and job.unstored is None
    row = queries.run(opened, str(run_id)) if asks else None
    if row is None:
        began = job.status != "failed" or run_id is not None
        say(without_row(job.status, job.message) if began else f"Nothing was run: {job.message}")
        if json:
            print_json(printout.unrecorded(job))
        return
    document = {**printout.run_document(row), "existing": job.existing is not None}
    if job.existing is not None and row["status"] != "running":
        say(f"This run is in the store ({row['status']}); --fresh runs it again.")
    if json:
        print_json(document)
    else:
        tell(printout.told(document, opened.path))
    if (own := own_layer(opened, str(run_id))) is not None:
        say(own.sentence)
    if job.status == "failed":
        say(f"The run failed. {job.error}")


def without_row(status: str, message: str | None) -> str:
    """Returns how a run ended whose result the store has not got, and where that is."""
    return f"The run {status}: {message or 'it never started.'}"


def print_json(document: Any) -> None:
    """Prints a document on standard output."""
    from . import printout

    typer.echo(UNSEEN.sub(_as_json, printout.dumped(document)))


def print_table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> None:
    """Prints rows on standard output, in these columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    names = tuple(columns)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    console(stderr=False).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    return shown(str(value))


def shown(text: str) -> str:
    r"""Returns a text as a terminal may have it: what would steer it stands as an escape.

    Notes, tags and messages come from anywhere. A line break is kept, and so is a tab.

    Example:
        >>> shown("a\x1b[2J\u202eb")
        'a\\x1b[2J\\u202eb'
    """
    return UNSEEN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _as_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def console(stderr: bool = True) -> Console:
    """Returns a console that takes no text for markup."""
    from rich.console import Console

    out = sys.stderr if stderr else sys.stdout
    width = None if out.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def say(text: str) -> None:
    """Prints a message on standard error."""
    typer.echo(shown(text), err=True)


def tell(text: str) -> None:
    """Prints an answer on standard output."""
    typer.echo(shown(text))
