"""What writing means: the statements behind a claim, a heartbeat, a result and the marks.

Each function works on an open connection inside a transaction that others share. So it looks first
and writes last: what it refuses (StoreError) it refuses before its first change.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from ..errors import StoreError
from .records import (
    COMPLETE,
    CUT_SHORT,
    ENDED,
    HAD_SECONDS,
    LIVE_POINTS,
    POINTS,
    RELEASED,
    Claim,
    Live,
    NewRun,
    Outcome,
    as_json,
    mended,
    new_run_id,
    storable,
    summary,
    thinned,
    utc_now,
)
from .series import Series, add_series

Connection = duckdb.DuckDBPyConnection

TABLES = ("runs", "results", "curves", "live", "marks", "tags")
"""Every table with a run_id."""

VERSIONS = ("python", "duckdb", "torch", "numpy", "pandas", "streamlit", "project")
"""What an environment may say about versions."""

TEXTS = ("config_hash", "layer", "spec", "frame", "task", "device", "protocol")
"""What a run is called by, as text."""

MESSAGE_CHARS, NOTE_CHARS, TAG_CHARS = 100_000, 20_000, 100


@dataclass(frozen=True)
class Owner:
    """The process that a run belongs to.

    Args:
        driver: its id.
        host: its host.
    """

    driver: str
    host: str


def run_row(run: NewRun) -> dict[str, Any]:
    """Returns the row of a new run, without what the claim decides.

    Raises:
        StoreError: its config or environment has no JSON form, or a text cannot be stored.
    """
    known = {"python": platform.python_version(), "duckdb": duckdb.__version__}
    said = {name: run.environment[name] for name in VERSIONS if name in run.environment}
    texts = {name: getattr(run, name) for name in TEXTS}
    return {
        **{k: storable(v, f"The {k}") if isinstance(v, str) else v for k, v in texts.items()},
        "seed": run.seed,
        "config": as_json(run.config, "config"),
        "environment": as_json(run.environment, "environment"),
        "versions": as_json({**known, **said}, "versions"),
    }


def holder(
    connection: Connection, config_hash: str, alive: Sequence[str], seconds: float | None = None
) -> tuple[str, str] | None:
    """Returns the id and status of the newest live or complete run of a configuration.

    Args:
        connection: an open store.
        config_hash: the configuration.
        alive: the drivers that live.
        seconds: the time that is given; a run that ended for want of less is no answer.
    """
    rows = connection.execute(
        f"""
        SELECT run_id, results.status, live.driver, CASE WHEN {CUT_SHORT} THEN {HAD_SECONDS} END
        FROM runs
        LEFT JOIN results USING (run_id)
        LEFT JOIN live USING (run_id)
        WHERE config_hash = ?
        ORDER BY run_id DESC
        """,
        [config_hash],
    ).fetchall()
    for run_id, status, driver, had in rows:
        if status in COMPLETE and (had is None or (seconds is not None and seconds <= had)):
            return run_id, status
        if status is None and driver in alive:
            return run_id, "running"
    return None


def insert_run(
    connection: Connection, row: dict[str, Any], found: Series, tags: Sequence[str], owner: Owner
) -> Claim:
    """Inserts a run of a series as running."""
    now = utc_now()
    run_id = new_run_id(now)
    add_series(connection, [found])
    row = {**row, "config_group": _group_of(connection, row["config"]), "series": found.name}
    mine = {"driver": owner.driver, "host": owner.host, "pid": os.getpid(), "started_at": now}
    _insert(connection, "runs", {"run_id": run_id, **row, **mine})
    live = {"run_id": run_id, "driver": owner.driver, "host": owner.host, "beat_at": now, "step": 0}
    _insert(connection, "live", {**live, "curve_steps": [], "curve_values": []})
    for tag in tags:
        _insert(connection, "tags", {"run_id": run_id, "tag": tag})
    return Claim(run_id, None, "running")


def beat(connection: Connection, driver: str, lives: Sequence[Live]) -> None:
    """Notes that a driver lives, and how far its runs are; runs that ended are left alone."""
    now: datetime = utc_now()
    connection.execute("UPDATE live SET beat_at = ? WHERE driver = ?", [now, driver])
    for live in lives:
        steps, values = thinned(live.curve, LIVE_POINTS)
        connection.execute(
            """
            UPDATE live SET step = ?, steps = ?, loss = ?, accuracy = ?,
                curve_steps = ?, curve_values = ?
            WHERE run_id = ? AND driver = ?
            """,
            [
                live.step,
                live.steps,
                live.loss,
                live.metrics.get(RELEASED[0]),
                steps,
                values,
                live.run_id,
                driver,
            ],
        )


def result_rows(run_id: str, outcome: Outcome) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the row of a result and those of its curves.

    Raises:
        StoreError: the status is no ending, or something in it cannot be stored.
    """
    if outcome.status not in ENDED:
        valid = ", ".join(ENDED)
        raise StoreError(f"A run cannot end as {outcome.status!r}; valid endings: {valid}.")
    row = {
        "run_id": run_id,
        "status": outcome.status,
        **{name: _number(outcome.metrics.get(name)) for name in RELEASED},
        "metrics": as_json(mended(outcome.metrics), "metrics"),
        "accuracy_by": as_json(mended(outcome.accuracy_by), "accuracy_by"),
        "tables": as_json(mended(outcome.tables), "tables"),
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "seconds_to_target": outcome.seconds_to_target,
        "parameters": outcome.parameters,
        "state_size": outcome.state_size,
        "lr": outcome.lr,
        "lrs_tried": as_json(mended(outcome.lrs_tried), "lrs_tried"),
        **summary(outcome.curves, outcome.metric),
        "message": mended(outcome.error[-MESSAGE_CHARS:]) if outcome.error else None,
    }
    curves = []
    for name, curve in outcome.curves.items():
        steps, values = thinned(curve, POINTS, name)
        curves.append({"run_id": run_id, "name": mended(name), "steps": steps, "values": values})
    return row, curves


def insert_result(
    connection: Connection, row: dict[str, Any], curves: Sequence[dict[str, Any]]
) -> None:
    """Ends a run.

    Raises:
        StoreError: there is no such run, or it has ended already.
    """
    run_id = row["run_id"]
    require(connection, [run_id])
    ended = connection.execute("SELECT status FROM results WHERE run_id = ?", [run_id]).fetchone()
    if ended is not None:
        raise StoreError(f"Run {run_id} has ended already, as {ended[0]}.")
    _insert(connection, "results", {"finished_at": utc_now(), **row})
    for curve in curves:
        _insert(connection, "curves", curve)
    connection.execute("DELETE FROM live WHERE run_id = ?", [run_id])


def mark(connection: Connection, ids: Sequence[str], column: str, value: str | bool) -> int:
    """Sets one column of ``marks`` for some runs and returns their number."""
    require(connection, ids)
    connection.execute(
        """
        INSERT INTO marks (run_id)
        SELECT unnest($ids::VARCHAR[]) AS id EXCEPT SELECT run_id FROM marks
        """,
        {"ids": list(ids)},
    )
    update = f"UPDATE marks SET {column} = $value WHERE run_id IN (SELECT unnest($ids::VARCHAR[]))"
    connection.execute(update, {"ids": list(ids), "value": value})
    return len(set(ids))


def add_tags(connection: Connection, ids: Sequence[str], tags: Sequence[str]) -> int:
    """Tags some runs and returns their number."""
    require(connection, ids)
    connection.execute(
        """
        INSERT INTO tags
        SELECT run.id, tag.id FROM (SELECT unnest($ids::VARCHAR[]) AS id) AS run,
            (SELECT unnest($tags::VARCHAR[]) AS id) AS tag
        EXCEPT SELECT run_id, tag FROM tags
        """,
        {"ids": list(ids), "tags": list(tags)},
    )
    return len(set(ids))


def remove_tags(connection: Connection, ids: Sequence[str], tags: Sequence[str]) -> int:
    """Takes tags off some runs and returns their number."""
    require(connection, ids)
    connection.execute(
        """
        DELETE FROM tags
        WHERE run_id IN (SELECT unnest($ids::VARCHAR[]))
            AND tag IN (SELECT unnest($tags::VARCHAR[]))
        """,
        {"ids": list(ids), "tags": list(tags)},
    )
    return len(set(ids))


def delete(connection: Connection, ids: Sequence[str], alive: Sequence[str]) -> int:
    """Removes every row of some runs and returns their number.

    Raises:
        StoreError: a run is unknown, or still running.
    """
    require(connection, ids)
    running = connection.execute(
        """
        SELECT run_id FROM live
        WHERE run_id IN (SELECT unnest($ids::VARCHAR[]))
            AND driver IN (SELECT unnest($alive::VARCHAR[]))
        """,
        {"ids": list(ids), "alive": list(alive)},
    ).fetchall()
    if running:
        raise StoreError(f"Run {running[0][0]} is still running: cancel it before deleting it.")
    for table in TABLES:
        statement = f"DELETE FROM {table} WHERE run_id IN (SELECT unnest($ids::VARCHAR[]))"
        connection.execute(statement, {"ids": list(ids)})
    return len(set(ids))


def require(connection: Connection, ids: Sequence[str]) -> None:
    """Refuses ids that no run has.

    Raises:
        StoreError: names them.
    """
    found = connection.execute(
        "SELECT run_id FROM runs WHERE run_id IN (SELECT unnest($ids::VARCHAR[]))",
        {"ids": list(ids)},
    ).fetchall()  # the known ones: looking for the others would read the id of every run
    known = {row[0] for row in found}
    if missing := sorted(set(ids) - known):
        names = ", ".join(missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise StoreError(f"The store has no run {names}{more}.")


def clean_tags(tags: Sequence[str]) -> list[str]:
    """Returns tags without outer blanks and repetitions.

    Raises:
        StoreError: one is empty, too long or has a line break.
    """
    cleaned = list(dict.fromkeys(tag.strip() for tag in tags))
    for tag in cleaned:
        if not tag or len(tag) > TAG_CHARS or "\n" in tag:
            raise StoreError(f"{tag[:40]!r} is no tag: 1 to {TAG_CHARS} characters on one line.")
        storable(tag, f"The tag {tag!a}")
    return cleaned


def clean_note(text: str) -> str:
    """Returns a note that can be kept.

    Raises:
        StoreError: it is too long or cannot be stored.
    """
    if len(text) > NOTE_CHARS:
        raise StoreError(f"A note may have {NOTE_CHARS} characters, not {len(text)}.")
    return storable(text, "The note")


def _group_of(connection: Connection, config: str) -> str:
    """Returns the fingerprint of a config without its seed, and keeps that config if it is new."""
    patched = "SELECT json_merge_patch(?::JSON, '{\"seed\": null}')::VARCHAR AS config"
    ((group, seedless),) = connection.execute(
        f"SELECT md5(config), config FROM ({patched})", [config]
    ).fetchall()  # by the database, as in the migration: two writers of JSON rarely agree
    connection.execute(
        """
        INSERT INTO configs SELECT $group, $config
        WHERE NOT EXISTS (SELECT 1 FROM configs WHERE config_group = $group)
        """,
        {"group": group, "config": seedless},
    )
    return str(group)


def _insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
