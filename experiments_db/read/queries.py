"""Every question that is put to a store: one function, one SELECT, one table.

A status shown here is the effective one: a run that nobody drives anymore is ``interrupted``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from ..errors import StoreError
from ..store import Store
from ..store.driver import folder_of, held_in
from ..store.swap import log_of
from . import relation
from .filters import Conditions, Wanted, Where
from .relation import columns_of, put_to

LIMIT = 1000
NARROW = 5000
"""Up to so many rows are chosen first and read whole second."""

WHOLE_NUMBERS = ("seed", "steps", "steps_planned", "best_step", "parameters", "state_size")
JSON_COLUMNS = ("config", "environment", "versions", "metrics", "accuracy_by", "lrs_tried")
SETTINGS = ("task", "model", "train")

AMONG = "SELECT unnest($few::VARCHAR[])"
EVERY = Conditions()


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


def listed(
    store: Store,
    conditions: Conditions,
    names: Sequence[str],
    order: str = "started_at",
    descending: bool = True,
    limit: int = LIMIT,
) -> pd.DataFrame:
    """Returns as `runs` does the rows of a list: some columns, and one per setting.

    Args:
        store: where to look.
        conditions: what the runs must meet.
        names: the columns, without which a run is a hundred times longer.
        order: the column to sort by.
        descending: the largest first.
        limit: most rows to return.

    Raises:
        StoreError: the store cannot be read, or ``order`` is no column.
    """
    some = tuple(dict.fromkeys((*names, "config_group")))
    return _select(store, conditions.where(), order, descending, (limit, 0), True, some)


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
    rows = f"SELECT rowid FROM curves {where}"
    where.among("name", names)
    sql = f"""
        WITH every AS (
            SELECT run_id, name, steps, "values" FROM curves WHERE rowid IN ({rows})
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
    sql = f"SELECT status, count(*) AS runs FROM shown {where} GROUP BY status ORDER BY status"
    with store.open() as connection:
        return put_to(connection, store, sql, where.values, where.few).df()


def columns(store: Store) -> list[str]:
    """Returns the names of the columns of `runs`."""
    with store.open() as connection:
        return list(columns_of(connection))


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
    sql = f"SELECT run_id FROM shown {where} ORDER BY started_at DESC, run_id DESC"
    with store.open() as connection:
        rows = put_to(connection, store, sql, where.values, where.few).fetchall()
    return [run_id for (run_id,) in rows]


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
    names: Sequence[str] = (),
) -> pd.DataFrame:
    """Returns the rows that ``where`` describes; see `runs`, and `listed` for ``names``."""
    limit, offset = (max(0, int(number)) for number in window)
    way = "DESC" if descending else "ASC"
    sort = f"ORDER BY {order} {way} NULLS LAST, run_id {way}"
    known = list(relation.columns_in_sql())
    if order not in known:
        raise StoreError(f"Runs cannot be sorted by {order!r}; columns: {', '.join(known)}.")
    among, values = where.few, where.values
    with store.open() as connection:
        if limit <= NARROW:  # which rows first: of most only a few columns are read
            sql = f"SELECT run_id FROM shown {where} {sort} LIMIT {limit} OFFSET {offset}"
            rows = put_to(connection, store, sql, values, among).fetchall()
            where, limit, offset = Where(), len(rows), 0
            among, values = AMONG, {"few": [run_id for (run_id,) in rows]}
        some = ", ".join(names) or "*"
        sql = f"SELECT {some} FROM shown {where} {sort} LIMIT {limit} OFFSET {offset}"
        table = put_to(connection, store, sql, values, among, whole=not names).df()
        if names:
            table["config"] = table["config_group"].map(_configs(connection, table["config_group"]))
    if "tags" in table:
        table["tags"] = [list(tags) for tags in table["tags"]]
    table = table.astype({name: "Int64" for name in WHOLE_NUMBERS if name in table})
    return flattened(table) if flat else table


def _configs(connection: duckdb.DuckDBPyConnection, groups: Iterable[str]) -> dict[str, str]:
    """Returns the configs without seeds, of which there are far fewer than runs."""
    sql = "SELECT config_group, config FROM configs WHERE config_group IN (SELECT unnest($groups))"
    return dict(connection.execute(sql, {"groups": list(set(groups))}).fetchall())


def flattened(table: pd.DataFrame) -> pd.DataFrame:
    """Adds one column per setting that stands in the configs of a table of runs."""
    first = dict(zip(table["config_group"], table["config"], strict=True))
    of_group = {group: _settings(json.loads(config)) for group, config in first.items()}
    rows = [of_group[group] for group in table["config_group"]]  # a seed changes no setting
    return table.join(pd.DataFrame(rows, index=table.index))


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    groups = {group: config.get(group) or {} for group in SETTINGS}
    return {
        f"{group}.{key}": _flat_value(value)
        for group, settings in groups.items()
        for key, value in settings.items()
        if key != "name"
    }


def _flat_value(value: Any) -> Any:
    """Returns a setting as it stands in a table, which holds texts and numbers."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict) else value


def _json_of(store: Store, run_id: str, column: str) -> dict[str, Any]:
    sql = f"SELECT {column} FROM results WHERE run_id = ?"
    with store.open() as connection:
        row = connection.execute(sql, [run_id]).fetchone()
    return json.loads(row[0]) if row else {}
