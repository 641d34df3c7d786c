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
from experiments_db.atlas import Atlas, charted
from experiments_db.read.cells import task_settings
from experiments_db.read.learned import kept_skills, skills_told
from experiments_db.store import open_store
from experiments_db.store.records import NewRun, Outcome
from experiments_db.sweeps.plan import load
from pages._map import by_probes, collected, heat, space
from pages._map import chart as heat_maps
from pages._map.matrix import ALONE, AXES_OF, MARK, Places, laid_out, short
from tests.app.app_text import text_of
from ttr_core.lab import PROBES
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


def drawn(app: AppTest) -> Any:
    """Returns the heat map as it is sent to the browser."""
    return app.get("vega_lite_chart")[0].proto


def rows(app: AppTest) -> pd.DataFrame:
    """Returns the cells of the heat map."""
    (sent,) = drawn(app).datasets
    assert sent.name == heat.ROWS
    return pa.ipc.open_stream(io.BytesIO(sent.data.data)).read_all().to_pandas()


def of_runs(page: Opener) -> AppTest:
    """Opens the Map and chooses the first runs there are."""
    app = page("map")
    return app.selectbox(key="map.setting").select_index(1).run()


def unexplored(app: AppTest) -> int:
    """Returns how many layers the Map says that no run has tried."""
    (badge,) = (text.value for text in app.markdown if "unexplored" in text.value)
    return int(badge.split(" unexplored")[0].split()[-1])


def choose(app: AppTest, way: str, *specs: str, facet: str = "optimizer") -> AppTest:
    """Does as the browser does when cells of the heat map are clicked."""
    chosen = {"open": [], "collect": [], way: [{"spec": spec} for spec in specs]}
    app.session_state[f"map.{facet}"] = {"selection": chosen}
    return app.run()


def test_the_map_of_an_empty_store_is_full_of_what_the_atlas_knows(page: Opener) -> None:
    app, atlas = page("map"), charted()
    assert not app.exception and app.header[0].value == "Map"
    assert f"Atlas of {atlas.date}" in text_of(app)
    shown = rows(app).set_index("spec")
    layers = shown[shown["verdict"] == "layer"]
    known = atlas.of_layers()["pairs_held"].reindex(layers.index)
    assert layers["best"].equals(known) and known.notna().mean() > 0.95
    spec = "Uniform | Linear | SGD"
    row = atlas.table.loc[spec]
    value, low, high = (f"{row[f'pairs_held{end}']:.4g}" for end in ("", "_low", "_high"))
    assert shown.at[spec, "reached"] == f"{value} [{low}, {high}]"
    both = f"{shown.at[spec, 'told']}, {shown.at[spec, 'more']}"
    assert f"pairs held {value} [" in both and both.count(", ") >= len(PROBES) - 1


@pytest.mark.parametrize("metric", by_probes.colors())
def test_any_number_of_a_probe_can_color_the_map(metric: str) -> None:
    shown = space.Shown("optimizer", metric, None, False)
    table = space.table(open_store(), shown)
    layout, cells = laid_out(table, "optimizer", False)
    look = heat_maps._look(table, shown, layout)
    spec = heat.chart(look)
    assert json.dumps(spec).count('"gradientLength"') == 1, "one color bar"
    low, high = look.domain
    assert low < high and (look.scale != "log" or low > 0)
    depths = heat_maps._depths(cells, look)
    assert {*depths} <= {"", "yes", "no"}
    assert [d != "" for d in depths] == cells["best"].notna().tolist()


def test_the_map_says_of_how_many_cells_the_revision_has_changed(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "earlier revision" not in text_of(page("map"))
    monkeypatch.setattr("experiments_db.atlas.known.outdated", lambda: ["optimizer/RLS@1"])
    app = page("map")
    old = {spec for spec in charted().table.index if spec.split(" | ")[2].startswith("RLS")}
    cells = rows(app)
    aged = cells[cells["age"].str.endswith("by an earlier revision")]
    assert set(aged["spec"]) >= old != set()
    assert f"{len(aged)} are of an earlier revision" in text_of(app)


def test_a_cell_that_was_ended_says_so() -> None:
    why = "It was ended after 20 processor seconds."
    row = {"spec": "Gate | Linear | SGD", "chaos": why, "chaos_on": "2026-11-26"}
    atlas = Atlas(pd.DataFrame([{**row, "parts": ""}]).set_index("spec"))
    cells = pd.DataFrame({"spec": ["Gate | Linear | SGD", "Decay | Linear | SGD"]})
    found = by_probes.with_probes(cells, atlas, "horizon")
    assert found["reached"].tolist() == [why, ""] and found["best"].isna().all()


def test_the_color_bar_spans_what_most_numbers_say() -> None:
    (low, high), scale = by_probes.span(pd.Series([*range(1, 100), 1e9]))
    assert (low, scale) == (pytest.approx(3, abs=1), "log") and high < 1e3
    assert by_probes.span(pd.Series([0.0] * 9 + [100.0] * 9))[1] == "symlog"
    assert by_probes.span(pd.Series([-1.0, 1.0]))[1] == "linear"
    assert by_probes.span(pd.Series([2.0, 2.0]))[0] == (1.5, 2.5)
    assert by_probes.span(pd.Series(dtype=float)) == ((0.0, 1.0), "linear")


@pytest.mark.parametrize("facet", AXES)
@pytest.mark.parametrize("hide", [False, True])
def test_every_layer_has_one_place_whatever_the_columns_are(facet: str, hide: bool) -> None:
    table = space._rows()
    layout, cells = laid_out(table, facet, hide)
    assert cells["spec"].is_unique and set(cells["key"]) <= set(layout.keys)
    wanted = table["verdict"] == "layer" if hide else table["verdict"] != "undefined"
    assert set(table["spec"][wanted]) <= set(cells["spec"])
    row_axis = AXES_OF[facet][0]
    assert set(cells[row_axis]) == set(layout.rows) and len(set(layout.keys)) == len(layout.keys)
    assert not cells.duplicated(["key", row_axis]).any(), "two cells at one place"
    heads = [key.split(MARK)[0] for key in layout.keys]
    assert ALONE in heads and layout.columns == cells["key"].nunique()
    for choice in table[facet][wanted].unique():
        own = cells[(cells[facet] == choice) & (cells["verdict"] != "undefined")]
        several = len(own[own["verdict"] == "layer"] if hide else own) > 1
        assert not several or short(choice) in heads


@pytest.mark.parametrize("facet", AXES)
def test_any_axis_may_be_that_of_the_columns(page: Opener, facet: str) -> None:
    app = page("map", **{"map.facet": space.TITLES[facet]})
    assert not app.exception
    rows_of, columns = (space.TITLES[axis] for axis in AXES_OF[facet])
    wanted = f"{rows_of} by {columns} for each {space.TITLES[facet].lower()}: "
    assert drawn(app).alt.startswith(wanted)


def test_rows_and_columns_without_a_layer_can_be_hidden(page: Opener) -> None:
    app = page("map")
    before = rows(app)
    app.toggle(key="map.hide").set_value(True).run()
    assert not app.exception
    shown = rows(app)
    layers = shown[shown["verdict"] == "layer"]
    assert len(layers) == (before["verdict"] == "layer").sum() and len(shown) < len(before)
    for axis in ("weights", "key"):
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
    app = of_runs(page)
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


def test_the_heat_map_says_what_it_shows(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25)
    app = of_runs(page)
    spec = json.loads(drawn(app).spec)
    assert {each["name"] for each in spec["params"]} == {"open", "collect"}
    assert sorted(drawn(app).selection_mode) == ["collect", "open"]
    assert drawn(app).alt.startswith("Weights by Function class for each optimizer: ")
    cells = rows(app).set_index("spec")
    tried = cells.loc["Gate | Linear | Exact"]
    assert (tried["best_shown"], tried["best"], tried["n"]) == ("25 %", 0.25, 1)
    assert (tried["strength"], tried["deep"], bool(tried["dot"])) == (0, "yes", False)
    named = cells.loc["Gate | Linear | SGD"]
    assert (named["dot"], named["about"]) == (True, "published: gated-deltanet")


def test_what_has_run_meanwhile_is_on_the_map(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25)
    app = of_runs(page)
    before = unexplored(app)
    put("Gate | Linear | SGD", 0.5)
    put("Gate | Linear | Exact", 0.75, seed=1)
    app.run()
    assert unexplored(app) == before - 1
    assert rows(app).set_index("spec").loc["Gate | Linear | Exact", ["n", "best"]].tolist() == [
        2, 0.75,
    ]  # fmt: skip


def test_a_map_of_verdicts_knows_what_was_tried(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25)
    app = of_runs(page)
    before = unexplored(app)
    app.selectbox(key="map.color.accuracy").select("verdict").run()
    assert unexplored(app) == before
    cells = rows(app)
    assert cells["strength"].min() > 0 and "best" not in cells


def cells(app: AppTest) -> list[str]:
    """Returns the collected cells as the address has them."""
    said = app.query_params.get("map.cells", [])
    return [said] if isinstance(said, str) else list(said)


def test_cells_are_collected_under_any_axis_and_dropped(page: Opener) -> None:
    app = page("map")
    choose(app, "collect", "Gate | Linear | SGD")
    choose(app, "collect", "Gate | Linear | SGD", "Decay | Linear | SGD")
    app.segmented_control(key="map.facet").set_value("weights").run()
    choose(app, "collect", "Gate | Linear | Exact", facet="weights")
    assert not app.exception and "3 cells collected" in text_of(app)
    app.segmented_control(key="map.facet").set_value("optimizer").run()
    choose(app, "collect", "Gate | Linear | SGD")
    kept = ["Decay | Linear | SGD", "Gate | Linear | Exact"]
    assert yaml.safe_load(app.code[0].value)["specs"] == cells(app) == kept
    app.button(key="map.clear").click().run()
    assert not app.exception and "collected" not in text_of(app) and cells(app) == []


def test_collected_cells_are_in_the_address_and_survive_visits_elsewhere(page: Opener) -> None:
    kept = ["Gate | Linear | SGD", "Decay | Linear | SGD"]
    app = page("map", **{"map.cells": kept})
    assert "2 cells collected" in text_of(app)
    app.switch_page("pages/runs.py").run()
    app.query_params.clear()
    app.switch_page("pages/map.py").run()
    assert cells(app) == kept and "2 cells collected" in text_of(app)
    choose(app, "collect", "Gate | Linear | SGD")
    assert cells(app) == kept[1:], "a click on a cell that another visit has collected drops it"


def test_what_is_no_layer_is_not_collected(page: Opener) -> None:
    row = next(row for row in space._rows().itertuples() if row.verdict == "undefined")
    undefined = row.spec
    app = page("map", **{"map.cells": [undefined, "Gate | Linear | SGD"]})
    assert cells(app) == ["Gate | Linear | SGD"] and "Unknown cell that is a layer" in text_of(app)
    choose(app, "collect", undefined)
    assert not app.exception and cells(app) == ["Gate | Linear | SGD"]


def test_the_plan_is_for_the_task_and_sizes_on_the_map(page: Opener) -> None:
    put("Gate | Linear | Exact", 0.25, pairs=5)
    app = of_runs(page)
    choose(app, "collect", "Gate | Linear | SGD")
    (task,) = yaml.safe_load(app.code[0].value)["tasks"]
    assert (task["name"], task["pairs"], task["seq_len"]) == ("mqar", 5, 64)


def test_a_click_opens_a_cell_before_anything_is_drawn(
    page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = page("map")
    seen: list[str] = []
    filled = heat.filled

    def counted(look: heat.Look, cells: pd.DataFrame) -> dict[str, Any]:
        seen.append(look.rows)
        return filled(look, cells)

    monkeypatch.setattr(heat, "filled", counted)
    choose(app, "collect", "Gate | Linear | SGD")
    assert len(seen) == 1
    choose(app, "open", "Gate | Linear | RLS")
    assert len(seen) == 1
    assert app.text_input(key="spec").value == "Gate | Linear | RLS"


@pytest.mark.parametrize("metric", ["accuracy", "error", "verdict"])
@pytest.mark.parametrize("dark", [False, True])
def test_a_specification_is_written_once_and_stays_as_it_is(metric: str, dark: bool) -> None:
    layout = Places(("a",), ("h¦b¦c¦b",))
    look = heat.Look(
        "weights", layout, metric, "Title", (0.1, 1.0), "linear", metric == "accuracy", False,
        dark, (("spec", "spec"),),
    )  # fmt: skip
    spec = heat.chart(look)
    before = json.dumps(spec)
    heat.filled(look, pd.DataFrame({"weights": ["a"], "key": ["h¦b¦c¦b"]}))
    assert heat.chart(look) is spec and json.dumps(spec) == before
    ink = json.dumps(spec["layer"][-1]["encoding"]["color"])
    assert (heat.DARK in ink) == dark and (heat.LIGHT in ink) != dark
    assert ("viridis" in before) == (metric != "verdict")


def test_the_front_stands_beside_and_names_what_nothing_beats(page: Opener) -> None:
    app = page("map")
    (said,) = [one.value for one in app.caption if "nothing with as small a state" in one.value]
    assert said.count(" with ") >= 3
    app.selectbox(key="map.color.probes").select("verdict").run()
    assert not [one for one in app.caption if "nothing with as small a state" in one.value]


def test_a_picked_cell_says_what_it_has_learned_and_can(page: Opener) -> None:
    app = page("map")
    assert "theorems" not in text_of(app).lower()
    said = text_of(app.selectbox(key="map.cell").set_value("Uniform | Linear | SGD").run())
    known = skills_told(kept_skills().loc["Uniform | Linear | SGD"].to_dict())
    said = said.replace("\\", "")
    assert f"In runs it {known}." in said and "did not track parity" in known
    assert "With other options: " in said and "link=twice_sigmoid) tracked parity over 256" in said
    assert "one layer cannot track parity, Z3, S3, S5" in said


def test_a_broken_table_beside_the_store_leaves_that_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "runs.atlas.parquet").write_bytes(b"PAR1")
    atlas, said = space._atlas(open_store(tmp_path / "runs.duckdb"))
    assert atlas is charted() and "move it away" in said
