"""Runs: filters that drive the whole page, picks that follow run ids, bulk edits, exports."""

from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from hypothesis import HealthCheck, given, settings, strategies
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from experiments_db.read import export, queries
from experiments_db.read.filters import Conditions
from experiments_db.read.sandbox import QueryError
from experiments_db.run.request import config_hash, request
from experiments_db.store import Store, open_store
from experiments_db.store.records import NewRun, Outcome
from pages._runs import actions, columns, picks, rows
from pages._runs.filters import ORDERS, VIEWS, WRONG, Filters
from pages._shared import address
from tests.app.app_text import text_of
from ttr_core.lab import TASKS

Opener = Callable[..., AppTest]

NOTHING = Filters(
    view="runs", order="newest", limit=200, text="", settings="", sql="", starred=False,
    archived=False, status=(), task=(), layer=(), tags=(), frame=(), protocol=(), device=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store with two layers of two seeds on 4 pairs, and one of them on 8; ids in order."""
    asked = [("deltanet", 4), ("gla", 4), ("gla", 8)]
    store = open_store(tmp_path_factory.mktemp("six") / "runs.duckdb")
    found = []
    with store.driver() as driver:
        for number, ((layer, pairs), seed) in enumerate(itertools.product(asked, (0, 1))):
            one = request(layer=layer, seed=seed, sets={"task.pairs": str(pairs)}, device="cpu")
            config = one.config()
            run = NewRun(
                config, config_hash(config), layer, str(ttr.catalog[layer].spec), "published",
                "mqar", seed, "cpu", tags=["first"] if seed else [],
            )  # fmt: skip
            claim = store.claim(driver, run)
            accuracy = (number + 1) / 10
            metrics: dict[str, float | None] = {"accuracy": accuracy, "loss": 1 - accuracy}
            curves = {"accuracy": [[5, accuracy / 2], [10, accuracy]]}
            store.finish(
                str(claim.run_id),
                Outcome("finished", metrics, curves=curves, steps=10, seconds=1.0),
            )
            found.append(str(claim.run_id))
    return store.path, found


@pytest.fixture
def six(home: Path, made: tuple[Path, list[str]]) -> list[str]:
    """The ids of the runs of `made`, in a store of this test's own."""
    shutil.copy(made[0], open_store().path)
    return made[1]


def listed(filters: Filters, store: Store) -> list[str]:
    return queries.ids(store, filters.conditions(store))


def change(**values: object) -> Filters:
    return Filters(**{**vars(NOTHING), **values})  # type: ignore[arg-type]


# --- filters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        (NOTHING, [0, 1, 2, 3, 4, 5]),
        (change(layer=("gla",)), [2, 3, 4, 5]),
        (change(settings="pairs=8"), [4, 5]),
        (change(settings="pairs=4 seed=1"), [1, 3]),
        (change(sql='accuracy > 0.25 AND "task.pairs" = 4'), [2, 3]),
        (change(sql="accuracy > 0.25", tags=("first",), layer=("gla",)), [3, 5]),
        (change(status=("failed",)), []),
        (change(starred=True), []),
        (change(text="DELTA", frame=("published",), protocol=("quick",), device=("cpu",)), [0, 1]),
    ],
)
def test_each_filter_keeps_the_runs_that_meet_it(
    six: list[str], filters: Filters, places: list[int]
) -> None:
    assert listed(filters, open_store()) == [six[place] for place in reversed(places)]


def test_filters_drive_rows_counts_and_exports(page: Opener, six: list[str]) -> None:
    app = page("runs", **{"runs.layer": "gla", "runs.settings": "pairs=4", "runs.order": "fastest"})
    assert not app.exception
    assert set(app.dataframe[0].value["run_id"]) == {six[2], six[3]}
    said = text_of(app)
    assert "2 runs, fastest first" in said and "2 finished" in said
    filters = change(layer=("gla",), settings="pairs=4")
    table = pd.read_json(io.BytesIO(actions.exported(open_store(), filters, (), "json")))
    assert set(table["run_id"]) == {six[2], six[3]}


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("runs.settings", "pears=4", "pairs"),
        ("runs.sql", "acuracy > 0.5", "accuracy"),
        ("runs.view", "groups", "configurations"),
        ("runs.layer", "deltanett", "deltanet"),
    ],
)
def test_what_an_address_asks_wrongly_is_named(
    page: Opener, six: list[str], key: str, value: str, hint: str
) -> None:
    app = page("runs", **{key: value})
    assert not app.exception
    assert hint in text_of(app)


@pytest.mark.parametrize(
    "sql", ["1; DROP TABLE runs", "run_id IN (SELECT content FROM read_text('/etc/passwd'))"]
)
def test_sql_reaches_nothing_but_the_runs(six: list[str], sql: str) -> None:
    with pytest.raises(QueryError, match="cannot be used"):
        listed(change(sql=sql), open_store())
    assert len(queries.ids(open_store())) == 6


TEXT = strategies.text(max_size=30)
ODD = strategies.sampled_from(["pairs=", "=", "a=b=c", "pairs=[1]", "'", '"', "1=1", "NULL", "\0"])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXT | ODD, said=TEXT | ODD, name=TEXT)
def test_any_filter_is_a_condition_or_a_sentence(
    six: list[str], text: str, said: str, name: str
) -> None:
    filters = change(text=text, settings=said, layer=(name,), tags=(name,))
    try:
        found = listed(filters, open_store())
    except WRONG as error:
        assert str(error)
    else:
        assert set(found) <= set(six)


def test_over_seeds(page: Opener, six: list[str]) -> None:
    app = page("runs", **{"runs.view": "configurations", "runs.order": "highest accuracy"})
    assert not app.exception
    table = app.dataframe[0].value
    assert table["n"].tolist() == [2, 2, 2]
    assert table["accuracy_mean"].round(6).tolist() == [0.55, 0.35, 0.15]
    assert table["task.pairs"].tolist() == [8, 4, 4]
    assert "3 configurations with 6 complete runs" in text_of(app)


# --- picks -------------------------------------------------------------------------------------


@contextmanager
def session(*ids: str) -> Iterator[None]:
    """A session in which these runs are picked."""
    st.session_state[address.HERE] = "runs"
    picks.take_over(Store(Path("no store")))
    address.put(picks.PICKED, list(ids))
    yield
    for key in (address.HERE, address.KEPT, picks.PICKED, picks.BEFORE):
        st.session_state.pop(key, None)


def test_picks_follow_run_ids_and_not_rows() -> None:
    with session("b"):
        assert picks.rows_of([["a"], ["b"], ["c"]]) == [1]
        assert picks.rows_of([["new"], ["a"], ["b"], ["c"]]) == [2]
        picks.follow([["a"], ["b"], ["c"]], [1], [1, 2])
        assert picks.picked() == ["b", "c"]
        picks.follow([["c"]], [0], [])  # a filter hides b, which stays picked
        assert picks.picked() == ["b"]


def test_a_configuration_stands_for_all_its_runs() -> None:
    groups = [["a", "b"], ["c", "d"]]
    with session("a", "c", "d"):
        assert picks.rows_of(groups) == [1]
        picks.follow(groups, [1], [1])
        assert picks.picked() == ["a", "c", "d"], "a redrawing changes nothing"
        picks.follow(groups, [1], [0])
        assert picks.picked() == ["a", "b"]


def test_the_keyboard_path_picks_a_row(page: Opener, six: list[str]) -> None:
    app = page("runs")
    app.selectbox(key="look").set_value(six[1]).run()
    assert not app.exception
    assert app.session_state[picks.PICKED] == [six[1]]
    assert six[1] in text_of(app)


# --- edits of many runs ------------------------------------------------------------------------


def test_archive_all_that_match_and_undo(page: Opener, six: list[str]) -> None:
    app = page("runs", run=six[0], **{"runs.settings": "pairs=4"})
    app.segmented_control(key="runs.scope").set_value(True).run()
    app.button(key="act.Archive").click().run()
    assert not app.exception
    assert queries.ids(open_store()) == six[:3:-1]
    said = text_of(app)
    assert "Archived 4 runs." in said and "No run passes these filters" in said
    assert app.session_state[picks.PICKED] == [], "what is hidden is not acted upon"
    app.button(key="undo").click().run()
    assert not app.exception
    assert len(queries.ids(open_store())) == 6
    assert app.session_state[picks.PICKED] == [six[0]]


def test_tags_and_stars_of_the_picked(page: Opener, six: list[str]) -> None:
    app = page("runs", run=[six[0], six[1]])  # type: ignore[arg-type]
    assert app.button(key="act.Tag").disabled
    app.multiselect(key="bulk.tags").set_value(["first"]).run()
    app.button(key="act.Tag").click().run()
    assert "Tagged 1 run with first." in text_of(app), "one of them had it"
    app.button(key="act.Star").click().run()
    assert not app.exception
    table = queries.runs(open_store(), Conditions(tags="first", starred=True))
    assert set(table["run_id"]) == {six[0], six[1]}


def test_nothing_picked_nothing_done(page: Opener, six: list[str]) -> None:
    app = page("runs")
    kinds = ("Star", "Unstar", "Archive", "Bring back", "Tag", "Untag")
    assert all(app.button(key=f"act.{kind}").disabled for kind in kinds)


# --- exports and columns -----------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("suffix", [suffix.lstrip(".") for suffix in export.WRITERS])
def test_exports(six: list[str], view: str, suffix: str) -> None:
    picked = (six[4], six[5])
    data = actions.exported(open_store(), change(view=view), picked, suffix)
    assert data
    if suffix == "parquet":
        table = pd.read_parquet(io.BytesIO(data))
        assert len(table) == (2 if view == "runs" else 1)
        assert set(table["task.pairs"]) == {8}


@pytest.mark.parametrize(
    ("view", "order"),
    [
        pytest.param(view, order, marks=pytest.mark.full_grid if i and j else ())
        for i, view in enumerate(VIEWS)
        for j, order in enumerate(ORDERS)
    ],
)
def test_settings_that_differ_are_columns(six: list[str], view: str, order: str) -> None:
    filters = change(view=view, order=order)
    read, _ = rows._read.__wrapped__("", "", filters, open_store())
    shown = columns.chosen(read)
    assert "task.pairs" in shown and "task.seq_len" not in shown
    assert set(shown) <= set(read) and not set(shown) & set(columns.ELSEWHERE)
    assert set(columns.config(read)) >= set(shown)


@pytest.mark.parametrize("view", VIEWS)
def test_a_setting_that_a_task_does_not_have_is_blank(home: Path, view: str) -> None:
    store = open_store()
    with store.driver() as driver:
        for task in TASKS:
            config = request(layer="deltanet", task=task, device="cpu").config()
            run = NewRun(
                config, config_hash(config), "deltanet", "Uniform | Linear | SGD", "published",
                task, 0, "cpu",
            )  # fmt: skip
            store.finish(str(store.claim(driver, run).run_id), Outcome("finished", {}))
    read, _ = rows._read.__wrapped__("", "", change(view=view), store)  # type: ignore[attr-defined]
    shown = columns.readable(read)[columns.differing(read)]
    words = shown.select_dtypes(exclude="number").astype(object).to_numpy().ravel().tolist()
    assert "" in words and not {"nan", "None", None} & set(words)


def test_curves_come_first_of_what_is_picked_or_of_the_first_rows(
    made: tuple[Path, list[str]], page: Opener, home: Path
) -> None:
    shutil.copy(made[0], home / "runs.duckdb")
    app = page("runs")
    assert not app.exception and "The first 5 runs" in text_of(app)
    kinds = [element.type for element in app.main]
    table = next(i for i, kind in enumerate(kinds) if "frame" in kind)
    assert kinds.index("vega_lite_chart") < table
    app = page("runs", run=made[1][:2])
    assert "The picked runs" in text_of(app)
    app = page("runs", **{"runs.view": "configurations"})
    assert "The first 3 configurations, the mean over seeds" in text_of(app)
    alone = page("runs", run=made[1][0])
    assert "The picked run." in text_of(alone)
    assert len(alone.get("vega_lite_chart")) == len(app.get("vega_lite_chart")), "drawn once"


def test_a_planned_number_is_not_taken_for_what_was_done() -> None:
    planned = pd.DataFrame({"train.steps": [10, 20], "task": ["mqar"] * 2, "run_id": ["a", "b"]})
    assert columns._short("train.steps", planned) == "steps at most"


def test_a_layer_without_a_name_is_shown_by_its_spec() -> None:
    table = pd.DataFrame({"layer": ["gla", None], "spec": ["A", "Gate | Linear | SGD"]})
    told = {"superseded": False, "cut_short": [False, True], **dict.fromkeys(columns.ALSO)}
    shown = columns.readable(table.assign(**told))
    assert shown["cut_short"].tolist() == ["", "cut short"]
    assert shown["layer"].tolist() == ["gla", "Gate | Linear | SGD"]
