"""The command that searches the design space for cells above what is published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .commands import Db, Json, app
from .door import door
from .screen import print_json, print_table, tell
from .sweep import PLANNED_ROWS, checking

if TYPE_CHECKING:
    from ..search import Outlook


@app.command()
def search(
    file: Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="See docs/search.md.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and an estimate; run nothing.")
    ] = False,
    db: Db = None,
    json: Json = False,
) -> None:
    """Search the design space for cells above what is published; the same command resumes."""
    with door():
        from ttr_core import RequestError

        from .. import store
        from ..atlas import beside
        from ..search import load_search, look_ahead, space_of

        opened = store.open_store(db)
        plan, source = load_search(file)
        space = space_of(plan, source, beside(opened), checking("looking at cell"))
        ahead = look_ahead(opened, plan, source, space, checking("trying cell"))
        if not dry_run:
            raise RequestError("This version tells of a search and does not run it: add --dry-run.")
        _show_outlook(ahead, json)


def _show_outlook(ahead: Outlook, json: bool) -> None:
    if json:
        print_json(ahead.document())
        return
    from ..search.outlook import COLUMNS

    rows = ahead.rows()
    print_table(rows[:PLANNED_ROWS], COLUMNS)
    if len(rows) > PLANNED_ROWS:
        tell(f"... and {len(rows) - PLANNED_ROWS:,} more; --json lists all")
    for text in ahead.lines():
        tell(text)
