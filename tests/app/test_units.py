"""Every number of a metric stands in the metric's own unit, on every page and in the terminal."""

from __future__ import annotations

import pandas as pd
import pytest

from experiments_db.read import measures
from pages._runs import columns
from ttr_core.lab import STATISTICS, metrics

STANDS = [what for what in STATISTICS if what != "n"]


@pytest.mark.parametrize("name", metrics())
def test_a_metric_and_its_spread_are_shown_in_one_unit(name: str) -> None:
    config = columns.config(pd.DataFrame(columns=["frame", "protocol", "device"]))
    shown = [config[column] for column in (name, *(f"{name}_{what}" for what in STANDS))]
    formats = {column["type_config"]["format"] for column in shown}
    assert len(formats) == 1
    metric = metrics()[name]
    assert (formats == {"percent"}) == metric.share
    assert metric.share or formats.pop().endswith(metric.unit)


def test_a_terminal_writes_a_share_and_its_deviation_alike() -> None:
    share = next(one for one in metrics().values() if one.share)
    row = {share.name: 0.9778, f"{share.name}_std": 0.0128, "seconds": 0.0128}
    told = {name: measures.with_unit(name, value) for name, value in row.items()}
    assert list(told.values()) == ["97.78 %", "1.28 %", 0.0128]
