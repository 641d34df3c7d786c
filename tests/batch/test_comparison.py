"""The command ``compare``: numbers, differences and settings; what it cannot compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments_db.cli import app
from experiments_db.store import open_store
from tests.store.test_analyzing import put

Compare = Callable[..., Any]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "runs.duckdb"


@pytest.fixture
def ids(db: Path) -> list[str]:
    """Two runs of gla over seeds, one of deltanet on other pairs."""
    store = open_store(db)
    return [put(store, "gla", 0.5), put(store, "gla", 0.7, seed=1),
            put(store, "deltanet", 0.9, task__pairs=4)]  # fmt: skip


@pytest.fixture
def compare(db: Path) -> Compare:
    def invoke(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, ["compare", *arguments, "--db", str(db)])
        assert result.exit_code == code, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        return result

    return invoke


def test_a_run_stands_for_its_configuration(compare: Compare, ids: list[str]) -> None:
    said = json.loads(compare(ids[0], ids[2], "--json").stdout)
    first, second = said["sides"]
    assert said["metric"] == "accuracy" and (first["side"], second["side"]) == ("gla", "deltanet")
    assert (first["n"], second["n"]) == (2, 1)
    assert first["mean"] == pytest.approx(0.6) and first["se"] == pytest.approx(0.1)
    assert first["difference"] is None and second["difference"] == pytest.approx(0.3)
    assert said["differing"]["task.pairs"] == {"gla": "8", "deltanet": "4"}


def test_alone_a_run_stands_for_itself(compare: Compare, ids: list[str], tmp_path: Path) -> None:
    table = compare(*ids[:2], "--alone").stdout
    assert "50 %" in table and "+20.00 points" in table
    target = tmp_path / "compared.csv"
    compare(*ids[:2], "--alone", "--output", str(target))
    assert target.read_text().startswith('"side","runs","n","mean","se","difference"')
    assert ",0.7," in target.read_text()


def test_what_cannot_be_compared_is_refused(compare: Compare, ids: list[str]) -> None:
    assert "Missing argument" in compare(code=2).stderr
    assert "No run has the id 'gone'" in compare("gone", ids[0], code=2).stderr
    assert "1 different runs are named; 2 to 8" in compare(ids[0], ids[0], code=2).stderr
    assert "of one configuration: --alone" in compare(*ids[:2], code=2).stderr
