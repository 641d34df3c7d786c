"""Vital signs as a section of docs/catalog.md: numbers of known layers, and no other text."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import ttr_core as ttr
from ttr_core.tools import vital_table

FIRST, SECOND, *_ = ttr.catalog
ROW = {
    "layer": FIRST, "frame": "paper", "scale": "0.98765", "match": "1", "half_life_low": "16",
    "half_life_high": "255.9", "step_low": "0.5", "step_high": "0.5", "parts": "", "longest": "64",
    "input_gradient_64": "1.5", "parameter_gradient_64": "inf", "input_gradient_8": "",
    "parameter_gradient_8": "nan",
}  # fmt: skip


def table(folder: Path, *rows: dict[str, str]) -> list[list[str]]:
    file = folder / vital_table.FILE
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, ROW)
        writer.writeheader()
        writer.writerows({**ROW, **row} for row in rows)
    text = "\n\n".join(vital_table.vital_section(file))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_every_cell_shows_as_its_column_says(tmp_path: Path) -> None:
    (row,) = table(tmp_path, {})
    assert row == [
        f"[{FIRST}](#{FIRST})", "paper", "0.988", "1", "16 to 256", "0.5", "–",
        "1.5, infinite", "–",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["=1+1", "[x](y)", "a | b\n\n# c", "<b>", f"{FIRST}2"])
@pytest.mark.parametrize("column", ROW)
def test_no_text_of_the_file_reaches_the_page(tmp_path: Path, column: str, text: str) -> None:
    rows = table(tmp_path, {"frame": "standard"}, {column: text})
    assert all(text not in cell for row in rows for cell in row) and all(len(r) == 9 for r in rows)
    assert len(rows) == (1 if column in ("layer", "frame") else 2)


def test_rows_stand_in_the_order_of_the_catalog_and_each_once(tmp_path: Path) -> None:
    rows = table(tmp_path, {"layer": SECOND}, {"frame": "published"}, {}, {"scale": "7"})
    assert [(row[0], row[1]) for row in rows] == [
        (f"[{FIRST}](#{FIRST})", "paper"),
        (f"[{FIRST}](#{FIRST})", "published"),
        (f"[{SECOND}](#{SECOND})", "paper"),
    ]
    assert rows[0][2] == "0.988"


def test_without_a_file_it_says_how_to_make_it(tmp_path: Path) -> None:
    assert vital_table.COMMANDS in list(vital_table.vital_section(tmp_path / "none.csv"))
