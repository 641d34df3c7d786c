"""The Map: every cell there, results where runs ended, a plan from what is collected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from experiments_db.cells import task_settings
from experiments_db.records import NewRun, Outcome
from experiments_db.store import open_store
from pages import _map_cells, _map_plan
from tests.app.app_text import text_of
from ttr_core.grid import place
from ttr_core.spec import triples

Opener = Callable[..., AppTest]


def put(spec: str, accuracy: float, seed: int = 0, pairs: int = 8, archived: bool = False) -> None:
    store = open_store()
    task = {"name": "mqar", "pairs": pairs, "seq_len": 64}
    config = {"task": task, "model": {}, "train": {}, "seed": seed, "spec": spec}
    new = NewRun(
        config=config,
        config_hash=str(config),
        layer=None,
        spec=spec,
        frame="standard",
        task="mqar",
        seed=seed,
        device="cpu",
        protocol="quick",
    )
    with store.driver() as driver:
        run = store.claim(driver, new).run_id
        store.finish(run, Outcome(status="finished", metrics={"accuracy": accuracy}))
    if archived:
        store.archive([run])


def test_the_map_of_an_empty_store_shows_verdicts(page: Opener) -> None:
    app = page("map")
    assert not app.exception and app.header[0].value == "Map"
    assert "No run has ended yet" in text_of(app)
    charts = app.get("arrow_vega_lite_chart") or app.get("vega_lite_chart")
    assert len(charts) == len({where[2] for where in _map_cells._cells()})


@pytest.mark.parametrize("facet", ["weights", "function", "optimizer"])
def test_any_axis_may_be_the_facet(page: Opener, facet: str) -> None:
    app = page("map", **{"map.facet": facet, "map.hide": "true"})
    assert not app.exception and app.subheader


def test_a_cell_shows_the_best_of_its_numbers_and_counts_all(page: Opener) -> None:
    for seed, accuracy in enumerate([0.2, 0.4]):
        put("Gate | Linear | Exact(ridge=3.0)", accuracy, seed)
    put("Gate | Linear | Exact", 0.1)
    put("Gate | Linear | Exact", 0.9, pairs=4)
    put("Gate | Linear | SGD", 1.0, archived=True)
    store = open_store()
    found = task_settings(store)
    assert found["runs"].tolist() == [3, 1]
    most = found.iloc[0]
    first = _map_cells.Setting(most.task, most.setting, most.protocol, most.frame)
    shown = _map_cells.Shown("optimizer", "accuracy", first, False)
    table = _map_cells.table(store, shown)
    tried = table[table["n"] > 0]
    assert tried[["weights", "function", "optimizer", "n", "best"]].values.tolist() == [
        ["Gate", "Linear", "Exact", 3, 0.4]
    ]
    app = page("map")
    assert not app.exception and "unexplored" in text_of(app)


def test_every_listed_triple_and_every_entry_has_a_cell() -> None:
    cells = _map_cells._cells()
    assert {place(spec) for spec in triples()} <= set(cells)
    for name, entry in ttr.catalog.items():
        assert name in cells[place(entry.spec)]["published"]


def test_a_cell_can_be_opened_and_collected_by_keyboard(page: Opener) -> None:
    app = page("map")
    app.selectbox(key="map.cell").select("Gate | Linear | SGD").run()
    app.button(key="map.add").click().run()
    assert "1 cell collected" in text_of(app)
    assert any("Gate | Linear | SGD" in code.value for code in app.code)
    app.button(key="map.open").click().run()
    assert app.text_input(key="spec").value == "Gate | Linear | SGD"


def test_the_plan_is_yaml_that_names_the_cells() -> None:
    specs = ["Gate | Linear | SGD", "Gate * ExpKernel | Constant | Exact"]
    assert yaml.safe_load(_map_plan.plan(specs))["specs"] == specs
