"""The commands of the machine: what is installed here, and the explorer in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from .commands import Db, Json, app
from .door import Exit, complain, door
from .screen import print_json, tell


@app.command()
def doctor(db: Db = None, json: Json = False) -> None:
    """Say what is installed, where runs go and whether the store is well."""
    with door():
        from ttr_core.lab import resolve_device

        from ..read import listing
        from . import printout

        health = listing.health(db)
        machine = {**printout.machine(), "device": resolve_device("auto"), "threads_per_run": 1}
        report = {"versions": printout.versions(), "machine": machine, "store": health}
        if json:
            print_json(report)
        else:
            tell(printout.outline(report))
    if health["problem"] is not None:
        complain(health["problem"], Exit.FAILED)


@app.command("app")
def explorer(
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="N", help="The first port to try.")
    ] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
) -> None:
    """Open the explorer in the browser; it listens on this machine alone."""
    with door():
        from .explorer import serve

        serve(port, headless)
