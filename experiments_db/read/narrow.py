"""A few columns of many runs, settings from their configs among them, for one condition in SQL.

A hundred thousand configs hold a hundred megabytes; a condition names three or four columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import duckdb
import pyarrow as pa

from ..store import Store
from .filters import Conditions
from .queries import SETTINGS, alive_of, every, kinds

SETTING = re.compile(rf"\b(?:{'|'.join(SETTINGS)})\.[A-Za-z_]\w*")


def mentioned(store: Store, text: str, archived: bool = False) -> pa.Table:
    """Returns all runs, newest first, with their ids and the columns whose names occur in a text.

    Args:
        store: where to look.
        text: a condition in SQL; a name counts wherever it stands, so that none is missed.
        archived: whether to include archived runs.
    """
    where = Conditions(archived=archived).where()
    with store.open() as connection:
        low = text.lower()
        described = kinds(connection).items()
        kept = [(name, kind) for name, kind in described if name in low or name == "run_id"]
        settings = _expressions(connection, sorted(set(SETTING.findall(text))))
        columns = [_plain(name, kind) for name, kind in kept] + [f'"{name}"' for name in settings]
        parts = ", ".join(["config_group", *settings.values()])
        join = f"LEFT JOIN (SELECT {parts} FROM configs) AS configs USING (config_group)"
        join = join if settings else ""
        sql = f"""{every()} SELECT {", ".join(columns)} FROM (SELECT * FROM shown {where}) AS shown
            {join} ORDER BY shown.started_at DESC, shown.run_id DESC"""
        values = {**where.values, **alive_of(connection, store)}
        return connection.execute(sql, values).to_arrow_table()


def _plain(name: str, kind: str) -> str:
    if kind == "JSON":
        return f"shown.{name}::VARCHAR AS {name}"
    if kind == "DOUBLE":  # SQL holds NaN for the largest number: a run without one is not the best
        return f"nullif(shown.{name}, 'NaN'::DOUBLE) AS {name}"
    return f"shown.{name}"


def _expressions(connection: duckdb.DuckDBPyConnection, settings: Sequence[str]) -> dict[str, str]:
    """Returns setting -> its SQL, typed as its values are; what no config has is left out."""
    if not settings:
        return {}
    paths = [f"$.{setting}" for setting in settings]
    found = connection.execute(
        "SELECT DISTINCT json_type(config, $paths::VARCHAR[]) FROM configs",
        {"paths": paths},
    ).fetchall()
    kinds = [{types[0][place] for types in found} for place in range(len(settings))]
    return {
        setting: f'{_typed("config", path, kind)} AS "{setting}"'
        for setting, path, kind in zip(settings, paths, kinds, strict=True)
        if kind != {None}
    }


def _typed(config: str, path: str, kinds: Collection[str | None]) -> str:
    """Returns the SQL of one setting; what is mixed (a rate, or auto) becomes text."""
    present = set(kinds) - {None, "NULL"}
    text = f"({config} ->> '{path}')"
    if present <= {"UBIGINT", "BIGINT"}:
        return f"CAST({text} AS BIGINT)"
    if present <= {"UBIGINT", "BIGINT", "DOUBLE"}:
        return f"CAST({text} AS DOUBLE)"
    if present == {"BOOLEAN"}:
        return f"CAST({text} AS BOOLEAN)"
    if present == {"ARRAY"}:
        listed = f"from_json({config} -> '{path}', '[\"VARCHAR\"]')"
        return f"array_to_string({listed}, ', ')"
    return text
