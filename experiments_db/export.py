"""Tables of runs as files: CSV, Parquet, JSON, Markdown."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from .errors import StoreError
from .files import quoted, temporary

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a text that begins like this."""


def write(df: pd.DataFrame, path: Path | str) -> Path:
    """Writes a table in the format that the file's suffix names, and returns the path.

    Raises:
        StoreError: the suffix is unknown or the file cannot be written.
    """
    place = Path(path).expanduser().resolve()
    writer = WRITERS.get(place.suffix.lower())
    if writer is None:
        raise StoreError(f"Cannot write {place.name!r}: use {', '.join(WRITERS)}.")
    fresh = temporary(place)
    try:
        writer(df, fresh)
        os.replace(fresh, place)
    except (OSError, duckdb.IOException) as error:
        raise StoreError(f"Cannot write {place}: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return place


def to_csv(df: pd.DataFrame) -> str:
    """Returns a table as CSV in which no text can be taken for a formula."""
    table = df.map(_csv_cell)
    table.columns = [_harmless(str(name)) for name in df.columns]
    return table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def to_json(df: pd.DataFrame) -> str:
    """Returns a table as a JSON list of rows."""
    rows = [{str(k): plain(v) for k, v in row.items()} for row in df.to_dict("records")]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def to_markdown(df: pd.DataFrame) -> str:
    """Returns a table as a Markdown table."""
    head = [str(name) for name in df.columns]
    rows = [[_markdown_cell(cell) for cell in row] for row in df.itertuples(index=False)]
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def plain(value: Any) -> Any:
    """Returns a cell as JSON knows it: texts, finite numbers, lists, dictionaries, null."""
    if isinstance(value, (np.ndarray, list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bool, int, str)):
        return value
    return value.isoformat() if isinstance(value, pd.Timestamp) else str(value)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str):
        return _harmless(value)
    return json.dumps(plain(value)) if _nested(value) else value


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _markdown_cell(value: Any) -> str:
    cell = plain(value)
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.6g}"
    text = cell if isinstance(cell, str) else json.dumps(cell)
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _nested(value: Any) -> bool:
    return isinstance(value, (np.ndarray, list, tuple, Mapping))


def _write_parquet(df: pd.DataFrame, path: Path) -> None:
    """Writes Parquet by DuckDB; dictionaries become JSON text, lists stay lists."""
    table = df.map(lambda v: json.dumps(plain(v)) if isinstance(v, Mapping) else v)
    with duckdb.connect(":memory:") as connection:
        connection.register("rows", table)
        connection.execute(f"COPY rows TO {quoted(path)} (FORMAT parquet)")


def _as_text(form: Callable[[pd.DataFrame], str]) -> Callable[[pd.DataFrame, Path], None]:
    def writer(df: pd.DataFrame, path: Path) -> None:
        path.write_text(form(df), encoding="utf-8")

    return writer


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": _as_text(to_csv),
    ".parquet": _write_parquet,
    ".json": _as_text(to_json),
    ".md": _as_text(to_markdown),
}
