"""Exports carry everything, and a spreadsheet runs none of it."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from experiments_db.read import export, listing, queries
from experiments_db.read.filters import Conditions
from experiments_db.store import Outcome, Store, StoreError, open_store
from tests.store.conftest import run_like

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
    assert rows[0]["at"] == "2026-01-02T03:04:05+00:00"
    assert (rows[0]["count"], rows[2]["name"]) == (-1, None)


def test_parquet(table: pd.DataFrame, tmp_path: Path) -> None:
    place = export.write(table, tmp_path / "t.parquet")
    rows = duckdb.read_parquet(str(place)).project('* EXCLUDE ("at")').fetchall()
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


def test_latex(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "spec": ["Gate * Decay_1 | SGD(eta=0.5)", r"50 % & $x^2$ #{~} \input{/etc/passwd} <a>"],
            "accuracy_mean": [0.1234567, np.nan],
            "tags": [["a_b"], []],
            "n": pd.array([3, None], dtype="Int64"),
            "empty": [None, None],
            "config": ["{}", "{}"],
        }
    )
    lines = export.write(table, tmp_path / "t.tex").read_text().splitlines()
    assert lines == [
        r"\begin{tabular}{lrlr}",
        r"\hline",
        r"spec & accuracy\_mean & tags & n \\",
        r"\hline",
        r'Gate * Decay\_1 \textbar{} SGD(eta=0.5) & 0.123457 & ["a\_b"] & 3 \\',
        r"50 \% \& \$x\textasciicircum{}2\$ \#\{\textasciitilde{}\} "
        r"\textbackslash{}input\{/etc/passwd\} \textless{}a\textgreater{} &  & [] &  \\",
        r"\hline",
        r"\end{tabular}",
    ]


def test_an_unknown_suffix_and_a_bad_place(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"use \.csv, \.parquet, \.json, \.md, \.tex, \.html"):
        export.write(table, tmp_path / "t.xlsx")
    for suffix in export.WRITERS:
        with pytest.raises(StoreError, match="Cannot write"):
            export.write(table, tmp_path / "missing" / f"t{suffix}")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Runs of every kind, with settings that differ in type."""
    store = open_store(tmp_path_factory.mktemp("exports") / "runs.duckdb")
    with store.driver() as driver:
        for seed, rate in enumerate([0.001, "auto", 0.001, 0.001]):
            config = {
                "task": {"name": "mqar", "pairs": 8 + seed},
                "model": {"layers": ["gla", "mesa-layer"], "kv_heads": None},
                "train": {"lr": rate},
                "seed": seed,
            }
            run_id = str(store.claim(driver, run_like(f"h{seed}", config=config, seed=seed)).run_id)
            curves = {"accuracy": [[20, 0.25], [40, 0.75], [60, 0.5]]}
            if seed < 2:
                store.finish(run_id, Outcome("finished", {"accuracy": 0.5}, curves=curves))
            elif seed == 2:
                store.finish(run_id, Outcome("diverged", {"loss": np.nan}, error="=1+1"))
        ids = queries.ids(store)
        store.tag(ids[:2], ["=t", "plain"])
        store.set_note(ids[1:3], "=HYPERLINK(1) | a\nb")
        store.star(ids[:1])
        store.archive(ids[3:])
    return store


EVERYTHING = """
    run_id status layer spec frame task seed device protocol accuracy error loss last best
    best_step steps seconds seconds_to_target parameters state_size lr lrs_tried metrics
    accuracy_by message started_at finished_at tags note starred archived host pid driver
    versions environment config config_hash task.pairs model.layers model.kv_heads train.lr
"""


def test_parquet_read_back_gives_the_same_rows(filled: Store, tmp_path: Path) -> None:
    table = queries.runs(filled, Conditions(archived=True), flat=True)
    assert set(EVERYTHING.split()) <= set(table.columns)
    place = export.write(table, tmp_path / "runs.parquet")
    back = pd.read_parquet(place)
    assert set(back.columns) == {*table.columns, "train.lr.word"}
    assert len(back) == len(table) == 4
    for name in set(table.columns) - {"train.lr"}:
        assert [cells(v) for v in back[name]] == [cells(v) for v in table[name]], name
    with duckdb.connect() as connection:  # and with another reader
        other = connection.execute(
            f"SELECT * EXCLUDE (started_at, finished_at, beat_at) FROM '{place}'"
        ).df()
    assert list(other["run_id"]) == list(table["run_id"])
    assert [export.plain(rate) for rate in other["train.lr"]] == [0.001, 0.001, None, 0.001]
    assert [export.plain(word) for word in other["train.lr.word"]] == [None, None, "auto", None]


def test_times_carry_their_zone_in_every_format(filled: Store, tmp_path: Path) -> None:
    table = queries.runs(filled, limit=1)
    at = table["started_at"][0].tz_localize("UTC")
    for suffix in (".csv", ".json", ".md", ".tex"):
        text = export.write(table, tmp_path / f"t{suffix}").read_text()
        assert re.search(rf"{at:%Y-%m-%d}.{at:%H:%M:%S}\S*\+00:00", text), suffix
    back = pd.read_parquet(export.write(table, tmp_path / "t.parquet"))
    assert (back["started_at"][0], str(back["started_at"].dt.tz)) == (at, "UTC")


def cells(value: object) -> object:
    """Returns a cell in a form that can be compared: a missing one equals a missing one."""
    found = export.plain(value)
    return str(found) if isinstance(found, float) else found


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_text_read_back_gives_the_same_rows(filled: Store, tmp_path: Path, suffix: str) -> None:
    table = queries.runs(filled, Conditions(archived=True), flat=True)
    place = export.write(table, tmp_path / f"runs{suffix}")
    if suffix == ".json":
        rows = json.loads(place.read_text())
        assert rows == [
            {k: export.plain(v) for k, v in row.items()} for row in table.to_dict("records")
        ]
        return
    with place.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row, expected in zip(rows, table.to_dict("records"), strict=True):
        assert row["run_id"] == expected["run_id"]
        assert json.loads(row["tags"]) == expected["tags"]
        assert row["note"].removeprefix("'") == expected["note"]
        assert json.loads(row["config"]) == json.loads(expected["config"])
        assert not any(str(cell).startswith(("=", "+", "@")) for cell in row.values())


@pytest.mark.parametrize("suffix", export.WRITERS)
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("condition", [None, "false"])
def test_every_format_takes_runs_and_groups(
    filled: Store, tmp_path: Path, suffix: str, grouped: bool, condition: str | None
) -> None:
    ask = listing.groups if grouped else listing.runs
    table = ask(filled, condition, flat=True)
    place = export.write(table, tmp_path / f"table{suffix}")
    assert place.stat().st_size > 0
    if suffix == ".tex" and condition is None:
        assert r"Decay x Linear x Hebbian" in place.read_text()
        assert place.read_text().count("&") % (len(table) + 1) == 0
    assert list(tmp_path.glob(".*")) == []


class Read(HTMLParser):
    """What a browser makes of a file: the cells of its rows, and every tag in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in ("td", "button"):
            self.rows[-1][-1] += data


def test_html_shows_texts_as_they_are_and_asks_nobody() -> None:
    hostile = "</td><script>alert(1)</script>&amp; {x}"
    table = pd.DataFrame(
        {"note": [hostile, "b"], "accuracy": [0.123456789, None], "config": ["{}", "{}"]}
    )
    text = export.to_html(table.assign(empty=None))
    read = Read(text)
    assert read.rows == [["note", "accuracy"], [hostile, "0.123457"], ["b", ""]]
    assert read.tags.count("script") == 1 and "2 rows" in text
    assert "default-src 'none'" in text and "http://" not in text and "https://" not in text
