"""A trained model's own map: drawn where its weights are kept, a sentence where they are broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from experiments_db.run import outcomes
from experiments_db.store import Outcome, open_store, weights
from tests.app.app_text import text_of
from tests.batch.test_kept_weights import tiny, worked

Opener = Callable[..., AppTest]


@pytest.fixture
def kept(home: Path) -> str:
    """A run with its weights; returns its id."""
    store = open_store()
    with store.driver() as driver:
        claim = store.claim(driver, outcomes.new_run(tiny(), tiny().config(), ()))
        store.finish(str(claim.run_id), Outcome("finished", {"accuracy": 0.5}))
    worked(tiny(), weights.file_of(store.path, str(claim.run_id)))
    return str(claim.run_id)


def test_runs_draws_what_a_trained_model_draws_on(page: Opener, kept: str) -> None:
    app = page("runs", run=kept)
    assert not app.exception and "what each output draws on" in text_of(app)
    assert len(app.get("vega_lite_chart")) == 1 and "of 2 here" in text_of(app)
    file = weights.file_of(open_store().path, kept)
    file.write_bytes(file.read_bytes()[:-7])
    app = page("runs", run=kept)
    assert not app.exception and "could not be drawn" in text_of(app)
    file.unlink()
    app = page("runs", run=kept)
    assert not app.exception and "what each output draws on" not in text_of(app)
