"""Analyze: an empty store, the shipped runs, every picture, an address that nobody can trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from experiments_db.store import open_store
from experiments_db.store.importing import import_runs
from pages._analyze import inquiry, plots
from pages._analyze.empty import EVIDENCE
from pages._shared import ends
from tests.app.app_text import text_of
from ttr_core.lab import metrics

Opener = Callable[..., AppTest]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shipped(home: Path) -> None:
    import_runs(open_store(), ROOT / EVIDENCE)


def test_an_empty_store_is_filled_by_one_button(page: Opener) -> None:
    app = page("analyze")
    assert not app.exception and "No run has ended yet" in text_of(app)
    app.button(key="load").click().run()
    assert not app.exception and "No run has ended yet" not in text_of(app)
    assert len(app.get("vega_lite_chart")) == 1


def test_every_picture_of_the_shipped_runs(page: Opener, shipped: None) -> None:
    drawn = {}
    for view in inquiry.VIEWS:
        app = page("analyze", **{"analyze.view": view})
        assert not app.exception, view
        drawn[view] = len(app.get("vega_lite_chart"))
        assert "n = " in text_of(app) or "with n" in text_of(app) or not drawn[view]
    assert drawn == {"cost": 1, "settings": 0, "beyond": 1, "rates": 1, "ingredients": 4}


def test_nothing_of_the_address_is_trusted(page: Opener, shipped: None) -> None:
    asked = {"analyze.cost": "'); DROP", "analyze.kind": "x", "analyze.runs": "no such runs"}
    app = page("analyze", **asked, **{"analyze.log": "true", "analyze.metric.accuracy": "nan"})
    assert not app.exception and len(app.get("vega_lite_chart")) == 1
    assert "no such runs" in text_of(app)
    app = page("analyze", **{"analyze.view": "beyond", "analyze.lines": ["gla", "no such layer"]})
    assert not app.exception and "no such layer" in text_of(app)
    assert app.multiselect(key="analyze.lines").value == ["gla"]


def test_names_at_the_ends_of_lines_keep_their_distance_and_order() -> None:
    found = ends.apart([0.99, 1.0, 0.995, 0.2, 0.0], 0.0, 1.0, 260)
    least = ends.LINE / 260
    for one, next_ in zip(sorted(found), sorted(found)[1:], strict=False):
        assert next_ - one >= least - 1e-9
    assert found[0] < found[2] < found[1] <= 1.0 and found[3] == 0.2 and found[4] == 0.0


def test_what_is_missing_is_measured_from_the_best_value() -> None:
    values = pd.Series([1.0, 0.9])
    assert plots.missing(values, metrics()["accuracy"]).tolist() == [1e-4, pytest.approx(0.1)]


def test_names_and_points_of_the_front_lie_on_no_other() -> None:
    best = pd.DataFrame({"state": [4096, 4100, 4105, 8192], "name": ["long-name-of-a-layer"] * 4})
    height = pd.Series([40.0, 38.0, 36.0, 35.0])
    found = plots._front_names(best, "state", height, (1024.0, 16384.0))
    assert len(found) == 4 and found["level"].iloc[:3].nunique() == 3
    assert found["level"].iloc[3] == found["level"].iloc[0]  # far enough to the right
    many = pd.concat([best.iloc[:1]] * 9, ignore_index=True)
    few = plots._front_names(many, "state", pd.Series([40.0] * 9), (1024.0, 16384.0))
    assert len(few) == len(plots.LEVELS)  # the others are in the table
    top = plots._front_names(best[:1], "state", pd.Series([4.0]), (1024.0, 16384.0))
    assert top["level"].tolist() == [15], "below the point, where the edge is close"
    same = plots.side_by_side(pd.Series([64] * 40), pd.Series([5.0] * 40))
    assert same.nunique() == 40 and same.max() / same.min() < 2**0.5 + 1e-9


def test_an_axis_is_logarithmic_at_first_where_half_are_close(page: Opener, shipped: None) -> None:
    app = page("analyze")
    assert app.toggle(key="analyze.log").value
    app = page("analyze", **{"analyze.log": "false"})
    assert not app.exception and not app.toggle(key="analyze.log").value
