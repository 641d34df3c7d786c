"""What fresh layers do, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from experiments_db.cli import app

ASKED = ["vitals", "GLA", "--frame", "paper", "--length", "8"]


def test_vitals(tmp_path: Path) -> None:
    (row,) = json.loads(CliRunner().invoke(app, [*ASKED, "--json"]).stdout)
    assert (row["layer"], row["frame"], row["longest"]) == ("GLA", "paper", 8)
    assert row["input_gradient_8"] > 0 and "parts" in row
    table = tmp_path / "vitals.csv"
    assert CliRunner().invoke(app, [*ASKED, "--output", str(table)]).stdout == ""
    assert table.read_text().startswith('"layer","frame"')


def test_vitals_of_nothing_known_are_refused() -> None:
    for asked, near in ((["delta-nett"], "deltanet"), (["gla", "--frame", "papr"], "paper")):
        said = CliRunner().invoke(app, ["vitals", *asked])
        assert said.exit_code == 2 and near in said.stderr
