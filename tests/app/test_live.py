"""A run beside what the store knows: the best of the same configuration, and how long it took."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from experiments_db.run.room import Room
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import open_store
from pages._explore import live
from pages._shared import charts
from tests.batch.stand_in import StandIns
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


def test_a_full_queue_says_where_one_stands_and_takes_no_more(
    page: Callable[..., AppTest], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Supervisor(open_store(), 1, StandIns(60.0, 0), room=Room(in_all=3)) as busy:
        monkeypatch.setattr("pages._shared.ui.get_supervisor", lambda: busy)
        for seed in (1, 2, 3):
            app = page("explore", seed=str(seed))
            app.button(key="train").click().run()
            assert not app.exception
        assert [one.value for one in app.caption if "before it" in one.value] == [
            "1 run waits before it."
        ]
        app = page("explore", seed="4")
        app.button(key="train").click().run()
        assert [one.value[:22] for one in app.toast] == ["3 runs wait or run on "]
        assert len(busy.jobs()) == 3
