"""A few columns of many runs, settings from their configs among them, for one condition in SQL.

A hundred thousand configs hold a hundred megabytes; a condition names three or four columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from ..store import Store
from . import kinds
from .filters import Conditions
from .queries import SETTINGS
from .relation import NUMBERS, columns_of, put_to

SETTING = re.compile(rf"\b(?:{'|'.join(SETTINGS)})\.[A-Za-z_]\w*")

ASKED = re.compile(r'\b(isnan|isinf|isfinite)\s*\(\s*("?)(\w+)\2\s*\)', re.IGNORECASE)
"""A question about a number that the column itself does not hold, since it is not finite."""

TEXT = re.compile(r"('(?:[^']|'')*')")


@dataclass(frozen=True)
class Question:
    """A condition as it is run: over which columns, in which words.

    Args:
        condition: the condition, with questions about numbers that are not finite replaced.
        asked: column that answers one of these -> its SQL over the rows of the store.
    """

    condition: str
    asked: dict[str, str]


def question(condition: str) -> Question:
    """Returns what a condition asks; texts in quotes stay as they are.

    Example:
        >>> question("isnan(loss) OR note = 'isnan(loss)'").asked
        {'isnan of loss': 'isnan(loss)'}
    """
    asked: dict[str, str] = {}

    def replaced(found: re.Match[str]) -> str:
        function, column = found[1].lower(), found[3].lower()
        if column not in NUMBERS:
            return found[0]
        name = f"{function} of {column}"
        asked[name] = f"{function}({column})"
        return f'"{name}"'

    parts = [
        part if part.startswith("'") else ASKED.sub(replaced, part)
        for part in TEXT.split(condition)
    ]
    return Question("".join(parts), asked)


def mentioned(store: Store, text: str | None, archived: bool = False) -> pa.Table:
    """Returns all runs, newest first, with their ids and the columns whose names occur in a text.

    Args:
        store: where to look.
        text: a condition in SQL; a name counts wherever it stands, so that none is missed. None
            stands for every column.
        archived: whether to include archived runs.
    """
    where = Conditions(archived=archived).where()
    with store.open() as connection:
        kept = list(_kept(connection, text))
        settings = _settings(connection, text)
        asked = question(text or "").asked
        columns = [*(_plain(name, kind) for name, kind in kept), *settings, *asked]
        named = [column if " AS " in column else f'"{column}"' for column in columns]
        parts = ", ".join(["config_group", *(f'{sql} AS "{n}"' for n, sql in settings.items())])
        odd = ", ".join(["run_id", *(f'{sql} AS "{name}"' for name, sql in asked.items())])
        joins = [
            f"LEFT JOIN (SELECT {parts} FROM configs) AS configs USING (config_group)"
            if settings
            else "",
            f"LEFT JOIN (SELECT {odd} FROM run_rows) AS odd USING (run_id)" if asked else "",
        ]
        sql = f"""SELECT {", ".join(named)} FROM (SELECT * FROM shown {where}) AS shown
            {" ".join(joins)} ORDER BY shown.started_at DESC, shown.run_id DESC"""
        return put_to(connection, store, sql, where.values).to_arrow_table()


def known(store: Store) -> list[str]:
    """Returns every column that a condition may name."""
    with store.open() as connection:
        return [*columns_of(connection), *_settings(connection, None)]


def _kept(connection: duckdb.DuckDBPyConnection, text: str | None) -> Iterator[tuple[str, str]]:
    for name, kind in columns_of(connection).items():
        if text is None or name == "run_id" or name in text.lower():
            yield name, kind


def _plain(name: str, kind: str) -> str:
    return f"shown.{name}{'::VARCHAR' if kind == 'JSON' else ''} AS {name}"


def _settings(connection: duckdb.DuckDBPyConnection, text: str | None) -> dict[str, str]:
    """Returns column of a setting -> its SQL: of those in a text, or of all that there are."""
    here = set(kinds.declared_types()) if text is None else set(SETTING.findall(text))
    if text is None:
        here |= _present(connection)
    unknown = sorted(here - set(kinds.declared_types()))
    types = {**kinds.declared_types(), **_found(connection, unknown)}
    columns = {}
    for setting in sorted(here & set(types)):
        path = f"$.{setting}"
        columns[setting] = _typed(path, kinds.main_type(types[setting]))
        if kinds.has_words(types[setting]):
            columns[f"{setting}{kinds.WORD}"] = _word(path)
    return columns


def _present(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Returns the settings that stand in any config."""
    found = connection.execute(
        "SELECT DISTINCT part, unnest(json_keys(config, '$.' || part)) "
        "FROM configs, (SELECT unnest($groups::VARCHAR[]) AS part)",
        {"groups": list(SETTINGS)},
    ).fetchall()
    names = {f"{group}.{key}" for group, key in found if key != "name"}
    return {name for name in names if SETTING.fullmatch(name)}


def _found(
    connection: duckdb.DuckDBPyConnection, settings: Sequence[str]
) -> dict[str, frozenset[str]]:
    """Returns the types of settings that only the configs know; what no config has is left out."""
    if not settings:
        return {}
    rows = connection.execute(
        "SELECT DISTINCT json_type(config, $paths::VARCHAR[]) FROM configs",
        {"paths": [f"$.{setting}" for setting in settings]},
    ).fetchall()
    present = {name: {types[0][place] for types in rows} for place, name in enumerate(settings)}
    return {name: kinds.of_unknown(t) for name, t in present.items() if t - {None}}


def _typed(path: str, kind: str) -> str:
    """Returns the SQL of one setting, empty where a config holds something else."""
    if kind == kinds.LIST:
        listed = f"from_json(config -> '{path}', '[\"VARCHAR\"]')"
        return (
            f"CASE json_type(config, '{path}') WHEN 'ARRAY' THEN array_to_string({listed}, ', ') "
            f"ELSE config ->> '{path}' END"
        )
    if kind == kinds.TEXT:
        return f"(config ->> '{path}')"
    return f"TRY_CAST((config ->> '{path}') AS {kind})"


def _word(path: str) -> str:
    return f"CASE json_type(config, '{path}') WHEN 'VARCHAR' THEN (config ->> '{path}') END"
