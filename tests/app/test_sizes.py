"""Every page over an empty, a small and a large store: what it says, and what it costs.

The aim for a page over a hundred thousand runs is a second of processor. Times are printed and
decide nothing; they hold what `AppTest` itself takes for a page, some .2 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments_db.read import queries
from experiments_db.store import open_store
from tests.app.app_text import text_of
from tests.app.test_pages import Opener
from tests.store import many_runs

SIZES = (0, 400, pytest.param(100_000, marks=pytest.mark.slow))

SAYS = {
    "explore": ("gated-deltanet", "gated-deltanet"),
    "map": ("layers", "layers"),
    "sweep": ("are in the store", "are in the store"),
    "runs": ("No runs yet", "runs that match"),
    "runs?runs.view=configurations": ("No runs yet", "configurations with"),
    "compare": ("Nothing to compare yet", "What differs"),
    "analyze": ("No run has ended yet", "runs in all"),
    "analyze?analyze.view=settings": ("No run has ended yet", "all else the"),
    "analyze?analyze.view=ingredients": ("No run has ended yet", "cells"),
    "paper": ("What papers claim", "What papers claim"),
    "guide": ("average", "average"),
}
"""Address -> what its page says without runs, and with some."""


@pytest.fixture(scope="module", params=SIZES)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The number of runs in the store of this module's tests, which TTR_HOME leads to."""
    count = int(request.param)
    folder = tmp_path_factory.mktemp(f"runs-{count}")
    if count:
        many_runs.fill(open_store(folder / "runs.duckdb"), count)
    patch = pytest.MonkeyPatch()
    patch.setenv("TTR_HOME", str(folder))
    request.addfinalizer(patch.undo)
    return count


@pytest.fixture
def home(runs: int) -> Iterator[Path]:
    """Instead of an empty store of each test's own, that of `runs`."""
    yield Path()


@pytest.mark.parametrize("address", SAYS)
def test_a_page_over_a_store_of_any_size(runs: int, page: Opener, address: str) -> None:
    name, _, query = address.partition("?")
    asked: dict[str, str | list[str]] = dict([query.split("=")]) if query else {}
    if name == "compare" and runs:
        asked["compare.run"] = queries.ids(open_store())[:: runs // 8][:8]
    began, used = time.monotonic(), time.process_time()
    app = page(name, **asked)
    used, wall = time.process_time() - used, time.monotonic() - began
    print(f"\n{used:5.2f} s of processor, {wall:5.2f} s in all: {address} over {runs} runs")
    assert not app.exception
    assert SAYS[address][runs > 0] in text_of(app)
