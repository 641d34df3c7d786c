"""Exports carry everything, and a spreadsheet runs none of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from experiments_db import export, queries
from experiments_db.store import Outcome, Store, StoreError

FORMULAS = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "=cmd|' /C calc'!A0"]


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": ["plain", "a|b\nc", None],
            "value": [-1.5, np.nan, 0.1234567],
            "count": pd.array([-1, None, 3], dtype="Int64"),
            "tags": [["a", "b"], [], ["=c"]],
            "more": [{"x": 1}, {}, {"y": [1.0, np.nan]}],
            "at": pd.to_datetime(["2026-01-02 03:04:05", None, None]),
        }
    )


def test_formulas_are_quoted_and_numbers_are_not(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": FORMULAS, "number": [-1.0] * 7, "=head": ["a"] * 7})
    place = export.write(table, tmp_path / "t.csv")
    with place.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [f"'{text}" for text in FORMULAS]
    assert {row["number"] for row in rows} == {"-1.0"}
    assert "'=head" in rows[0]


def test_csv(table: pd.DataFrame, tmp_path: Path) -> None:
    back = pd.read_csv(export.write(table, tmp_path / "t.csv"))
    assert list(back.columns) == list(table.columns)
    assert back["name"][1] == "a|b\nc"
    assert json.loads(back["tags"][0]) == ["a", "b"]
    assert json.loads(back["more"][2]) == {"y": [1.0, None]}
    assert np.isnan(back["value"][1])
    assert back["count"][0] == -1


def test_json(table: pd.DataFrame, tmp_path: Path) -> None:
    rows = json.loads(export.write(table, tmp_path / "t.json").read_text())
    assert rows[1] == {
        "name": "a|b\nc", "value": None, "count": None, "tags": [], "more": {}, "at": None,
    }  # fmt: skip
    assert rows[0]["at"] == "2026-01-02T03:04:05"
    assert (rows[0]["count"], rows[2]["name"]) == (-1, None)


def test_parquet(table: pd.DataFrame, tmp_path: Path) -> None:
    place = export.write(table, tmp_path / "t.parquet")
    rows = duckdb.read_parquet(str(place)).fetchall()
    assert rows[0][:4] == ("plain", -1.5, -1, ["a", "b"])
    assert json.loads(rows[2][4]) == {"y": [1.0, None]}


def test_markdown(table: pd.DataFrame, tmp_path: Path) -> None:
    lines = export.write(table[["name", "value"]], tmp_path / "t.md").read_text().splitlines()
    assert lines == [
        "| name | value |",
        "| --- | --- |",
        "| plain | -1.5 |",
        "| a\\|b c |  |",
        "|  | 0.123457 |",
    ]


def test_an_unknown_suffix_and_a_bad_place(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"use \.csv, \.parquet, \.json, \.md"):
        export.write(table, tmp_path / "t.xlsx")
    for suffix in export.WRITERS:
        with pytest.raises(StoreError, match="Cannot write"):
            export.write(table, tmp_path / "missing" / f"t{suffix}")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json", ".md"])
@pytest.mark.parametrize("filled", [True, False])
def test_runs_leave_with_everything(
    store: Store, new_run, tmp_path: Path, suffix: str, filled: bool
) -> None:
    if filled:
        with store.driver() as driver:
            run_id = store.claim(driver, new_run(tags=["=t"])).run_id
            store.finish(run_id, Outcome("finished", {"accuracy": 0.5}))
            store.claim(driver, new_run("other"))
    place = export.write(queries.runs(store, flat=True), tmp_path / f"runs{suffix}")
    columns = queries.columns(store)
    if suffix == ".csv":
        assert set(columns) <= set(pd.read_csv(place).columns)
    elif suffix == ".parquet":
        assert set(columns) <= set(duckdb.read_parquet(str(place)).columns)
    elif suffix == ".json":
        rows = json.loads(place.read_text())
        assert len(rows) == 2 * filled
        assert all(set(columns) <= set(row) for row in rows)
    else:
        assert len(place.read_text().splitlines()) == 2 + 2 * filled
    assert list(tmp_path.glob(".*")) == []
