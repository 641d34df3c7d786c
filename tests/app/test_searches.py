"""Sweep's part for searches: none, one that is over, one on its way, whatever an address asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from experiments_db.run.request import config_hash, request
from experiments_db.store import open_store
from experiments_db.store.driver import Wish, asked_here
from experiments_db.store.importing import import_runs
from experiments_db.store.records import NewRun
from tests.app.app_text import text_of

Opener = Callable[..., AppTest]
SPEC = "Uniform | Linear | SGD"
EVIDENCE = Path(__file__).resolve().parents[2] / "docs/evidence/search_small.parquet"


def words_of(app: AppTest) -> str:
    return text_of(app).replace("\\", "")


def test_without_a_search_the_command_is_told(page: Opener) -> None:
    app = page("sweep")
    assert not app.exception and "No search has run yet" in words_of(app)
    assert any("search examples/search_small.yaml" in one.value for one in app.code)


@pytest.mark.parametrize("asked", [{}, {"sweep.search": "search-small"}])
def test_a_search_that_is_over_shows_rungs_front_and_finals(
    page: Opener, asked: dict[str, str]
) -> None:
    import_runs(open_store(), EVIDENCE)
    app = page("sweep", **asked)
    said = words_of(app)
    assert not app.exception and "Stage: finals (nothing of it is running)" in said
    assert "121 finished, 8 diverged" in said and "searched in frame paper" in said
    assert "Importance | Linear | Exact 0.991 at 57; Uniform | Linear | OneStep 0.997 at 64" in said
    rungs, finals = (frame.value for frame in app.dataframe)
    assert rungs[["steps", "cells", "rates"]].values.tolist() == [[240, 25, 2], [480, 11, 1]]
    assert len(finals) == 4 and set(finals["n"]) == {12}
    assert len(app.get("vega_lite_chart")) == 2, "the squares of the sweep, the front"


def test_an_address_that_names_no_search_is_answered(page: Opener) -> None:
    import_runs(open_store(), EVIDENCE)
    app = page("sweep", **{"sweep.search": "search-smal"})
    assert not app.exception and "Did you mean 'search-small'" in words_of(app)
    assert app.selectbox(key="sweep.search").value == "search-small"


def test_an_open_page_sees_a_search_begin_stop_and_end(page: Opener) -> None:
    app = page("sweep")
    config = request(spec=SPEC, sets={"steps": "10"}, device="cpu").config()
    run = NewRun(config, config_hash(config), SPEC, SPEC, "paper", "mqar", 0, "cpu",
                 protocol="search", tags=("hunt",))  # fmt: skip
    with open_store().driver() as driver:
        open_store().claim(driver, run)
        assert "Stage: rung 1, 10 steps (goes on)" in words_of(app.run())
        for button, said, asked in (("hold", "paused", Wish.HOLD), ("hold", "goes on", Wish.GO),
                                    ("cancel", "is being cancelled", Wish.STOP)):  # fmt: skip
            app.button(key=f"sweep.searched.{button}").click().run()
            assert f"({said})" in words_of(app) and asked_here(open_store().path) is asked
    assert "nothing of it is running; the same command goes on" in words_of(app.run())
