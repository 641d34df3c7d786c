"""A store that cannot be used: exit code 1, one sentence, nothing damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from experiments_db.cli import app
from experiments_db.store import NewRun, Outcome, open_store

HOLDER = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store with a few runs."""
    store = open_store(tmp_path_factory.mktemp("healthy") / "runs.duckdb")
    curve = [[step, step * 7919 % 1009 / 3] for step in range(500)]
    with store.driver() as driver:
        for seed in range(3):
            run = NewRun({}, f"h{seed}", None, "spec", "standard", "mqar", seed, "cpu")
            ended = Outcome("finished", curves={f"c{i}": curve for i in range(9)})
            store.finish(str(store.claim(driver, run).run_id), ended)
    return store.path.read_bytes()


def newer(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, 'x', now()::TIMESTAMP)")


BROKEN: dict[str, Callable[[Path], object]] = {
    "is empty": lambda path: path.write_bytes(b""),
    "is not a DuckDB database": lambda path: path.write_text("run_id,status\n" * 2000),
    "restore a backup": lambda path: os.truncate(path, int(path.stat().st_size * 0.7)),
    "newer version of this project": newer,
}


def batch(place: Path, *words: str, code: int) -> str:
    """Runs a command on a store and returns what it complained of."""
    done = CliRunner().invoke(app, [*words, "--db", str(place)])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    assert "Traceback" not in done.stderr
    return str(done.stderr)


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_file(tmp_path: Path, healthy: bytes, words: str) -> None:
    place = tmp_path / "runs.duckdb"
    place.write_bytes(healthy)
    BROKEN[words](place)
    before = place.read_bytes()
    said = batch(place, "runs", "--json", code=1).strip()
    assert words in said
    assert str(place) in said
    assert "\n" not in said
    assert place.read_bytes() == before


def test_a_file_that_another_program_holds(tmp_path: Path, healthy: bytes) -> None:
    place = tmp_path / "runs.duckdb"
    place.write_bytes(healthy)
    command = [sys.executable, "-c", HOLDER, str(place)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        said = batch(place, "runs", code=1)
        other.kill()
    assert f"is open in process {other.pid}, outside this project's lock" in said
    assert batch(place, "runs", code=0).startswith("3 runs")


def test_no_store_is_an_empty_one(tmp_path: Path) -> None:
    place = tmp_path / "none.duckdb"
    said = batch(place, "runs", code=0)
    assert "0 runs" in said.splitlines() and f"There is no store at {place}" in said
    assert not place.exists()
