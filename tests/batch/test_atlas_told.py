"""What docs/atlas.md says of the table that ships is what the table has."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from ttr_core.lab import PROBES

ROOT = Path(__file__).parents[2]


def test_docs_tell_the_atlas_that_ships() -> None:
    text = (ROOT / "docs/atlas.md").read_text()
    table = pd.read_parquet(ROOT / "experiments_db/atlas/atlas.parquet")
    spent = {name: float(table[f"{name}_seconds"].sum()) for name in PROBES}
    told = {name: int(took) for name, took in re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.M)}
    assert told == {name: round(seconds) for name, seconds in spent.items()}
    asked = len(table) * len(PROBES)
    assert f"{asked:,} runs, {sum(spent.values()):,.0f} processor seconds" in text
    layers = sum(len([one, *filter(None, one.split("; "))]) for one in table["same_as"])
    assert f"{layers} layers are {len(table)} functions" in text
    ended = sum(int(table[name].str.startswith("It was ended").sum()) for name in PROBES)
    assert ended == 7 and "Seven runs were ended" in text
