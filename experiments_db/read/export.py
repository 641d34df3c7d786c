"""Tables of runs as files: CSV, Parquet, JSON, Markdown, LaTeX, HTML."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from ..errors import StoreError
from ..store import Store
from ..store.files import absolute, temporary
from . import html_page, kinds, queries
from .filters import Conditions

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a text that begins like this."""

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", **{sign: f"\\{sign}" for sign in "&%$#_"},
}  # fmt: skip
"""What LaTeX would take for a command, or show as another sign in its old encoding."""

NOT_FOR_PAPER = (
    "config", "environment", "versions", "metrics", "accuracy_by", "lrs_tried", "run_ids",
    "config_hash", "config_group", "series", "driver", "host", "pid",
)  # fmt: skip
"""Columns that LaTeX and HTML leave out: documents and names for machines."""


def write(df: pd.DataFrame, path: Path | str) -> Path:
    """Writes a table in the format that the file's suffix names, and returns the path.

    Raises:
        StoreError: the suffix is unknown or the file cannot be written.
    """
    writer = WRITERS.get(Path(path).suffix.lower())
    if writer is None:
        raise StoreError(f"Cannot write {Path(path).name!r}: use {', '.join(WRITERS)}.")
    return _written(writer, df, path)


def _written(
    writer: Callable[[pd.DataFrame, Path], None], df: pd.DataFrame, path: Path | str
) -> Path:
    place = absolute(path)
    fresh = temporary(place)
    try:
        writer(df, fresh)
        os.replace(fresh, place)
    except OSError as error:
        raise StoreError(f"Cannot write {place}: {error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return place


def write_runs(store: Store, path: Path | str, table: pd.DataFrame | None = None) -> Path:
    """Writes runs whole, with their curves and tables, as the Parquet file that `import` takes in.

    Args:
        store: where they are.
        path: the file.
        table: the runs, as `queries.runs` returns them; by default all, settings included.

    Raises:
        StoreError: the suffix is not that of Parquet, or the file cannot be written.
    """
    if Path(path).suffix.lower() != ".parquet":
        raise StoreError(f"Cannot write whole runs to {Path(path).name!r}: use .parquet.")
    if table is None:
        every = Conditions(archived=True)
        table = queries.runs(store, every, flat=True, limit=sys.maxsize)
    more = queries.whole(store, table["run_id"].tolist())

    def writer(df: pd.DataFrame, fresh: Path) -> None:
        whole = _as_arrow(df)
        for name in more.column_names:
            whole = whole.append_column(name, more.column(name))
        parquet.write_table(whole, fresh, compression="zstd")

    return _written(writer, table, path)


def to_csv(df: pd.DataFrame) -> str:
    """Returns a table as CSV in which no text can be taken for a formula."""
    table = zoned(df).map(_csv_cell)
    table.columns = [_harmless(str(name)) for name in df.columns]
    text: str = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text


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


def to_latex(df: pd.DataFrame) -> str:
    r"""Returns a table as a LaTeX ``tabular``, which needs no package.

    Columns without any value are left out, and those of :data:`NOT_FOR_PAPER`. Numbers stand to
    the right; texts are escaped.

    Example:
        >>> print(to_latex(pd.DataFrame({"spec": ["Gate * Decay_1"], "n": [3], "error": [None]})))
        \begin{tabular}{lr}
        \hline
        spec & n \\
        \hline
        Gate * Decay\_1 & 3 \\
        \hline
        \end{tabular}
        <BLANKLINE>
    """
    shown = _for_people(df)
    align = "".join("r" if number else "l" for number in _numeric(shown))
    lines = [[str(name) for name in shown.columns], *shown.itertuples(index=False)]
    head, *rows = (" & ".join(map(_latex_cell, line)) + r" \\" for line in lines)
    parts = [rf"\begin{{tabular}}{{{align}}}", r"\hline", head, r"\hline", *rows]
    return "\n".join([*parts, *([r"\hline"] if rows else []), r"\end{tabular}", ""])


def to_html(df: pd.DataFrame) -> str:
    """Returns a table as one HTML file, which is sorted and searched in any browser, offline.

    It leaves out the columns that LaTeX does.
    """
    shown = _for_people(df)
    columns = [*zip(map(str, shown.columns), _numeric(shown), strict=True)]
    rows = ([_on_one_line(cell) for cell in row] for row in shown.itertuples(index=False))
    return html_page.page("Test-time regression: runs", columns, rows)


def _for_people(df: pd.DataFrame) -> pd.DataFrame:
    """Returns a table without columns that say nothing, or nothing to people."""
    kept = [n for n in df.columns if n not in NOT_FOR_PAPER and (df.empty or df[n].notna().any())]
    return df[kept]


def _numeric(df: pd.DataFrame) -> list[bool]:
    return [bool(pd.api.types.is_numeric_dtype(kind)) for kind in df.dtypes]


def zoned(df: pd.DataFrame) -> pd.DataFrame:
    """Returns a table whose times carry their zone; without one they are UTC."""
    bare = [name for name in df if pd.api.types.is_datetime64_dtype(df[name])]
    return df.assign(**{name: df[name].dt.tz_localize("UTC") for name in bare})


def plain(value: Any) -> Any:
    """Returns a cell as JSON knows it: texts, finite numbers, lists, dictionaries, null.

    A time carries its zone; without one it is UTC.

    Example:
        >>> plain(pd.Timestamp("2026-01-02 03:04:05"))
        '2026-01-02T03:04:05+00:00'
    """
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
    if not isinstance(value, pd.Timestamp):
        return str(value)
    return (value if value.tzinfo else value.tz_localize("UTC")).isoformat()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str):
        return _harmless(value)
    return json.dumps(plain(value)) if _nested(value) else value


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _markdown_cell(value: Any) -> str:
    return _on_one_line(value).replace("\\", "\\\\").replace("|", "\\|")


def _latex_cell(value: Any) -> str:
    return "".join(LATEX.get(letter, letter) for letter in _on_one_line(value))


def _on_one_line(value: Any) -> str:
    cell = plain(value)
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.6g}"
    text = cell if isinstance(cell, str) else json.dumps(cell)
    return " ".join(text.split())


def _nested(value: Any) -> bool:
    return isinstance(value, (np.ndarray, list, tuple, Mapping))


def one_type_each(df: pd.DataFrame) -> pd.DataFrame:
    """Returns a table with one type per column; what is mixed (a rate, or auto) becomes text."""
    table = df.copy()
    for name in [name for name in df if pd.api.types.is_object_dtype(df[name])]:
        present = table[name].dropna()
        kinds = {type(value) for value in present}
        if kinds and kinds <= {int, float}:
            table[name] = pd.to_numeric(table[name])
        elif len(kinds) > 1 and not any(map(_nested, present)):
            table[name] = present.map(str)
    return table


def _write_parquet(df: pd.DataFrame, path: Path) -> None:
    parquet.write_table(_as_arrow(df), path)


def _as_arrow(df: pd.DataFrame) -> pa.Table:
    """Returns a table for Parquet; dictionaries become JSON text, lists stay lists."""
    table = df.map(lambda v: json.dumps(plain(v)) if isinstance(v, Mapping) else v)
    return pa.Table.from_pandas(one_type_each(kinds.typed(zoned(table))), preserve_index=False)


def _as_text(form: Callable[[pd.DataFrame], str]) -> Callable[[pd.DataFrame, Path], None]:
    def writer(df: pd.DataFrame, path: Path) -> None:
        path.write_text(form(df), encoding="utf-8")

    return writer


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": _as_text(to_csv),
    ".parquet": _write_parquet,
    ".json": _as_text(to_json),
    ".md": _as_text(to_markdown),
    ".tex": _as_text(to_latex),
    ".html": _as_text(to_html),
}
