"""A run beside what the store knows: the best of the same configuration, and how long it took."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from pages._explore import live
from pages._shared import charts
from ttr_core.lab import MQAR

KNOWN = pd.DataFrame(
    {
        "run_id": ["a", "b", "c", "d"],
        "status": ["finished", "finished", "failed", "finished"],
        "accuracy": [0.5, 0.9, 1.0, None],
        "seconds": [10.0, 20.0, 1.0, 30.0],
    }
)


def test_an_estimate_is_that_of_finished_runs() -> None:
    assert live.estimate(KNOWN) == " · about 20 s, as 3 runs before"
    assert live.estimate(KNOWN[KNOWN["status"] == "failed"]) == live.estimate(None) == ""


def test_the_best_finished_run_stands_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_curves", lambda path, run, name, store: live.BestRun(run))
    store: Any = SimpleNamespace(path=Path("nowhere"))
    assert live.best_of(store, KNOWN, MQAR.main()).run == "b"
    assert live.best_of(store, KNOWN[KNOWN["status"] == "failed"], MQAR.main()) == live.BestRun()


def test_groups_are_drawn_in_the_order_of_their_numbers() -> None:
    drawn = charts.by_group({"16-31": 0.5, "2-3": 1.0, "4-7": 0.9}, "gap", MQAR.main()).to_dict()
    assert drawn["encoding"]["x"]["sort"] == ["2-3", "4-7", "16-31"]
