"""An import lets others in, piece by piece; after a kill, the same command goes on."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from experiments_db.read import queries
from experiments_db.store import Outcome, Store, importing, open_store
from experiments_db.store.backup import import_runs
from tests.store import many_runs
from tests.store.conftest import run_like

RUNS = 9

KILLED = """
import os, signal
from experiments_db.store import importing
importing.FIRST = importing.LEAST = importing.MOST = 2
real, pieces = importing._add, []
class Dying:
    def __init__(self, connection): self.connection, self.left = connection, 4
    def execute(self, sql):
        if not self.left: os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return self.connection.execute(sql)
    def __getattr__(self, name): return getattr(self.connection, name)
def add(connection, tables):
    pieces.append(tables)
    last = len(pieces) == int(sys.argv[3])
    return real(Dying(connection) if last else connection, tables)
importing._add = add
importing.import_runs(store, sys.argv[2])
"""


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = open_store(tmp_path_factory.mktemp("importing") / "source.duckdb")
    with made.driver() as driver:
        for number in range(RUNS):
            run_id = str(made.claim(driver, run_like(f"h{number}", tags=["t"])).run_id)
            made.finish(run_id, Outcome("finished", curves={"c": [[1, 1.0], [2, 2.0]]}))
            made.set_note([run_id], "a note")
    return made.path


@pytest.fixture
def source(made_once: Path, tmp_path: Path) -> Store:
    (tmp_path / "far").mkdir()
    return open_store(shutil.copy(made_once, tmp_path / "far" / "source.duckdb"))


def check_whole(store: Store, number: int) -> None:
    rows = queries.runs(store)
    assert len(rows) == number
    assert set(rows.status) <= {"finished"}
    assert set(rows.note) <= {"a note"}
    assert all(tags == ["t"] for tags in map(list, rows.tags))
    assert len(queries.curves(store, list(rows.run_id))) == 2 * number


def test_others_get_in_between_two_pieces(
    store: Store, source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST", "LEAST", "MOST"):
        monkeypatch.setattr(importing, name, 2)
    real, seen = importing._read, []

    def read(*arguments: Any) -> Any:
        other = open_store(store.path, timeout=0.0)  # it would not wait for the lock
        seen.append(len(queries.runs(other)))
        return real(*arguments)

    monkeypatch.setattr(importing, "_read", read)
    assert import_runs(store, source.path).added == RUNS
    assert seen == [0, 2, 4, 6, 8]
    check_whole(store, RUNS)


@pytest.mark.parametrize("pieces", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_an_import_that_is_killed_has_added_whole_runs(
    store: Store, source: Store, child: Any, pieces: int
) -> None:
    killed = child(KILLED, str(source.path), str(pieces))
    assert killed.wait(60) == -signal.SIGKILL
    there = len(queries.runs(store))
    assert there == 2 * (pieces - 1), "the piece that was torn is not there"
    check_whole(store, there)
    assert import_runs(store, source.path).added == RUNS - there
    check_whole(store, RUNS)
    assert list(store.path.parent.glob(".*")) == []


def test_the_source_is_free_while_its_rows_are_taken_in(
    store: Store, source: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importing._read

    def read(*arguments: Any) -> Any:
        open_store(source.path, timeout=0.0).star([queries.runs(source).run_id[0]])
        return real(*arguments)

    monkeypatch.setattr(importing, "_read", read)
    assert import_runs(store, source.path).added == RUNS


@pytest.mark.slow
def test_how_long_an_import_of_a_hundred_thousand_runs_keeps_the_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far").mkdir()
    source = open_store(tmp_path / "far" / "source.duckdb")
    many_runs.fill(source, 100_000)
    held, real = list[float](), store.lock.held

    @contextmanager
    def timed(write: bool = True) -> Iterator[None]:
        with real(write):
            began = time.monotonic()
            yield
            held.append(time.monotonic() - began)

    monkeypatch.setattr(store.lock, "held", timed)
    began = time.monotonic()
    assert import_runs(store, source.path).added == 100_000
    print(
        f"\n100,000 runs in {time.monotonic() - began:.1f} s: the store held {len(held)} times, "
        f"{sorted(held)[len(held) // 2]:.2f} s as a rule, {max(held):.2f} s at most"
    )
    assert len(held) > 10
