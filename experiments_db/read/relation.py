"""The relation ``shown``: a row per run as people see it, of no more tables than a question names.

Six tables have one row per run at most, which the database cannot know: asked through the view
``run_rows`` for the number of runs it would sort all tags first. A question therefore joins the
tables whose columns occur in it, and where it is about a few runs, it reads only these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import duckdb

from ttr_core.lab import outdated

from ..store import Store
from ..store.driver import alive
from ..store.records import CUT_SHORT, RELEASED
from . import measures

NUMBERS = (*RELEASED, "last", "best")
"""Columns whose number need not be finite in the file; a query shows what is not as missing."""

RISES, FALLS, LOSS = RELEASED

STATUS = """CASE
    WHEN results.status IS NOT NULL THEN results.status
    WHEN live.run_id IS NOT NULL AND list_contains($alive::VARCHAR[], runs.driver) THEN 'running'
    ELSE 'interrupted' END"""
"""The effective status: a run that nobody drives anymore is interrupted."""

COLUMNS = {
    "run_id": "runs.run_id",
    "status": STATUS,
    **{n: f"runs.{n}" for n in ("layer", "spec", "frame", "task", "seed", "device", "protocol")},
    RISES: f"coalesce(results.{RISES}, live.{RISES})",
    FALLS: f"results.{FALLS}",
    LOSS: f"coalesce(results.{LOSS}, live.{LOSS})",
    **{name: f"results.{name}" for name in ("last", "best", "best_step")},
    "steps": "coalesce(results.steps, live.step)",
    "steps_planned": "live.steps",
    **{
        name: f"results.{name}"
        for name in ("seconds", "seconds_to_target", "parameters", "state_size", "lr", "lrs_tried",
                     "metrics", "accuracy_by", "message")
    },
    "started_at": "runs.started_at",
    "finished_at": "results.finished_at",
    "beat_at": "live.beat_at",
    "tags": "coalesce(labels.tags, [])",
    "note": "coalesce(marks.note, '')",
    "starred": "coalesce(marks.starred, false)",
    "archived": "coalesce(marks.archived, false)",
    **{
        name: f"runs.{name}"
        for name in ("host", "pid", "driver", "versions", "environment", "config", "config_hash",
                     "config_group", "series")
    },
}  # fmt: skip
"""Column of a run -> its SQL over the tables; a test compares them with the view."""

SUPERSEDED = "list_has_any(coalesce(series.parts, []), $outdated::VARCHAR[])"

TABLES = {
    "results": "LEFT JOIN {results} AS results ON results.run_id = runs.run_id",
    "live": "LEFT JOIN live ON live.run_id = runs.run_id",
    "marks": "LEFT JOIN marks ON marks.run_id = runs.run_id",
    "series": "LEFT JOIN {series} AS series ON series.series = runs.series",
    "labels": """LEFT JOIN (
        SELECT run_id, list(tag ORDER BY tag) AS tags FROM {tags} GROUP BY run_id
    ) AS labels ON labels.run_id = runs.run_id""",
}
"""Name of a table in `COLUMNS` -> how it is joined; in braces what may be a few rows of it."""

FEW = {
    "runs": "(SELECT * FROM runs WHERE rowid IN (SELECT place FROM few))",
    "results": "(SELECT * FROM results WHERE rowid IN ("
    "SELECT rowid FROM results WHERE run_id IN (SELECT run_id FROM few)))",
    "series": "(SELECT * FROM series WHERE series IN (SELECT series FROM few))",
    "tags": "(SELECT * FROM tags WHERE run_id IN (SELECT run_id FROM few))",
}
"""Table -> its rows of a few runs. By their numbers, since of texts the database knows only which
blocks of rows they may lie between: for three old runs it would read every config."""

WORDS = re.compile(r"\w+")


def columns_in_sql() -> dict[str, str]:
    """Returns every column of ``shown`` with its SQL, in order.

    Beside those of the schema there is one for each metric that a task declares, the pace of a
    training, whether its curve still rose or its time cut it short, and whether the run is
    superseded. A number that is not finite is missing: it must not be the largest of all.
    """
    finite = {
        name: f"CASE WHEN isfinite({sql}) THEN {sql} END" if name in NUMBERS else sql
        for name, sql in COLUMNS.items()
    }
    return {**finite, **measures.added(), "cut_short": CUT_SHORT, "superseded": SUPERSEDED}


def relation_of(asked: str | None = None, among: str | None = None) -> str:
    """Returns the start of a query, the relation ``shown`` with the columns that it needs.

    Args:
        asked: the rest of the query; a column counts as needed wherever its name occurs. None
            stands for every column.
        among: a SELECT of ids; only these runs are read.
    """
    known = columns_in_sql()
    words = known if asked is None else set(WORDS.findall(asked))
    named = ", ".join(f"{sql} AS {name}" for name, sql in known.items() if name in words)
    rows = {name: name for name in FEW} if among is None else FEW
    joins = [sql.format(**rows) for name, sql in TABLES.items() if f"{name}." in named]
    found = f"SELECT rowid AS place, run_id, series FROM runs WHERE run_id IN ({among})"
    first = "" if among is None else f"few AS MATERIALIZED ({found}),"
    return f"""
        WITH {first} shown AS (
            SELECT {named or "runs.run_id"} FROM {rows["runs"]} AS runs {" ".join(joins)}
        )
    """


def put_to(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    question: str,
    values: Mapping[str, Any],
    among: str | None = None,
    whole: bool = False,
) -> duckdb.DuckDBPyConnection:
    """Asks a question about ``shown``.

    Args:
        connection: of the store.
        store: whose drivers say which runs go on.
        question: the query after its start.
        values: its parameters.
        among: as of `relation_of`.
        whole: whether it is about every column, whose names it need not name.
    """
    sql = f"{relation_of(None if whole else question, among)} {question}"
    given = dict(values)
    if "$alive" in sql:
        given["alive"] = alive(connection, store.path)
    if "$outdated" in sql:
        given |= revised_since()
    return connection.execute(sql, given)


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Returns the columns of ``shown`` with their types."""
    given = {"alive": [], **revised_since()}
    found = connection.execute(f"DESCRIBE {relation_of()} SELECT * FROM shown", given).fetchall()
    return {name: kind for name, kind, *_ in found}


def revised_since() -> dict[str, list[str]]:
    """Returns the parameter that tells superseded runs from those of today."""
    return {"outdated": outdated()}
