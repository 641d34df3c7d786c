"""The Map: every cell there, results where runs ended, a plan from what is collected."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from experiments_db.read.cells import task_settings
from experiments_db.store import open_store
from experiments_db.store.records import NewRun, Outcome
from experiments_db.sweeps.plan import load
from pages._map import chart as heat_maps
from pages._map import collected, heat, space
from tests.app.app_text import text_of
from ttr_core.space.spec import AXES, triples
from ttr_core.words.grid import place

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


def charts(app: AppTest) -> list[Any]:
    """Returns the heat maps as they are sent to the browser."""
    return [element.proto for element in app.get("vega_lite_chart")]


def rows(chart: Any) -> pd.DataFrame:
    """Returns the cells of a heat map."""
    (sent,) = chart.datasets
    assert sent.name == heat.ROWS
    return pa.ipc.open_stream(io.BytesIO(sent.data.data)).read_all().to_pandas()


def unexplored(app: AppTest) -> int:
    """Returns how many layers the Map says that no run has tried."""
    (badge,) = (text.value for text in app.markdown if "unexplored" in text.value)
    return int(badge.split(" unexplored")[0].split()[-1])


def choose(app: AppTest, chart: str, way: str, *specs: str) -> AppTest:
    """Does as the browser does when cells of a heat map are clicked."""
    chosen = {"open": [], "collect": [], way: [{"spec": spec} for spec in specs]}
    app.session_state[f"map.{chart}"] = {"selection": chosen}
    return app.run()


def test_the_map_of_an_empty_store_shows_verdicts(page: Opener) -> None:
    app = page("map")
    assert not app.exception and app.header[0].value == "Map"
    assert "No run has ended yet" in text_of(app)
    assert len(charts(app)) == len({where[2] for where in space._cells()})


@pytest.mark.parametrize("facet", AXES)
def test_any_axis_may_be_the_facet(page: Opener, facet: str) -> None:
    app = page("map", **{"map.facet": space.TITLES[facet]})
    choices = {where[AXES.index(facet)] for where in space._cells()}
    assert not app.exception
    assert {element.value for element in app.subheader} == choices
    assert {chart.alt.split(" for ")[1].split(":")[0] for chart in charts(app)} == choices


def test_rows_and_columns_without_a_layer_can_be_hidden(page: Opener) -> None:
    app = page("map", **{"map.facet": "Weights"})
    every = {len(rows(chart)) for chart in charts(app)}
    app.toggle(key="map.hide").set_value(True).run()
    assert not app.exception
    for chart in charts(app):
        shown = rows(chart)
        layers = shown[shown["verdict"] != "undefined"]
        assert 0 < len(shown) <= max(every)
        for axis in ("function", "optimizer"):
            assert set(layers[axis]) == set(shown[axis])


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
    first = space.Setting(most.task, most.setting, most.protocol, most.frame)
    shown = space.Shown("optimizer", "accuracy", first, False)
    table = space.table(store, shown)
    tried = table[table["n"] > 0]
    assert tried[["weights", "function", "optimizer", "n", "best"]].values.tolist() == [
        ["Gate", "Linear", "Exact", 3, 0.4]
    ]
    app = page("map")
    assert not app.exception and "unexplored" in text_of(app)
    assert "best accuracy of mqar · standard frame · quick" in text_of(app)


def test_every_listed_triple_and_every_entry_has_a_cell() -> None:
    cells = space._cells()
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


def test_the_plan_is_one_that_sweep_reads_and_names_the_cells(tmp_path: Path) -> None:
    specs = ["Gate | Linear | SGD", "Gate * ExpKernel | Constant | Exact"]
    path = tmp_path / "plan.yaml"
    path.write_text(collected.plan(specs))
    plan, _ = load(path)
    assert [entry.spec for entry in plan.specs] == specs


def test_heat_maps_share_one_specification_and_say_what_they_show(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25)
    drawn = charts(page("map"))
    shared = []
    for chart in drawn:
        spec = json.loads(chart.spec)
        (slanted,) = [each for each in spec["params"] if each["name"] == "slanted"]
        assert slanted["expr"].startswith("width < ")  # a phone is narrower than any desk
        spec["params"].remove(slanted)
        shared.append(json.dumps(spec))
        assert {each["name"] for each in spec["params"]} == {"open", "collect"}
        assert sorted(chart.selection_mode) == ["collect", "open"]
        assert chart.alt.startswith("Weights by Function class for ")
    assert set(shared) == {shared[0]}
    cells = pd.concat([rows(chart) for chart in drawn])
    assert len(cells) == len(space._cells()) and cells["spec"].is_unique
    tried = cells[cells["spec"] == "Gate | Linear | Exact"].iloc[0]
    assert (tried["label"], tried["best"], tried["n"], tried["strength"]) == ("25 %", 0.25, 1, 0)
    named = cells[cells["spec"] == "Gate | Linear | SGD"].iloc[0]
    assert (named["label"], named["about"]) == ("gated-deltanet", "published: gated-deltanet")


def test_what_has_run_meanwhile_is_on_the_map(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25)
    app = page("map")
    before = unexplored(app)
    put("Gate | Linear | SGD", 0.5)
    put("Gate | Linear | Exact", 0.75, seed=1)
    app.run()
    assert unexplored(app) == before - 1
    cells = pd.concat([rows(chart) for chart in charts(app)]).set_index("spec")
    assert cells.loc["Gate | Linear | Exact", ["n", "best"]].tolist() == [2, 0.75]


def test_a_map_of_verdicts_knows_what_was_tried(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25)
    results, verdicts = page("map"), page("map", **{"map.color.accuracy": "verdict"})
    assert unexplored(results) == unexplored(verdicts)
    cells = pd.concat([rows(chart) for chart in charts(verdicts)]).set_index("spec")
    assert cells["label"]["Gate | Linear | Exact"] == ""
    assert cells["label"]["Decay | Linear | Exact"] == "·"
    assert cells["strength"].min() > 0 and "best" not in cells


def cells(app: AppTest) -> list[str]:
    """Returns the collected cells as the address has them."""
    said = app.query_params.get("map.cells", [])
    return [said] if isinstance(said, str) else list(said)


def test_cells_are_collected_on_several_heat_maps_and_dropped(page: Opener) -> None:
    app = page("map")
    choose(app, "optimizer.SGD", "collect", "Gate | Linear | SGD")
    choose(app, "optimizer.SGD", "collect", "Gate | Linear | SGD", "Decay | Linear | SGD")
    choose(app, "optimizer.Exact", "collect", "Gate | Linear | Exact")
    assert not app.exception and "3 cells collected" in text_of(app)
    choose(app, "optimizer.SGD", "collect", "Decay | Linear | SGD")
    kept = ["Decay | Linear | SGD", "Gate | Linear | Exact"]
    assert yaml.safe_load(app.code[0].value)["specs"] == cells(app) == kept
    choose(app, "optimizer.SGD", "collect")
    choose(app, "optimizer.Exact", "collect")
    assert not app.exception and "collected" not in text_of(app) and cells(app) == []


def test_collected_cells_are_in_the_address_and_survive_visits_elsewhere(page: Opener) -> None:
    kept = ["Gate | Linear | SGD", "Decay | Linear | SGD"]
    app = page("map", **{"map.cells": kept})
    assert "2 cells collected" in text_of(app)
    app.switch_page("pages/runs.py").run()
    app.query_params.clear()
    app.switch_page("pages/map.py").run()
    assert cells(app) == kept and "2 cells collected" in text_of(app)
    choose(app, "optimizer.SGD", "collect", "Gate | Linear | SGD")
    assert cells(app) == kept[1:], "a click on a cell that another visit has collected drops it"


def test_what_is_no_layer_is_not_collected(page: Opener) -> None:
    row = next(row for row in space._rows().itertuples() if row.verdict == "undefined")
    undefined = row.spec
    app = page("map", **{"map.cells": [undefined, "Gate | Linear | SGD"]})
    assert cells(app) == ["Gate | Linear | SGD"] and "Unknown cell that is a layer" in text_of(app)
    choose(app, f"optimizer.{row.optimizer}", "collect", undefined)
    assert not app.exception and cells(app) == ["Gate | Linear | SGD"]


def test_the_plan_is_for_the_task_and_sizes_on_the_map(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25, pairs=5)
    app = page("map", **{"map.cells": "Gate | Linear | SGD"})
    (task,) = yaml.safe_load(app.code[0].value)["tasks"]
    assert (task["name"], task["pairs"], task["seq_len"]) == ("mqar", 5, 64)


def test_a_click_opens_a_cell_before_anything_is_drawn(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page("map")
    drawn: list[str] = []
    heat_map = heat_maps._heat_map

    def counted(cells: pd.DataFrame, choice: str, *others: Any) -> None:
        drawn.append(choice)
        heat_map(cells, choice, *others)

    monkeypatch.setattr(heat_maps, "_heat_map", counted)
    choose(app, "optimizer.SGD", "collect", "Gate | Linear | SGD")
    assert len(drawn) == len(set(drawn)) == len(charts(app))
    choose(app, "optimizer.RLS", "open", "Gate | Linear | RLS")
    assert len(drawn) == len(set(drawn))
    assert app.text_input(key="spec").value == "Gate | Linear | RLS"


@pytest.mark.parametrize("metric", ["accuracy", "error", "verdict"])
@pytest.mark.parametrize("dark", [False, True])
def test_a_specification_is_written_once_and_stays_as_it_is(metric: str, dark: bool) -> None:
    look = heat.Look("weights", "function", ("a",), ("b",), metric, (0.1, 1.0), dark)
    spec = heat.chart(look)
    before = json.dumps(spec)
    heat.filled(look, pd.DataFrame({"weights": ["a"], "function": ["b"]}))
    assert heat.chart(look) is spec and json.dumps(spec) == before
    ink = json.dumps(spec["layer"][-1]["encoding"]["color"])
    assert (heat.DARK in ink) == dark and (heat.LIGHT in ink) != dark
    assert ("viridis" in before) == (metric != "verdict")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (("undefined", "", 0, None, "accuracy"), ("×", "")),
        (("layer", "", 0, None, "accuracy"), ("·", "")),
        (("slow", "", 0, None, "verdict"), ("slow", "")),
        (("slow", "", 2, 0.5, "accuracy"), ("50 %", "")),
        (("layer", "", 2, 0.0123, "error"), ("0.0123", "")),
        (("layer", "", 2, 0.5, "verdict"), ("", "")),
        (("layer", "gla, hgrn2, rwkv6", 2, 0.5, "accuracy"), ("gla", " +2")),
    ],
)
def test_a_cell_says_its_name_or_its_result_or_what_it_lacks(
    cell: tuple[Any, ...], text: tuple[str, str]
) -> None:
    assert heat_maps._label(*cell) == text
