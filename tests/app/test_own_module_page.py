"""Runs and Compare show a user's module under its own name; no page can ask for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from experiments_db.read import listing
from experiments_db.run.outcomes import new_run
from experiments_db.run.request import request
from experiments_db.store import Outcome, open_store
from tests.app.app_text import text_of
from ttr_core.lab import MQAR, Experiment

NAME = "module:Mine@0123456789abcdef"
MAP = [{"query": t, "token": i, "weight": 0.5} for t in range(4) for i in range(t + 1)]
TABLES = {
    "module": [{"linear_in": "values of read(q, k, v)", "exact": True}],
    "nearest": [{"layer": "deltanet", "distance": 0.01}],
    "own_map": MAP,
}

Opener = Callable[..., AppTest]


def kept(home: Path, experiment: Experiment, tables: dict[str, list[dict[str, object]]]) -> str:
    store = open_store(home / "runs.duckdb")
    with store.driver() as driver:
        run_id = store.claim(driver, new_run(experiment, experiment.config(), ())).run_id
        assert run_id is not None
        curve = {"accuracy": [[20, 0.2], [40, 0.9]]}
        metrics = {"accuracy": 0.9, "loss": 0.1}
        ended = Outcome("finished", metrics, curves=curve, tables=tables, metric=MQAR().main())
        store.finish(run_id, ended)
    return run_id


def plain(app: AppTest) -> str:
    """Returns what a page says, its names as they are read."""
    return text_of(app).replace("\\:", ":").replace("\\.", ".").replace("\\(", "(")


def test_it_is_shown_under_its_own_name(page: Opener, home: Path) -> None:
    own = kept(home, request(module=NAME), TABLES)
    other = kept(home, request(layer="deltanet"), {})
    app = page("runs", run=own)
    assert not app.exception and not app.error
    text = plain(app)
    assert NAME in text and "deltanet 0.01" in text and "where its file is" in text
    app = page("runs", **{"runs.view": "configurations"})
    assert not app.exception
    app = page("compare", **{"compare.run": [own, other]})
    assert not app.exception and not app.error
    assert any(NAME in table.value.to_csv() for table in app.dataframe)
    for name in ("analyze", "map"):
        assert not page(name).exception


def test_no_address_asks_for_one(page: Opener, home: Path) -> None:
    app = page("explore", spec=NAME, layer=NAME, train="1")
    assert not app.exception
    assert listing.runs(open_store(home / "runs.duckdb")).empty
