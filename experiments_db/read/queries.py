"""Every question that is put to a store: one function, one SELECT, one table.

A status shown here is the effective one: a run that nobody drives anymore is ``interrupted``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from ttr_core.lab import outdated

from ..errors import StoreError
from ..store import Store
from ..store.driver import alive, folder_of, held_in
from ..store.records import RELEASED
from ..store.swap import log_of
from . import measures
from .filters import Conditions, Wanted, Where

LIMIT = 1000
NARROW = 5000
"""Up to so many rows are chosen first and read whole second."""

NUMBERS = (*RELEASED, "last", "best")
"""Columns whose number need not be finite in the file; a query shows what is not as missing."""

WHOLE_NUMBERS = ("seed", "steps", "steps_planned", "best_step", "parameters", "state_size")
JSON_COLUMNS = ("config", "environment", "versions", "metrics", "accuracy_by", "lrs_tried")
SETTINGS = ("task", "model", "train")

EVERY = Conditions()


def every() -> str:
    """Returns the start of a query: the relation ``shown``, a row per run as people see it.

    It has the effective status, a column for each metric that a task declares, and says whether the
    run is superseded. A number that is not finite is missing: it must not be the largest of all.
    """
    finite = ", ".join(f"CASE WHEN isfinite({name}) THEN {name} END AS {name}" for name in NUMBERS)
    return f"""
        WITH shown AS (
            SELECT * EXCLUDE (parts) REPLACE (
                CASE WHEN status = 'running' AND NOT list_contains($alive::VARCHAR[], driver)
                    THEN 'interrupted' ELSE status END AS status,
                {finite}
            ){measures.added()},
            list_has_any(parts, $outdated::VARCHAR[]) AS superseded
            FROM run_rows
        )
    """


def runs(
    store: Store,
    conditions: Conditions = EVERY,
    *,
    flat: bool = False,
    order: str = "started_at",
    descending: bool = True,
    limit: int = LIMIT,
    offset: int = 0,
) -> pd.DataFrame:
    """Returns runs that meet every condition, the newest first.

    Args:
        store: where to look.
        conditions: what the runs must meet; by default all that are not archived.
        flat: add one column per setting (``task.pairs``, ``model.d_model``, ``train.steps``).
        order: the column to sort by.
        descending: the largest first.
        limit: most rows to return.
        offset: rows to pass over first.

    Returns:
        One row per run. JSON columns hold text; times are UTC.

    Raises:
        StoreError: the store cannot be read, or ``order`` is no column.
    """
    return _select(store, conditions.where(), order, descending, (limit, offset), flat)


def selected(store: Store, where: Where) -> pd.DataFrame:
    """Returns the runs that a condition of one's own describes, the newest first."""
    return _select(store, where)


def run(store: Store, run_id: str) -> dict[str, Any] | None:
    """Returns one run with its JSON columns parsed, or None.

    Args:
        store: where to look.
        run_id: its id, or a beginning of it that no other run shares.
    """
    where = Where()
    where.add("starts_with(run_id, {})", run_id)
    found = _select(store, where, "run_id", False, (2, 0))
    exact = found[found["run_id"] == run_id]
    found = exact if len(exact) else found
    return _parsed(found)[0] if len(found) == 1 else None


def details(store: Store, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Returns runs as `run` does, in the order of their ids; what does not exist is left out."""
    found = _parsed(runs(store, Conditions(ids=run_ids, archived=True), limit=len(run_ids)))
    rows = {row["run_id"]: row for row in found}
    return [rows[run_id] for run_id in run_ids if run_id in rows]


def _parsed(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns rows with their JSON columns parsed; what is missing is None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [
        {
            str(name): json.loads(cell) if name in JSON_COLUMNS and cell is not None else cell
            for name, cell in row.items()
        }
        for row in rows
    ]


def same_config(store: Store, config_hash: str) -> pd.DataFrame:
    """Returns every run of one configuration, the archived ones too, the newest first."""
    return runs(store, Conditions(config_hash=config_hash, archived=True))


def curves(store: Store, run_ids: Wanted, names: Wanted = None) -> pd.DataFrame:
    """Returns curves, point by point; of a run in progress, the training loss so far.

    Args:
        store: where to look.
        run_ids: the runs.
        names: the curves, by default all.

    Returns:
        Columns run_id, name, step, value.
    """
    where = Where()
    where.one_of("run_id", [] if run_ids is None else run_ids)
    where.among("name", names)
    sql = f"""
        WITH every AS (
            SELECT run_id, name, steps, "values" FROM curves
            UNION ALL
            SELECT run_id, 'train_loss', curve_steps, curve_values FROM live
        )
        SELECT run_id, name, unnest(steps) AS step, unnest("values") AS value
        FROM every {where} ORDER BY run_id, name, step
    """
    with store.open() as connection:
        return connection.execute(sql, where.values).df()


def whole(store: Store, run_ids: Sequence[str]) -> pa.Table:
    """Returns what a table of runs lacks of runs that are to be carried elsewhere, in their order.

    Returns:
        Columns tables (JSON text) and curves (a list of name, steps and values).
    """
    sql = """
        SELECT
            coalesce(results.tables::VARCHAR, '{}') AS tables,
            coalesce(drawn.curves, []) AS curves
        FROM (
            SELECT unnest($ids::VARCHAR[]) AS run_id,
                generate_subscripts($ids::VARCHAR[], 1) AS place
        ) AS asked
        LEFT JOIN results USING (run_id)
        LEFT JOIN (
            SELECT run_id,
                list({name: name, steps: steps, "values": "values"} ORDER BY name) AS curves
            FROM curves WHERE run_id IN (SELECT unnest($ids::VARCHAR[])) GROUP BY run_id
        ) AS drawn USING (run_id)
        ORDER BY place
    """
    with store.open() as connection:
        return connection.execute(sql, {"ids": list(run_ids)}).to_arrow_table()


def metrics_by(store: Store, run_id: str) -> pd.DataFrame:
    """Returns the main metric of a run by group.

    Returns:
        Columns by (what the groups are: gap, pairs, ...), group, value.
    """
    stored = _json_of(store, run_id, "accuracy_by")
    rows = []
    for by, groups in stored.items():
        pairs = groups.items() if isinstance(groups, Mapping) else [(by, groups)]
        rows += [(by, str(group), value) for group, value in pairs]
    return pd.DataFrame(rows, columns=["by", "group", "value"])


def tables(store: Store, run_id: str) -> dict[str, pd.DataFrame]:
    """Returns a run's tables by name."""
    return {name: pd.DataFrame(rows) for name, rows in _json_of(store, run_id, "tables").items()}


def counts(store: Store, conditions: Conditions = EVERY) -> pd.DataFrame:
    """Returns how many runs meet every condition, by effective status.

    Returns:
        Columns status, runs.
    """
    where = conditions.where()
    sql = f"{every()} SELECT status, count(*) AS runs FROM shown {where} GROUP BY status"
    with store.open() as connection:
        values = {**where.values, **alive_of(connection, store)}
        return connection.execute(f"{sql} ORDER BY status", values).df()


def columns(store: Store) -> list[str]:
    """Returns the names of the columns of `runs`."""
    with store.open() as connection:
        return list(columns_of(connection))


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Returns the columns of ``shown`` with their types."""
    sql = f"DESCRIBE SELECT * EXCLUDE (parts){measures.added()}, false AS superseded FROM run_rows"
    return {name: kind for name, kind, *_ in connection.execute(sql).fetchall()}


def data_version(store: Store) -> str:
    """Returns a text that changes when a run, a mark or a driver does; opens nothing."""
    parts = [",".join(held_in(folder_of(store.path)))]
    for path in (store.path, log_of(store.path)):
        try:
            said = path.stat()
        except FileNotFoundError:
            parts.append("none")
        else:
            parts.append(f"{said.st_ino}-{said.st_mtime_ns}-{said.st_size}")
    return " ".join(parts)


def ids(store: Store, conditions: Conditions = EVERY) -> list[str]:
    """Returns the ids of the runs that meet every condition, the newest first."""
    where = conditions.where()
    sql = f"{every()} SELECT run_id FROM shown {where} ORDER BY started_at DESC, run_id DESC"
    with store.open() as connection:
        values = {**where.values, **alive_of(connection, store)}
        return [row[0] for row in connection.execute(sql, values).fetchall()]


def there(store: Store, asked: Sequence[str]) -> set[str]:
    """Returns those of some texts that are ids of stored runs, archived ones too.

    Raises:
        StoreError: the store cannot be read.
    """
    texts = [text for text in asked if text.isprintable()]
    sql = "SELECT run_id FROM runs WHERE run_id IN (SELECT unnest($asked::VARCHAR[]))"
    with store.open() as connection:
        return {run_id for (run_id,) in connection.execute(sql, {"asked": texts}).fetchall()}


def _select(
    store: Store,
    where: Where,
    order: str = "started_at",
    descending: bool = True,
    window: tuple[int, int] = (LIMIT, 0),
    flat: bool = False,
) -> pd.DataFrame:
    """Returns the rows that ``where`` describes; see `runs`."""
    limit, offset = (max(0, int(number)) for number in window)
    way = "DESC" if descending else "ASC"
    sort = f"ORDER BY {order} {way} NULLS LAST, run_id {way}"
    with store.open() as connection:
        known = columns_of(connection)
        if order not in known:
            raise StoreError(f"Runs cannot be sorted by {order!r}; columns: {', '.join(known)}.")
        if limit <= NARROW and not where.names_rows:  # which rows first: most are passed over
            sql = f"{every()} SELECT run_id FROM shown {where} {sort} LIMIT {limit} OFFSET {offset}"
            values = {**where.values, **alive_of(connection, store)}
            chosen = [row[0] for row in connection.execute(sql, values).fetchall()]
            where, limit, offset = Where(), len(chosen), 0
            where.one_of("run_id", chosen)
        sql = f"{every()} SELECT * FROM shown {where} {sort} LIMIT {limit} OFFSET {offset}"
        values = {**where.values, **alive_of(connection, store)}
        table = connection.execute(sql, values).df()
    table["tags"] = [list(tags) for tags in table["tags"]]
    table = table.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))
    return flattened(table) if flat else table


def flattened(table: pd.DataFrame) -> pd.DataFrame:
    """Adds one column per setting that stands in the configs of a table of runs."""
    first = dict(zip(table["config_group"], table["config"], strict=True))
    of_group = {group: _settings(json.loads(config)) for group, config in first.items()}
    rows = [of_group[group] for group in table["config_group"]]  # a seed changes no setting
    return table.join(pd.DataFrame(rows, index=table.index))


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    groups = {group: config.get(group) or {} for group in SETTINGS}
    return {
        f"{group}.{key}": ", ".join(map(str, value)) if isinstance(value, list) else value
        for group, settings in groups.items()
        for key, value in settings.items()
        if key != "name"
    }


def _json_of(store: Store, run_id: str, column: str) -> dict[str, Any]:
    sql = f"SELECT {column} FROM results WHERE run_id = ?"
    with store.open() as connection:
        row = connection.execute(sql, [run_id]).fetchone()
    return json.loads(row[0]) if row else {}


def alive_of(connection: duckdb.DuckDBPyConnection, store: Store) -> dict[str, list[str]]:
    """Returns the parameters of `every`: who is still there, and what has been revised since."""
    return {"alive": alive(connection, store.path), **revised_since()}


def revised_since() -> dict[str, list[str]]:
    """Returns the parameter that tells superseded runs from those of today."""
    return {"outdated": outdated()}
