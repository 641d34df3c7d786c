"""What type the column of a setting has: by its declaration, whatever runs there are.

A setting that is a number or a word (a rate, or auto) has two columns: the number under its name,
and the word under its name with ``.word``; each is empty where the other is not.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import pandas as pd

from ttr_core import ModelConfig, Option, constraints, options_of
from ttr_core.lab import TASKS, TrainConfig

WORD = ".word"

WHOLE, NUMBER, FLAG, TEXT, LIST = "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "LIST"

TYPES = {
    constraints.Whole: WHOLE,
    constraints.Number: NUMBER,
    constraints.Flag: FLAG,
    constraints.Names: LIST,
}
"""Kind of constraint -> type; what is not listed is text."""

JSON_TYPES = {"UBIGINT": WHOLE, "BIGINT": WHOLE, "DOUBLE": NUMBER, "BOOLEAN": FLAG, "ARRAY": LIST}
"""How a value of a setting that this program does not know lies in a config -> type."""


@functools.cache
def declared_types() -> dict[str, frozenset[str]]:
    """Returns setting, with its group -> the types that its values have."""
    found: dict[str, frozenset[str]] = {}
    owners: list[tuple[str, type]] = [("task", cls) for cls in TASKS.values()]
    for group, cls in (*owners, ("model", ModelConfig), ("train", TrainConfig)):
        for option in options_of(cls):
            name = f"{group}.{option.name}"
            found[name] = found.get(name, frozenset()) | _types(option.constraint, option)
    return found


def _types(constraint: constraints.Constraint, option: Option) -> frozenset[str]:
    if isinstance(constraint, constraints.Either):
        return _types(constraint.first, option) | _types(constraint.second, option)
    if isinstance(constraint, constraints.Listed):
        return frozenset(map(_type_of_value, constraint.values))
    return frozenset({TYPES.get(type(constraint), TEXT)})


def _type_of_value(value: object) -> str:
    names = {bool: FLAG, int: WHOLE, float: NUMBER}
    return names.get(type(value), TEXT)


def of_unknown(json_types: Iterable[str | None]) -> frozenset[str]:
    """Returns the types of a setting that is not declared here, by how it lies in configs."""
    present = {kind for kind in json_types if kind not in (None, "NULL")}
    return frozenset(JSON_TYPES.get(str(kind), TEXT) for kind in present)


def main_type(types: frozenset[str]) -> str:
    """Returns the type of the column under the setting's own name: a number where one may stand.

    Example:
        >>> main_type(frozenset({"DOUBLE", "VARCHAR"})), main_type(frozenset({"VARCHAR", "LIST"}))
        ('DOUBLE', 'VARCHAR')
    """
    for kind in (NUMBER, WHOLE):
        if kind in types:
            return kind
    return next(iter(types)) if len(types) == 1 else TEXT


def has_words(types: frozenset[str]) -> bool:
    """Says whether a setting has a second column for its words."""
    return main_type(types) in (NUMBER, WHOLE) and bool(types - {NUMBER, WHOLE})


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table whose columns of declared settings have their type, words apart."""
    columns = {}
    for name in table.columns:
        types = declared_types().get(str(name))
        if types is None:
            columns[name] = table[name]
            continue
        columns[name] = _cast(table[name], main_type(types))
        if has_words(types):
            is_word = table[name].map(lambda value: isinstance(value, str)).astype(bool)
            columns[f"{name}{WORD}"] = table[name].where(is_word, None).astype("string")
    return pd.DataFrame(columns, index=table.index)


def _cast(values: pd.Series, kind: str) -> pd.Series:
    if kind == NUMBER:
        return pd.to_numeric(values, errors="coerce").astype("float64")
    if kind == WHOLE:
        numbers = pd.to_numeric(values, errors="coerce")
        return numbers.where(numbers % 1 == 0).astype("Int64")
    if kind == FLAG:
        return values.where(values.isin([True, False]), None).astype("boolean")
    return values.astype("string")
