"""What a page saves of the numbers behind a picture."""

from __future__ import annotations

import io

import pandas as pd

from pages._shared import saved


def test_a_saved_table_is_that_of_an_export() -> None:
    table = pd.DataFrame({"side": ["=1+1", "b"], "accuracy": [0.5, 0.25]})
    text = saved._written(table, "csv").decode()
    assert text.splitlines() == ['"side","accuracy"', '"\'=1+1",0.5', '"b",0.25']
    assert pd.read_parquet(io.BytesIO(saved._written(table, "parquet"))).equals(table)
    assert "<td>=1+1</td>" in saved._written(table, "html").decode()
