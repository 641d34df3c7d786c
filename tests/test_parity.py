"""The table of docs/tasks.md on parity says what its runs do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
ROW = re.compile(r"\| `(Uniform|ChannelGate)` \(\w+\) \| ([12]) \| (.*) \|")
ROWS = ROW.findall((DOCS / "tasks.md").read_text(encoding="utf-8"))
RUNS = pd.read_parquet(DOCS / "evidence/parity.parquet").sort_values("seed")


@pytest.mark.parametrize(("weights", "most", "cells"), ROWS)
def test_the_table_says_what_the_runs_do(weights: str, most: str, cells: str) -> None:
    spec = f"{weights} | Linear | SGD" + ("(link=twice_sigmoid)" if most == "2" else "")
    tables = [json.loads(text)["generalization"] for text in RUNS[RUNS["spec"] == spec]["tables"]]
    assert len(tables) == 5 and len(cells.split("|")) == 4
    for number, cell in enumerate(cells.split("|")):
        found = [round(table[number]["scaled_accuracy"], 2) for table in tables]
        said = [float(x) for x in re.findall(r"-?\d?\.\d+", cell)]
        if " to " in cell:
            found = [min(found), max(found)]
        elif "in all" in cell:
            said *= len(found)
        assert said == pytest.approx(found, abs=0.0051), cell


def test_all_rows_are_read() -> None:
    assert len(ROWS) == 4
