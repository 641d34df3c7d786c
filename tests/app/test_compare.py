"""Compare: sides over seeds, what differs, what may not be compared, a run that is gone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import ttr_core as ttr
from experiments_db.read import comparing
from experiments_db.run.request import config_hash, request
from experiments_db.store import open_store
from experiments_db.store.records import NewRun, Outcome
from pages._shared import ends, mean_lines
from pages._shared.mean_lines import Drawn
from tests.app.app_text import text_of
from ttr_core.lab import metrics

Opener = Callable[..., AppTest]


@pytest.fixture
def four(home: Path) -> list[str]:
    """Two layers, the second on more pairs, of two seeds each; the last run ended early."""
    store, found = open_store(), []
    asked = [("deltanet", 4), ("gla", 8)]
    with store.driver() as driver:
        for number, ((layer, pairs), seed) in enumerate(itertools.product(asked, (0, 1))):
            one = request(layer=layer, seed=seed, sets={"task.pairs": str(pairs)}, device="cpu")
            config = one.config()
            run = NewRun(
                config, config_hash(config), layer, str(ttr.catalog[layer].spec), "published",
                "mqar", seed, "cpu",
            )  # fmt: skip
            run_id = str(store.claim(driver, run).run_id)
            steps = [0, 10] if number == 3 else [0, 10, 20]
            curve = [(step, 0.1 * number + 0.01 * step) for step in steps]
            store.finish(
                run_id,
                Outcome("finished", {"accuracy": (number + 1) / 10}, steps=20, seconds=1.0,
                        curves={"accuracy": curve}),
            )  # fmt: skip
            found.append(run_id)
    return found


def test_sides_are_configurations_over_their_seeds(four: list[str]) -> None:
    sides, missing = comparing.sides(open_store(), [*four, "gone"])
    assert [s.label for s in sides] == ["deltanet", "gla"] and missing == ["gone"]
    table = comparing.summary(sides, metrics()["accuracy"], "deltanet")
    assert list(table["n"]) == [2, 2]
    assert list(table["mean"]) == pytest.approx([0.15, 0.35])
    assert list(table["se"]) == pytest.approx([0.05, 0.05])
    assert table.loc["gla", "difference"] == pytest.approx(0.2)
    assert table.loc["gla", "difference_se"] == pytest.approx(0.05 * math.sqrt(2))
    assert "task.pairs" in comparing.differing(sides).index
    assert "model.d_model" not in comparing.differing(sides).index


def test_a_mean_stands_only_where_every_run_has_a_point(four: list[str]) -> None:
    store = open_store()
    sides, _ = comparing.sides(store, four)
    data = comparing.mean_curves(store, sides).set_index(["side", "step"])
    assert list(data.loc["gla"].index) == [0, 10]
    assert list(data.loc["deltanet"].index) == [0, 10, 20]
    assert data.loc[("deltanet", 10), "value"] == pytest.approx(0.15)
    assert data.loc[("deltanet", 10), "high"] == pytest.approx(0.2)


@pytest.mark.parametrize("log", [False, True])
def test_names_stand_beside_all_lines_and_not_on_each_other(four: list[str], log: bool) -> None:
    """The last run ended early: its name is led to, and no other line passes where it stands."""
    sides, _ = comparing.sides(open_store(), four, over_seeds=False)
    data = comparing.mean_curves(open_store(), sides)
    asked = Drawn(tuple(four), False, 0.0, log, log)
    drawn = mean_lines.compared_chart(data, "accuracy", [s.label for s in sides], asked).to_dict()
    (names,) = [one for one in drawn["layer"] if one["mark"]["type"] == "text"]
    rows = drawn["datasets"][names["data"]["name"]]
    assert [row["step"] for row in rows] == [20] * 4
    places = sorted(math.log(row["end"]) if log else row["end"] for row in rows)
    width = (math.log(1.0) - math.log(0.1)) if log else 1.0
    least = ends.LINE / mean_lines.PLOT * width * 0.5
    assert min(b - a for a, b in itertools.pairwise(places)) > least
    (led,) = [one for one in drawn["layer"] if one["mark"]["type"] == "rule"]
    assert [row["from_step"] for row in drawn["datasets"][led["data"]["name"]]] == [10]


def test_a_narrow_chart_keeps_what_tells_its_lines_apart(four: list[str]) -> None:
    sides, _ = comparing.sides(open_store(), four[:2], over_seeds=False)
    data = comparing.mean_curves(open_store(), sides)
    asked = Drawn(tuple(four), False, 0.0, False, False)
    drawn = mean_lines.compared_chart(data, "accuracy", [s.label for s in sides], asked).to_dict()
    (names,) = [one for one in drawn["layer"] if one["mark"]["type"] == "text"]
    said = [row["fewest"] for row in drawn["datasets"][names["data"]["name"]]]
    assert len(set(said)) == 2 and max(map(len, said)) <= ends.FEWEST
    assert "datum.fewest" in names["mark"]["text"]["expr"]
    assert mean_lines.ERROR in drawn["layer"][1]["encoding"]["color"]["legend"]["labelExpr"]
    assert "rule" not in [one["mark"]["type"] for one in drawn["layer"]], "all end together"


def test_compare_shows_its_address_and_says_what_is_gone(page: Opener, four: list[str]) -> None:
    app = page("compare", **{"compare.run": [four[0], four[2], "gone"], "compare.smooth": "0.8"})
    assert not app.exception
    assert "no run gone any more" in text_of(app)
    assert app.query_params["compare.run"] == [four[0], four[2], "gone"]
    assert {"deltanet", "gla"} <= set(app.dataframe[0].value.index)


def test_compare_without_runs_says_where_to_go(page: Opener) -> None:
    app = page("compare", **{"compare.run": "gone"})
    assert not app.exception and "no run gone any more" in text_of(app)
    app = page("compare")
    assert not app.exception and "Nothing to compare yet" in text_of(app)


def test_runs_leads_to_compare(page: Opener, four: list[str]) -> None:
    app = page("runs", run=four[:2])
    assert not app.exception
    assert any(link.proto.label == "Compare these" for link in app.get("page_link"))
